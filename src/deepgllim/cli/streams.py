"""Standard output and error: text in any encoding, escaped control characters, and write failures as errors."""

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
"""ASCII replacements of characters that an encoding may lack; any other character is escaped, as `\\u0416`."""

ERRORS = "deepgllim-plain"
"""Name of `replace_unencodable` as a handler of encoding errors."""

_REPLACED = (
    "strict",
    "surrogateescape",
    "backslashreplace",
)  # the defaults of Python; other handlers were set by the user

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, bidirectional controls, and lone surrogates."""


class OutputError(DeepGLLiMError):
    """Standard output cannot be written."""


class ReaderGoneError(OutputError):
    """The reader of standard output has closed it, as `head` does."""


class Output:
    """Wrapper of standard output that raises `OutputError` if it cannot be written.

    Args:
        stream: standard output; None if it is closed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = _Closed() if stream is None else stream

    def write(self, text: str) -> int:
        """Write a text.

        Raises:
            OutputError: the text cannot be written, for example because the disk is full.
        """
        with _output_errors():
            return int(self._stream.write(text))

    def flush(self) -> None:
        """Flush the stream.

        Raises:
            OutputError: the buffered text cannot be written.
        """
        with _output_errors():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Closed(io.TextIOBase):
    """Replacement of a standard output that is closed."""

    def write(self, text: str, /) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError("standard output: its reader has closed it") from error
    except OSError as error:
        cause = error.strerror or error
        raise OutputError(f"standard output: cannot be written ({cause}): check its destination") from error


@contextmanager
def standard_streams() -> Iterator[None]:
    """Make both streams accept any text, and raise failures to write standard output as `OutputError`."""
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
    """Open the null device for closed standard streams, so that no other file gets their descriptors."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def discard(stream: IO[str] | None) -> None:
    """Redirect a stream to the null device, so that the final flush by the interpreter does not fail."""
    with suppress(OSError, ValueError, AttributeError):
        assert stream is not None
        null, number = os.open(os.devnull, os.O_WRONLY), stream.fileno()
        os.dup2(null, number)
        os.close(null)


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that cannot be encoded by ASCII; a handler of encoding errors.

    Example:
        >>> "12° ± 4°, Ж".encode("cp1252", ERRORS), "−3°".encode("ascii", ERRORS)
        (b'12\\xb0 \\xb1 4\\xb0, \\\\u0416', b'-3 deg')
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(each) or escaped(each) for each in error.object[error.start : error.end]), error.end


def escaped(character: str) -> str:
    """Return the escape of a character in JSON, TOML and Python.

    Example:
        >>> escaped("Ж")
        '\\\\u0416'
    """
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str, keep: str = "") -> str:
    """Escape the control characters of a text, except for those in `keep`.

    Example:
        >>> visible("a\\x1b[2J.jpg"), visible("a\\nb"), visible("a\\nb", keep="\\n")
        ('a\\\\u001b[2J.jpg', 'a\\\\u000ab', 'a\\nb')
    """
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else escaped(found[0]), text)


def holds_unicode(stream: IO[str] | None) -> bool:
    """Return whether the encoding of a stream can represent all of Unicode.

    Example:
        >>> holds_unicode(io.TextIOWrapper(io.BytesIO(), "cp1252")), holds_unicode(io.StringIO())
        (False, True)
    """
    encoding = getattr(stream, "encoding", None)
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")


codecs.register_error(ERRORS, replace_unencodable)
