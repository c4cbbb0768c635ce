"""Checks of options that several modules use."""

import math
from numbers import Integral

from deepgllim.errors import ConfigurationError


def require_integer(name: str, value: object, least: int) -> None:
    """Raise an error unless the value is a whole number of at least `least`.

    Raises:
        ConfigurationError: if it is not; the message gives the option and the value.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ConfigurationError(f"{name} is {value!r}: use a whole number, {least} or more")


def require_number(name: str, value: float, above: bool = False) -> None:
    """Raise an error unless the value is a finite number of at least 0, or above 0 if `above`.

    Raises:
        ConfigurationError: if it is not; the message gives the option and the value.
    """
    if not math.isfinite(value) or value < 0 or (above and value == 0):
        raise ConfigurationError(f"{name} is {value}: use a finite number, {'more than 0' if above else '0 or more'}")
