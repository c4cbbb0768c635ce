"""Expected results of the cases of the corpus: a value, or an error of one line."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

from deepgllim.errors import DeepGLLiMError


class Refused(NamedTuple):
    """An error, by its class and a part of its message."""

    error: type[Exception]
    words: str


def refuses(answer: Callable[[], object], expected: Refused, *, other: tuple[type[Exception], ...] = ()) -> None:
    """Check that a call raises an error of the package, of one line with the expected words.

    Args:
        answer: the call.
        expected: what it must raise.
        other: classes of other libraries that the interface promises, as scikit-learn's ValueError for NaN.
    """
    with pytest.raises(Exception) as caught:  # the class is checked below, with the message in sight
        answer()
    error = caught.value
    assert isinstance(error, expected.error), f"{type(error).__module__}.{type(error).__name__}: {error}"
    assert isinstance(error, DeepGLLiMError) or type(error) in other, f"{type(error)}: {error}"
    assert expected.words in str(error), str(error)
    if isinstance(error, DeepGLLiMError):
        assert "\n" not in str(error)
        assert len(str(error)) < 6000, "a message nobody reads"


def quietly(call: Callable[[], Any], *categories: type[Warning]) -> Any:
    """The answer of a call whose warnings of some categories are expected."""
    with warnings.catch_warnings():
        for category in categories:
            warnings.simplefilter("ignore", category)
        return call()


def both_kinds(expectations: Iterable[object], least: int) -> bool:
    """Whether at least so many cases are answered, and as many refused: a program that refuses all passes no test."""
    refused = [isinstance(expected, Refused) for expected in expectations]
    return refused.count(True) >= least <= refused.count(False)
