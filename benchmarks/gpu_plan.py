"""What benchmarks/gpu.py measures, and its clock, which waits for the device."""

import time
from collections import defaultdict
from typing import Any, NamedTuple

import torch

from benchmarks.em import Size


class Plan(NamedTuple):
    """What is measured on which device.

    Attributes:
        device: the device.
        n_pictures: number of pictures of a loop, at most.
        batch: number of pictures in a batch.
        warm_up: number of batches, and of EM iterations, that are not counted.
        seconds: time after which a loop ends.
        workers: number of processes that prepare pictures.
        repeats: number of EM iterations, at most.
        sizes: sizes of the data of EM.
        options: options of the recipe that differ from the defaults.
    """

    device: torch.device
    n_pictures: int
    batch: int
    warm_up: int
    seconds: float
    workers: int
    repeats: int
    sizes: list[Size]
    options: dict[str, Any]


class Clock:
    """The seconds of parts that follow each other, on a device whose work is waited for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Forget all parts."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.last = self.now()

    def now(self) -> float:
        """Return the time after the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def lap(self, part: str) -> float:
        """Add the time since the last call to a part, and return it."""
        now = self.now()
        seconds, self.last = now - self.last, now
        self.seconds[part] += seconds
        return seconds

    @property
    def total(self) -> float:
        """The seconds of all parts."""
        return sum(self.seconds.values())
