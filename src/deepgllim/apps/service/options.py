"""The options of the service: `ServiceOptions`."""

from dataclasses import dataclass, field

from deepgllim.apps.http.limits import Limits, check_positive
from deepgllim.errors import ConfigurationError


@dataclass(frozen=True)
class ServiceOptions:
    """Options of batches and times.

    Attributes:
        limits: limits of the requests. `limits.workers` is the number of threads that decode pictures.
        batch_size: largest number of pictures that are predicted together.
        batch_wait: longest time for which a picture waits for others that are being decoded, seconds. A picture does
            not wait if there are no others.
        workers: number of batches that are predicted at the same time.
        answer_seconds: longest time from the end of an upload to its answer.
        stop_seconds: longest time for the requests in progress when the service stops.

    Raises:
        ConfigurationError: a value is out of its range.

    Example:
        >>> ServiceOptions(batch_size=4).batch_wait
        0.005
    """

    limits: Limits = field(default_factory=lambda: Limits(max_requests=32))
    batch_size: int = 8
    batch_wait: float = 0.005
    workers: int = 1
    answer_seconds: float = 30.0
    stop_seconds: float = 30.0

    def __post_init__(self) -> None:
        names = ("batch_size", "workers", "answer_seconds", "stop_seconds")
        check_positive(**{name: getattr(self, name) for name in names})
        if not self.batch_wait >= 0:
            raise ConfigurationError(f"batch_wait is {self.batch_wait}: give a number of seconds, 0 or above")
