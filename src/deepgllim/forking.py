"""Native libraries in a child made by fork: the threads of their pools are gone, and what waits for them never ends.

A fork copies the thread that called it and no other. OpenMP (GNU) keeps a pool of threads for each thread that enters a
parallel region, so that only the copied thread has a pool without threads: any other thread of the child gets a pool
of its own. Objects whose destructor joins threads must not be destroyed in the child at all.
"""

import ctypes
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Forkable(Protocol):
    """Something that has to be told when its process turns out to be a child made by fork."""

    def after_fork(self) -> None:
        """Give up what does not survive; called in the child, before anything else runs there."""
        ...


class _Thread(threading.local):
    copied = False  # by a fork


class _Process:
    limits = False  # whether `limit_pools_in_children` was called
    had_pools = False  # at the last fork
    forks = 0  # that are being made
    collects = True  # its garbage, but while it forks


_thread = _Thread()
_process = _Process()
_watched: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def call_with_pool(function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """Call a function that uses an OpenMP pool: here, or in a new thread if a fork copied this one.

    Example:
        >>> call_with_pool(max, 2, 3)
        3
    """
    if not _thread.copied:
        return function(*args, **kwargs)
    with ThreadPoolExecutor(1) as helper:
        return helper.submit(function, *args, **kwargs).result()


def notify_after_fork(thing: Forkable) -> None:
    """Call its `after_fork` in every child that a fork makes, as long as it exists."""
    _watched.add(thing)


def never_destroy(thing: object) -> None:
    """Keep an object's destructor from ever being called, at the end of the interpreter too."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def limit_pools_in_children() -> None:
    """Let the copied thread of a forked child do without OpenMP pools, if its parent had threads of native libraries.

    It is for libraries whose calls are too many for `call_with_pool`: torch and scikit-learn then compute on one
    thread there, as in the workers of torch's DataLoader. Other threads of the child use all processors.
    """
    _process.limits = True


def _before_fork() -> None:
    """Collect no garbage until the child has told what is watched: a session among it would be destroyed there."""
    if not _process.forks:
        _process.collects = gc.isenabled()
    _process.forks += 1
    gc.disable()
    _process.had_pools = _process.limits and _native_threads() > 0


def _go_on_in_parent() -> None:
    _process.forks -= 1
    if _process.collects and not _process.forks:
        gc.enable()


def _begin_child() -> None:
    _thread.copied = True
    for thing in list(_watched):
        thing.after_fork()
    _process.forks = 0
    if _process.collects:
        gc.enable()
    if _process.had_pools:
        _limit_pools()


def _native_threads() -> int:
    """How many threads Python has not started; 0 where only Linux's /proc would tell."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) - threading.active_count()
    except OSError:
        return 0


def _limit_pools() -> None:
    """One thread for every OpenMP runtime and torch, if they are loaded; nothing is imported."""
    if (controls := sys.modules.get("threadpoolctl")) is not None:
        controls.threadpool_limits(limits=1, user_api="openmp")
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_go_on_in_parent, after_in_child=_begin_child)
