"""Native libraries in a forked child, where the threads of their pools do not exist and waiting for them never ends.

A fork copies only the calling thread. OpenMP (GNU) has a pool of threads for each thread that enters a parallel region,
so that only the copied thread has a pool without threads; other threads of the child get their own pools. Objects whose
destructors join threads must not be destroyed in the child.
"""

import ctypes
import gc
import os
import sys
import threading
import weakref
from pathlib import Path
from typing import Protocol


class Forkable(Protocol):
    """An object with resources that do not survive a fork."""

    def after_fork(self) -> None:
        """Discard the resources that do not survive; called in the child before other code."""
        ...


class _Process:
    limits = False  # whether `limit_pools_in_children` was called
    had_pools = False  # at the last fork
    forks = 0  # number of forks in progress
    collects = True  # whether garbage collection was enabled before a fork


_process = _Process()
_watched: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def notify_after_fork(thing: Forkable) -> None:
    """Call the `after_fork` of an object in every forked child, as long as the object exists."""
    _watched.add(thing)


def never_destroy(thing: object) -> None:
    """Prevent the destructor of an object from being called, also at the end of the interpreter."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def limit_pools_in_children() -> None:
    """Disable OpenMP pools in the copied thread of forked children, if the parent had threads of native libraries.

    torch and scikit-learn then compute with one thread there, as in the workers of torch's DataLoader. Other threads of
    the child use all processors.
    """
    _process.limits = True


def _before_fork() -> None:
    """Disable garbage collection until the child has called `after_fork`: it could destroy a session there."""
    if not _process.forks:
        _process.collects = gc.isenabled()
    _process.forks += 1
    gc.disable()
    _process.had_pools = _process.limits and _native_threads() > 0


def _continue_in_parent() -> None:
    _process.forks -= 1
    if _process.collects and not _process.forks:
        gc.enable()


def _begin_child() -> None:
    for thing in list(_watched):
        thing.after_fork()
    _process.forks = 0
    if _process.collects:
        gc.enable()
    if _process.had_pools:
        _limit_pools()


def _native_threads() -> int:
    """Return the number of threads that Python has not started; 0 without the /proc of Linux."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) - threading.active_count()
    except OSError:
        return 0


def _limit_pools() -> None:
    """Set one thread for OpenMP runtimes and torch, if they are loaded, without importing them."""
    if (controls := sys.modules.get("threadpoolctl")) is not None:
        controls.threadpool_limits(limits=1, user_api="openmp")
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_continue_in_parent, after_in_child=_begin_child)
