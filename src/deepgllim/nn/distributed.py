"""The processes of a training: what they share, in one interface for one process and for several.

The training loop calls the same methods in either case. Several processes are started by `torchrun`; each of them has
its rows of every batch and of every pass over all inputs, and all have the same model, θ and progress.
"""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.rendezvous import rendezvous

from deepgllim.errors import ConfigurationError, ProcessError

TIMEOUT = timedelta(minutes=10)
"""Time after which a process that does not answer counts as ended."""

LONGEST_TEXT = 1024
"""Number of bytes of a text that processes exchange."""

CONNECTION_WORDS = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe", "timed out", "timeout")
"""Words in torch's messages for a process that cannot be reached; most of them are plain RuntimeErrors."""


class Processes(Protocol):
    """Interface of the processes of a training.

    Attributes:
        rank: number of this process, from 0. Process 0 writes files and reports.
        size: number of processes.
        device: device of the network in this process.
        group: the processes for torch.distributed; None for one process.
    """

    rank: int
    size: int
    device: torch.device
    group: ProcessGroup | None

    def rows(self, n: int) -> range:
        """Return the rows of this process among n rows: a contiguous share, in the order of the processes."""
        ...

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, without gradients."""
        ...

    def gather(self, values: Tensor, n: int) -> Tensor:
        """Return all n rows, from `values`, which are those of `rows(n)`."""
        ...

    def agree(self, text: str | None) -> str | None:
        """Return the text of the first process that gives one."""
        ...

    def wait(self) -> None:
        """Wait until all processes have called this method."""
        ...

    def claim(self) -> bool:
        """Return whether this process is the first that calls this method, and so reports the error of all."""
        ...


class Alone:
    """One process, which has all rows.

    Example:
        >>> Alone().rows(3), Alone().agree("done")
        (range(0, 3), 'done')
    """

    rank, size = 0, 1
    device = torch.device("cpu")
    group: ProcessGroup | None = None

    def rows(self, n: int) -> range:
        """Return all rows."""
        return range(n)

    def sum(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values

    def gather(self, values: Tensor, n: int) -> Tensor:
        """Return the values."""
        return values

    def agree(self, text: str | None) -> str | None:
        """Return the text."""
        return text

    def wait(self) -> None:
        """Do nothing."""

    def claim(self) -> bool:
        """Return True."""
        return True


ALONE = Alone()


class Group:
    """Several processes of torch.distributed.

    Args:
        device: device of the network in this process.
        store: key-value store that outlives each process, for `claim`.
    """

    def __init__(self, device: torch.device, store: Any = None) -> None:
        self.group: ProcessGroup | None = dist.group.WORLD
        self.rank, self.size, self.device, self.store = dist.get_rank(), dist.get_world_size(), device, store

    def rows(self, n: int) -> range:
        """Return a share of about n / size rows."""
        return self._rows_of(self.rank, n)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum by one all_reduce."""
        total = values.detach().clone()
        dist.all_reduce(total, group=self.group)
        return total

    def gather(self, values: Tensor, n: int) -> Tensor:
        """Return all rows by one all_gather; shares are padded to equal length."""
        lengths = [len(self._rows_of(rank, n)) for rank in range(self.size)]
        padded = values.new_zeros((max(lengths), *values.shape[1:]))
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded, group=self.group)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    def agree(self, text: str | None) -> str | None:
        """Return the first text, cut to `LONGEST_TEXT` bytes."""
        encoded = b"" if text is None else b"\1" + text.encode()[:LONGEST_TEXT]
        own = torch.frombuffer(bytearray(encoded.ljust(LONGEST_TEXT + 1, b"\0")), dtype=torch.uint8)
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own, group=self.group)
        given = [bytes(part.tolist()).rstrip(b"\0") for part in parts]
        return next((each[1:].decode(errors="ignore") for each in given if each), None)

    def wait(self) -> None:
        """Wait by a sum, which works on every backend."""
        self.sum(torch.zeros(1))

    def claim(self) -> bool:
        """Return whether no other process has claimed; True if the store cannot be reached."""
        try:
            return self.store is None or self.store.add("deepgllim/claims", 1) == 1
        except RuntimeError:
            return True

    def _rows_of(self, rank: int, n: int) -> range:
        return range(rank * n // self.size, (rank + 1) * n // self.size)


def launched() -> bool:
    """Return whether `torchrun` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def check_environment(variables: Mapping[str, str]) -> int:
    """Check the variables that `torchrun` sets, and return LOCAL_RANK.

    Raises:
        ConfigurationError: if one is missing or invalid.

    Example:
        >>> check_environment({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"})
        0
    """
    remedy = "start the training by torchrun, which sets it"
    numbers = {}
    for name, default in (("WORLD_SIZE", ""), ("RANK", ""), ("LOCAL_RANK", "0"), ("MASTER_PORT", "")):
        text = variables.get(name, default)
        if not (text.isascii() and text.isdigit()):
            raise ConfigurationError(f"{name} is {text[:40]!r} in the environment, not a number: {remedy}")
        numbers[name] = int(text)
    if numbers["RANK"] >= numbers["WORLD_SIZE"]:
        raise ConfigurationError(f"RANK is {numbers['RANK']} of {numbers['WORLD_SIZE']} in the environment: {remedy}")
    if not variables.get("MASTER_ADDR"):
        raise ConfigurationError(f"MASTER_ADDR is missing in the environment: {remedy}")
    return numbers["LOCAL_RANK"]


@contextmanager
def launched_processes() -> Iterator[Processes]:
    """Join the processes that `torchrun` started, and leave them at the end; yield `ALONE` without `torchrun`.

    The network is on the CUDA device of number LOCAL_RANK if there is one, otherwise on the CPU.

    Raises:
        ConfigurationError: if a variable of the environment is missing or invalid.
        ProcessError: if another process ends or does not answer, or this process receives SIGTERM.
    """
    if not launched():
        yield ALONE
        return
    local = check_environment(os.environ)
    cuda = torch.cuda.is_available() and local < torch.cuda.device_count()
    with connection_errors():
        store, rank, size = next(iter(rendezvous("env://", timeout=TIMEOUT)))
        store = dist.PrefixStore(  # type: ignore[attr-defined]
            os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store
        )
        if cuda:
            torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    processes = Group(torch.device("cuda", local) if cuda else torch.device("cpu"), store)
    with stopped_by_signal(), connection_errors():
        yield processes
        processes.wait()  # process 0 may host the store
    dist.destroy_process_group()


@contextmanager
def stopped_by_signal() -> Iterator[None]:
    """Raise a ProcessError at SIGTERM, by which `torchrun` stops the other processes if one has ended.

    After an error the signal is ignored, so that the error can be reported.
    """

    def stop(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise ProcessError("another process of this training has ended, or the training received SIGTERM")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
    signal.signal(signal.SIGTERM, before)


@contextmanager
def connection_errors() -> Iterator[None]:
    """Turn the errors of collective operations into a ProcessError."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if isinstance(error, dist.DistError) or any(word in text.lower() for word in CONNECTION_WORDS):
            with suppress(ValueError):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            raise ProcessError(
                "another process of this training has ended, or has not answered for "
                f"{TIMEOUT.total_seconds() / 60:.0f} minutes"
            ) from error
        raise


def check_processes(processes: Processes, **counts: int) -> None:
    """Check that every process has at least one row of each set of inputs.

    Args:
        processes: of the training.
        counts: number of rows by what they are, such as `training=100`.

    Raises:
        ConfigurationError: if there are more processes than rows.
    """
    for name, n in counts.items():
        if n < processes.size:
            raise ConfigurationError(
                f"{processes.size} processes but {n} {name.replace('_', ' ')}: start at most {n} processes"
            )
