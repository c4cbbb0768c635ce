"""Children of a fork: OpenMP's threads do not survive it, and a child that asks for them waits for ever.

Torch and scikit-learn start their threads at the first large operation. A child made by `os.fork`, as by
`multiprocessing`'s "fork" or a server that loads first and forks then, inherits the record of them but not the threads.
One thread needs no others: a child computes on one, until it asks for more itself (`torch.set_num_threads`), which is
safe where its parent has not computed yet. Children of "spawn" and "forkserver" begin anew and keep all.
"""

import contextlib
import os

import torch

_forked = False


def _use_one_thread() -> None:
    global _forked
    _forked = True
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)


def openmp_of_scikit_learn() -> contextlib.AbstractContextManager[object]:
    """Within it scikit-learn computes on one thread in the child of a fork, and as ever elsewhere.

    Example:
        >>> with openmp_of_scikit_learn():
        ...     pass
    """
    if not _forked:
        return contextlib.nullcontext()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: contextlib.AbstractContextManager[object] = threadpool_limits(1)
    return limits
