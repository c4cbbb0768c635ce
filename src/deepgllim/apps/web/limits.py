"""What one server accepts: `Limits`."""

from dataclasses import dataclass

from deepgllim.errors import ConfigurationError


@dataclass(frozen=True)
class Limits:
    """Bounds on what visitors may ask of one server.

    Attributes:
        max_bytes: of one upload.
        max_pixels: of one picture, read from its header; also of all pictures that are decoded at the same time.
        max_requests: predictions in progress at once, those that wait for their turn included.
        workers: threads that decode and predict.
        upload_seconds: within which an upload arrives.

    Raises:
        ConfigurationError: a bound that is not positive.

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
        for name, value in vars(self).items():
            if not value > 0:
                raise ConfigurationError(f"{name} is {value}: give a number above 0")


def millions(count: float) -> str:
    """A count of bytes or pixels in millions, four digits.

    Example:
        >>> millions(81_000_000), millions(12_340)
        ('81', '0.01234')
    """
    return f"{count / 1e6:.4g}"
