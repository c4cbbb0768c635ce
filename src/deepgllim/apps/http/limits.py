"""The limits of a server: `Limits`."""

from dataclasses import dataclass

from deepgllim.errors import ConfigurationError


@dataclass(frozen=True)
class Limits:
    """Limits of the requests to a server.

    Attributes:
        max_bytes: largest size of an upload.
        max_pixels: largest number of pixels of a picture, and of all pictures that are decoded at the same time.
        max_requests: largest number of requests in progress, including waiting ones.
        workers: number of threads that decode and predict.
        upload_seconds: longest duration of an upload.

    Raises:
        ConfigurationError: a limit is not positive.

    Example:
        >>> Limits(max_pixels=10**6).max_bytes
        20000000
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 40_000_000
    max_requests: int = 16
    workers: int = 2
    upload_seconds: float = 60.0

    def __post_init__(self) -> None:
        check_positive(**vars(self))


def check_positive(**values: float) -> None:
    """Raise a ConfigurationError with the name of the first value that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ConfigurationError(f"{name} is {value}: give a number above 0")


def millions(count: float) -> str:
    """Return a number of bytes or pixels in millions, with four digits.

    Example:
        >>> millions(81_000_000), millions(12_340)
        ('81', '0.01234')
    """
    return f"{count / 1e6:.4g}"
