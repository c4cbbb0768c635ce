"""`deepgllim data check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.cli.console import progress_bar, results, table
from deepgllim.cli.options import Source, Switch, Text, names, refuse_existing
from deepgllim.errors import DataError

if TYPE_CHECKING:
    from deepgllim.data.report import AngleHistogram, DataReport

SHOWN_FILES = 5
SHOWN_PEOPLE = 20
BAR = 16
"""Length of the longest bar of a histogram."""


def check(
    source: Source,
    /,
    *,
    output: Path | None = None,
    targets: Text = None,
    overwrite: Switch = False,
    quiet: Switch = False,
) -> None:
    """Check a data set before training, and summarize it.

    Every picture is decoded. The exit code is 1 if any file is broken, missing or without its counterpart, or a box
    lies outside its picture. `--output` writes `contact_sheet.png` (faces from the least yaw to the greatest with their
    boxes and axes, where wrong signs and boxes are seen at once), `histograms.png`, `unreadable.csv` (every broken
    file with the cause) and `manifest.csv` (the faces that can be used, for `--data manifest:FILE`).

    ```
    deepgllim data check pointing04:data/pointing04 --output runs/check
    ```

    Args:
        output: A folder for what was found, new or empty.
        targets: Columns that are labels, with commas between them; by default those of pitch, yaw and roll that are
            there.
        overwrite: Write into `--output` even if it holds something.
        quiet: Show no progress.
    """
    from deepgllim.evaluation.inspection import inspect_data

    refuse_existing(output, overwrite)
    with progress_bar() as bar:
        task = bar.add_task("reading", total=None, visible=not quiet)
        report = inspect_data(
            source,
            output,
            None if targets is None else names(targets),
            progress=lambda done, total: bar.update(task, completed=done, total=total, description="decoding"),
        )
    show(report)
    if output is not None:
        results().print(f"written: {', '.join(sorted(path.name for path in output.iterdir()))} in {output}")
    if report.broken:
        raise DataError(f"{source}: {len(report.broken)} broken file(s), see above: {remedy(report, output)}")


def remedy(report: "DataReport", output: Path | None) -> str:
    """What to do about broken files."""
    if output is None:
        return "mend them; --output lists all of them, and writes a table of the rest"
    if len(report.faces) == 0:
        return f"mend them, all are listed in {output / 'unreadable.csv'}"
    return f"mend them, or train on the rest with --data manifest:{output / 'manifest.csv'}"


def show(report: "DataReport") -> None:
    """The report as tables."""
    from deepgllim.data.report import angle_histogram

    out = results()
    out.print(table(["figure", "value"], figures(report).items()))
    histogram = angle_histogram(report.faces)
    if histogram.counts:
        out.print(table(["degrees", *histogram.counts], bars(histogram, "#" if out.options.ascii_only else "█")))
    if report.people:
        out.print(people(report.people))
    for note in report.notes:
        out.print(note)
    if report.broken:
        rows = [[path, cause] for path, cause in report.broken[:SHOWN_FILES]]
        more = len(report.broken) - len(rows)
        out.print(table(["broken file", "cause"], [*rows, *([[f"… and {more} more", ""]] if more else [])]))


def figures(report: "DataReport") -> dict[str, Any]:
    """The counts of a report, by what they count."""
    faces = report.faces
    counts: dict[str, Any] = {"faces": len(faces), "pictures": report.pictures, "people": len(report.people)}
    counts["sequences"] = report.sequences
    counts |= {f"source {name}": count for name, count in report.sources.items()}
    for (width, height), number in list(report.sizes.items())[:3]:
        counts[f"pictures of {width} × {height}"] = number
    if len(report.sizes) > 3:
        counts["pictures of other sizes"] = sum(list(report.sizes.values())[3:])
    counts["faces without a person's name"] = len(faces) - sum(report.people.values())
    counts["faces without a box"] = int((faces.boxes != faces.boxes).any(axis=1).sum())  # NaN differs from itself
    counts["boxes that reach beyond the picture"] = report.beyond
    counts["faces beyond the usual protocol, left out"] = report.left_out
    counts["broken files"] = len(report.broken)
    return counts


def bars(histogram: "AngleHistogram", block: str) -> list[list[str]]:
    """Rows of a table: the bin's centre, and for each angle the count with a bar; all bars to one scale."""
    most = max(int(count.max()) for count in histogram.counts.values())
    width = len(str(most))
    rows = []
    for i, centre in enumerate(histogram.centres):
        counts = [int(count[i]) for count in histogram.counts.values()]
        cells = [f"{count:{width}d} {block * -(-BAR * count // most)}" if count else "" for count in counts]
        rows.append([f"{centre:+4.0f}", *cells])
    return rows


def people(counts: dict[str, int]) -> str:
    """A line of people with their number of faces, the first `SHOWN_PEOPLE` of them.

    Example:
        >>> people({"anna": 3, "ben": 1})
        'faces of each person: anna 3, ben 1'
    """
    shown = [f"{name} {count}" for name, count in list(counts.items())[:SHOWN_PEOPLE]]
    more = len(counts) - len(shown)
    rest = f", … and {more} more, {min(counts.values())} to {max(counts.values())} faces each" if more else ""
    return f"faces of each person: {', '.join(shown)}{rest}"
