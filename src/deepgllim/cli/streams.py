"""Standard output and error: any text in any encoding, no control characters of names, failures as errors."""

import codecs
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from deepgllim.errors import DeepGLLiMError

PLAIN = {
    "°": " deg",
    "±": "+/-",
    "−": "-",
    "–": "-",
    "×": "x",
    "·": "*",
    "²": "^2",
    "→": "->",
    "…": "...",
    "’": "'",
    "“": '"',
    "”": '"',
    "█": "#",
    "━": "-",
}
"""What stands for characters of ours that an encoding may lack; any other becomes its escape, `\\u0416`."""

ERRORS = "deepgllim-plain"
"""The name under which `in_plain` is registered as a handler of encoding errors."""

_REPLACED = ("strict", "surrogateescape", "backslashreplace")  # handlers that are Python's choice, not the user's

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, marks that reverse the direction of text, halves of surrogate pairs."""


class OutputError(DeepGLLiMError):
    """Standard output cannot be written."""


class ReaderGoneError(OutputError):
    """Whoever read standard output has seen enough, as `head` has."""


class Output:
    """Standard output that raises an `OutputError` where it cannot be written; all else is the stream's own.

    Args:
        stream: standard output as it was; None if it is closed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = _Closed() if stream is None else stream

    def write(self, text: str) -> int:
        """Write a text.

        Raises:
            OutputError: the disk is full, the stream is closed, or the like.
        """
        with _output_errors():
            return int(self._stream.write(text))

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OutputError: as `write`.
        """
        with _output_errors():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Closed(io.TextIOBase):
    """What stands for standard output if the program was started without one."""

    def write(self, text: str, /) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError("standard output: its reader has gone") from error
    except OSError as error:
        cause = error.strerror or error
        raise OutputError(f"standard output: cannot be written ({cause}): check where it goes") from error


@contextmanager
def standard_streams() -> Iterator[None]:
    """Within, both streams take any text, and failures to write standard output are raised as `OutputError`."""
    keep_descriptors()
    before = sys.stdout
    found = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    handlers = [(stream, stream.errors) for stream in found if stream.errors in _REPLACED]
    for stream, _ in handlers:
        stream.reconfigure(errors=ERRORS)
    sys.stdout = Output(before)
    try:
        yield
    finally:
        sys.stdout = before
        for stream, errors in handlers:
            with suppress(OSError):  # it flushes
                stream.reconfigure(errors=errors)


def keep_descriptors() -> None:
    """Open the null device in the place of standard streams that are closed: no file of ours may take their numbers."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def discard(stream: IO[str] | None) -> None:
    """Send what is still to be written on a stream nowhere, so that the interpreter's end does not fail on it."""
    with suppress(OSError, ValueError, AttributeError):
        assert stream is not None
        null, number = os.open(os.devnull, os.O_WRONLY), stream.fileno()
        os.dup2(null, number)
        os.close(null)


def in_plain(error: UnicodeError) -> tuple[str, int]:
    """The handler of encoding errors: ASCII for what an encoding lacks.

    Example:
        >>> "12° ± 4°, Ж".encode("cp1252", ERRORS), "−3°".encode("ascii", ERRORS)
        (b'12\\xb0 \\xb1 4\\xb0, \\\\u0416', b'-3 deg')
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(each) or escaped(each) for each in error.object[error.start : error.end]), error.end


def escaped(character: str) -> str:
    """A character as JSON, TOML and Python write it in ASCII.

    Example:
        >>> escaped("Ж")
        '\\\\u0416'
    """
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str, keep: str = "") -> str:
    """The text with escapes for what a terminal obeys rather than shows, apart from the characters of `keep`.

    Example:
        >>> visible("a\\x1b[2J.jpg"), visible("a\\nb"), visible("a\\nb", keep="\\n")
        ('a\\\\u001b[2J.jpg', 'a\\\\u000ab', 'a\\nb')
    """
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else escaped(found[0]), text)


def holds_unicode(stream: IO[str] | None) -> bool:
    """Whether a stream's encoding is one of Unicode's.

    Example:
        >>> holds_unicode(io.TextIOWrapper(io.BytesIO(), "cp1252")), holds_unicode(io.StringIO())
        (False, True)
    """
    encoding = getattr(stream, "encoding", None)
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")


codecs.register_error(ERRORS, in_plain)
