"""Chunks of pictures drawn in this process or in several, each with a renderer of its own."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait as wait_for
from multiprocessing.synchronize import Event
from pathlib import Path

from deepgllim.errors import RenderError
from deepgllim.synthetic.layouts import LAYOUTS
from deepgllim.synthetic.pictures import RenderedPicture, SceneRenderer
from deepgllim.synthetic.sampler import SceneSampler

SINGLE_THREADED = {"LP_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Variables that keep Mesa and numpy's BLAS to the calling thread: idle threads of theirs halve the speed."""


@dataclass(frozen=True)
class RenderJob:
    """What every worker has to know; it can be pickled.

    Attributes:
        layout: a key of `LAYOUTS`.
        output: the set's folder.
        sampler: of the set.
        renderer: makes a renderer, once a process.
    """

    layout: str
    output: Path
    sampler: SceneSampler
    renderer: Callable[[], SceneRenderer]

    def write(self, chunk: range, renderer: SceneRenderer, check: Callable[[], None] = lambda: None) -> int:
        """Draw and write a chunk; `check` is called before each picture. The number of its pictures."""
        layout = LAYOUTS[self.layout]

        def draw(index: int) -> RenderedPicture:
            check()
            return layout.draw(self.sampler, index, renderer)

        layout.write(self.output, chunk, draw)
        return len(chunk)


def render_chunks(job: RenderJob, chunks: Sequence[range], processes: int, done: Callable[[int], None]) -> None:
    """Draw all chunks; `done` is told the number of pictures of each as it is finished.

    Args:
        job: what to draw and where to.
        chunks: in the order in which they are begun.
        processes: 1 draws in this one; the first chunk that fails, or Ctrl-C, stops all of them within a picture.
        done: called in this process.

    Raises:
        DeepGLLiMError: what a worker raised; a RenderError where one died.
    """
    if not chunks:
        return
    if processes == 1:
        with closing(job.renderer()) as renderer:
            for chunk in chunks:
                done(job.write(chunk, renderer))
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    count = min(processes, len(chunks))
    with _one_thread_each(), ProcessPoolExecutor(count, context, _start, (job, stop)) as pool:
        left = iter(chunks)
        running: set[Future[int]] = set()
        try:
            running |= {pool.submit(_work, chunk) for chunk in islice(left, 2 * processes)}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    done(future.result())
                    running |= {pool.submit(_work, chunk) for chunk in islice(left, 1)}
        except BrokenProcessPool:
            raise RenderError(
                "a process that renders died, perhaps for want of memory: go on with --resume and fewer --processes"
            ) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started meanwhile use one core each, unless the user has said otherwise.

    Libraries read these variables when they are loaded, and a process is started when work is there for it.
    """
    unset = [name for name in SINGLE_THREADED if name not in os.environ]
    os.environ.update({name: SINGLE_THREADED[name] for name in unset})
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


class _Worker:
    """The state of a worker's process."""

    def __init__(self, job: RenderJob, stop: Event) -> None:
        self.job, self.stop = job, stop
        self.renderer: SceneRenderer | None = None

    def write(self, chunk: range) -> int:
        if self.renderer is None:
            self.renderer = self.job.renderer()  # here and not in _start, whose exceptions are lost
        return self.job.write(chunk, self.renderer, self.check)

    def check(self) -> None:
        if self.stop.is_set():
            raise RenderError("stopped: another process failed or was interrupted")


_worker: _Worker | None = None


def _start(job: RenderJob, stop: Event) -> None:
    """Ctrl-C is the parent's matter; without a parent there is nothing to do."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(job, stop)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(chunk: range) -> int:
    if _worker is None:
        raise RuntimeError("a worker was not started by _start")
    return _worker.write(chunk)
