"""What goes to the screen: results to standard output, everything else to standard error, a message a line."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from deepgllim.cli.streams import holds_unicode, visible


class _Screen(Console):
    """A console that shows the control characters of texts instead of obeying them."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts and tables."""
        super().print(*(visible(each, keep="\n") if isinstance(each, str) else each for each in objects), **options)


def results() -> Console:
    """Standard output; a file has room for wider tables than 80 columns."""
    return _Screen(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)


def messages() -> Console:
    """Standard error."""
    return _Screen(stderr=True, highlight=False, markup=False, soft_wrap=True)


def progress_bar(hidden: bool = False) -> Progress:
    """A bar with the time left and a description on standard error; nothing where that is no terminal, or if hidden.

    Example:
        >>> with progress_bar() as bar:
        ...     bar.update(bar.add_task("reading", total=3), advance=1)
    """
    console = messages()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    return Progress(*columns, text, console=console, transient=True, disable=hidden or not console.is_terminal)


def complain(text: object) -> None:
    """One line on standard error, whatever line breaks the text has; nothing where that cannot be written.

    Example:
        >>> complain("it broke")  # on standard error: deepgllim: it broke
    """
    with suppress(OSError):
        messages().print(f"deepgllim: {' '.join(str(text).split())}")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON that standard output can hold: ASCII if that is not of Unicode, and no control characters.

    Example:
        >>> json_text({"source": "é\x9b.jpg", "yaw": float("nan")})
        '{"source": "é\\\\u009b.jpg", "yaw": null}'
    """
    ascii_only = not holds_unicode(sys.stdout)
    text = json.dumps(strict(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return visible(text, keep="\n")


def strict(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON has no words for.

    Example:
        >>> strict({"nll": float("nan"), "mae": [1.5, 2]})
        {'nll': None, 'mae': [1.5, 2]}
    """
    if isinstance(value, dict):
        return {key: strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; numbers to the right, with three decimals."""
    rows = [list(row) for row in rows]
    drawn = Table()
    for i, name in enumerate(columns):
        numeric = all(isinstance(row[i], int | float) for row in rows)
        drawn.add_column(visible(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(number(value) if isinstance(value, float) else visible(str(value)) for value in row))
    return drawn


def number(value: float) -> str:
    """A figure as tables show it: whole numbers without decimals, the unknown as a dash.

    Example:
        >>> number(24.0), number(0.12345), number(float("nan"))
        ('24', '0.123', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3f}"
