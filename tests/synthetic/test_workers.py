"""Rendering with several processes: same files as with one; errors, kills and Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deepgllim.errors import RenderError
from deepgllim.synthetic import render_set, workers
from tests.synthetic.fakes import IMAGES, SAMPLER, FakeRenderer, contents, draws, recorded, unable

ROOT = Path(__file__).resolve().parents[2]
Render = Callable[..., Path]


def test_two_processes_write_the_same_files_as_one(
    complete_set: Path, render: Render, tmp_path: Path, log: Path
) -> None:
    seen: list[tuple[int, int]] = []
    render(processes=2, progress=lambda done, total: seen.append((done, total)))
    assert contents(tmp_path / "set") == contents(complete_set)
    assert draws(log) == IMAGES
    assert seen[0] == (0, IMAGES)
    assert seen[-1] == (IMAGES, IMAGES)
    assert seen == sorted(seen)
    assert len(seen) > 4


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_renderer_is_one_line_and_resume_goes_on(
    complete_set: Path, render: Render, tmp_path: Path, log: Path, processes: int
) -> None:
    with pytest.raises(RenderError, match="the driver is gone: start it again"):
        render(fail_after=13, processes=processes)
    done, drawn = recorded(tmp_path / "set"), draws(log)
    assert 0 < done < IMAGES
    assert not (tmp_path / "set" / "manifest.csv").exists()
    render(resume=True)
    assert draws(log) - drawn == IMAGES - done
    assert contents(tmp_path / "set") == contents(complete_set)


def settled(log: Path) -> int:
    """How many pictures were drawn, once none was for a second."""
    drawn = -1
    while drawn != draws(log):
        drawn = draws(log)
        time.sleep(1)
    return drawn


def test_a_killed_process_loses_unfinished_chunks_only(complete_set: Path, tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "set"
    code = f"""
from functools import partial
from pathlib import Path
from deepgllim.synthetic import SceneSampler, render_set
from tests.synthetic.fakes import FakeRenderer
if __name__ == "__main__":
    renderer = partial(FakeRenderer, Path({str(log)!r}), seconds=0.3)
    sampler = SceneSampler("wide", identities=4, size=24, seed=9)
    render_set(sampler, {IMAGES}, {str(folder)!r}, processes=2, renderer=renderer)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 50
        while recorded(folder) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    drawn = settled(log)
    assert drawn < IMAGES, "the workers continued without their parent"
    done = recorded(folder)
    assert done >= 5
    render_set(SAMPLER, IMAGES, folder, processes=1, resume=True, renderer=partial(FakeRenderer, log))
    assert draws(log) - drawn == IMAGES - done
    assert contents(folder) == contents(complete_set)


class Dying(FakeRenderer):
    """A renderer whose driver takes the process with it."""

    def draw(self, scene: Any) -> Any:
        os._exit(3)


class NotThere(FakeRenderer):
    """A renderer of which a module is missing."""

    def draw(self, scene: Any) -> Any:
        raise ModuleNotFoundError("No module named 'moderngl'", name="moderngl")


def test_a_dead_process_raises_a_render_error(render: Render) -> None:
    with pytest.raises(RenderError, match=r"died.*--resume"):
        render(processes=2, renderer=Dying)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_missing_driver_raises_a_render_error(render: Render, processes: int) -> None:
    with pytest.raises(RenderError, match="apt-get install libegl1"):
        render(processes=processes, renderer=unable)


def test_a_missing_module_keeps_its_name(render: Render) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        render(processes=2, renderer=NotThere)
    assert caught.value.name == "moderngl"


def test_an_interrupt_stops_the_workers_within_a_picture(render: Render, log: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(
            400, processes=2, progress=interrupt, renderer=partial(FakeRenderer, log, seconds=0.05)
        )  # chunks of 32 pictures, 1.6 seconds each
    drawn = draws(log)
    assert drawn < 200
    assert recorded(tmp_path / "set") == drawn  # not one is lost
    assert settled(log) == drawn


def test_the_renderer_is_closed(render: Render) -> None:
    made: list[FakeRenderer] = []

    def make() -> FakeRenderer:
        made.append(FakeRenderer(fail_after=3))
        return made[-1]

    with pytest.raises(RenderError):
        render(renderer=make)
    assert [renderer.closed for renderer in made] == [True]


def test_no_more_chunks_are_submitted_than_workers_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Futures of a million pictures would cost memory: those submitted but unfinished stay few."""
    waiting = 0
    most = 0

    class Pool:
        def __init__(self, *_: Any) -> None: ...

        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, function: Any, chunk: range) -> Any:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            future: Future[int] = Future()
            future.set_result(len(chunk))
            return future

        def shutdown(self, **_: Any) -> None: ...

    def done(_: int) -> None:
        nonlocal waiting
        waiting -= 1

    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)
    job = workers.RenderJob("folder", Path(), SAMPLER, FakeRenderer)
    workers.render_chunks(job, [range(n, n + 1) for n in range(1000)], 3, done)
    assert waiting == 0
    assert most <= 6


def test_processes_started_meanwhile_use_one_thread_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    before = dict(os.environ)
    with workers._one_thread_each():
        seen = subprocess.run([sys.executable, "-c", "import os; print(dict(os.environ))"], capture_output=True)
    assert b"'LP_NUM_THREADS': '0'" in seen.stdout
    assert b"'OPENBLAS_NUM_THREADS': '3'" in seen.stdout
    assert dict(os.environ) == before
