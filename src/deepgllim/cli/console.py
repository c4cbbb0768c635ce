"""Output: results to standard output; progress and messages to standard error."""

import functools
import json
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from deepgllim.cli.streams import holds_unicode, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table


class SilentError(Exception):
    """An error that another process reports.

    Args:
        code: exit code of this process.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@functools.cache
def _console_class() -> "type[Console]":
    """Return the class of consoles that escape control characters in texts."""
    from rich.console import Console

    class EscapingConsole(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            texts = (visible(each, keep="\n") if isinstance(each, str) else each for each in objects)
            super().print(*texts, **options)

    return EscapingConsole


def results() -> "Console":
    """Return a console on standard output; tables in files are up to 120 columns wide."""
    width = None if sys.stdout.isatty() else 120
    return _console_class()(highlight=False, markup=False, soft_wrap=True, width=width)


def messages() -> "Console":
    """Return a console on standard error."""
    return _console_class()(stderr=True, highlight=False, markup=False, soft_wrap=True)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> counted(1, "face"), counted(1200, "face")
        ('1 face', '1,200 faces')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def progress_bar(hidden: bool = False) -> "Progress":
    """Return a progress bar on standard error, which is shown only on a terminal and unless it is hidden.

    Example:
        >>> with progress_bar() as bar:
        ...     bar.update(bar.add_task("reading", total=3), advance=1)
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = messages()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    return Progress(*columns, text, console=console, transient=True, disable=hidden or not console.is_terminal)


def complain(text: object) -> None:
    """Print one line on standard error; line breaks in the text become spaces, and write errors are ignored.

    Example:
        >>> complain("it broke")  # on standard error: deepgllim: it broke
    """
    with suppress(OSError):
        messages().print(f"deepgllim: {' '.join(str(text).split())}")


def print_json(value: Any) -> None:
    """Print a JSON document on standard output."""
    print(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON without control characters, in ASCII if the encoding of standard output is not Unicode.

    Example:
        >>> json_text({"source": "é\x9b.jpg", "yaw": float("nan")})
        '{"source": "é\\\\u009b.jpg", "yaw": null}'
    """
    ascii_only = not holds_unicode(sys.stdout)
    text = json.dumps(strict(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return visible(text, keep="\n")


def strict(value: Any) -> Any:
    """Return a value with None in place of NaN and infinities, which JSON cannot represent.

    Example:
        >>> strict({"nll": float("nan"), "mae": [1.5, 2]})
        {'nll': None, 'mae': [1.5, 2]}
    """
    if isinstance(value, dict):
        return {key: strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], decimals: int = 3) -> "Table":
    """Return a table; numbers are right-aligned."""
    from rich.table import Table

    rows = [list(row) for row in rows]
    drawn = Table()
    for i, name in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) for row in rows)
        drawn.add_column(visible(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(number(value, decimals) if isinstance(value, float) else visible(str(value)) for value in row))
    return drawn


def number(value: float, decimals: int = 3) -> str:
    """Format a number for a table: integers without decimals, NaN as a dash.

    Example:
        >>> number(24.0), number(0.12345), number(float("nan"))
        ('24', '0.123', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.{decimals}f}"
