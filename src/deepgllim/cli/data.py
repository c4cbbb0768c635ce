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
"""Length of the longest bar of a histogram, characters."""


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

    The summary has the numbers of images and people and the distribution of the poses. Every image is decoded. The exit
    code is 1 if a file is broken, missing or without its counterpart, or if a box lies outside its image. `--output`
    writes `contact_sheet.png` (faces in the order of their yaw with boxes and axes, which shows wrong signs and boxes),
    `histograms.png`, `unreadable.csv` (broken files with the cause) and `manifest.csv` (the usable faces, for
    `--data manifest:FILE`).

    ```
    deepgllim data check pointing04:data/pointing04 --output runs/check
    ```

    Args:
        output: Folder for the results, new or empty.
        targets: Comma-separated label columns; by default those of pitch, yaw and roll that exist, or
            else of tilt, pan and neck_roll.
        overwrite: Write into `--output` even if it is not empty.
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
    """Return the remedy for broken files."""
    if output is None:
        return "fix them; --output lists all of them and writes a table of the usable faces"
    if len(report.faces) == 0:
        return f"fix them, all are listed in {output / 'unreadable.csv'}"
    return f"fix them, or train on the usable faces with --data manifest:{output / 'manifest.csv'}"


def show(report: "DataReport") -> None:
    """Print a report as tables."""
    from deepgllim.data.report import angle_histogram

    out = results()
    out.print(table(["quantity", "value"], counts(report).items()))
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


def counts(report: "DataReport") -> dict[str, Any]:
    """Return the counts of a report by name."""
    faces = report.faces
    found: dict[str, Any] = {"faces": len(faces), "images": report.pictures, "people": len(report.people)}
    found["sequences"] = report.sequences
    found |= {f"source {name}": count for name, count in report.sources.items()}
    for (width, height), number in list(report.sizes.items())[:3]:
        found[f"images of {width} × {height}"] = number
    if len(report.sizes) > 3:
        found["images of other sizes"] = sum(list(report.sizes.values())[3:])
    found["faces without a subject"] = len(faces) - sum(report.people.values())
    found["faces without a box"] = int((faces.boxes != faces.boxes).any(axis=1).sum())  # NaN differs from itself
    found["boxes that extend beyond the image"] = report.beyond
    found["faces outside the usual protocol, left out"] = report.left_out
    found["broken files"] = len(report.broken)
    return found


def bars(histogram: "AngleHistogram", block: str) -> list[list[str]]:
    """Return table rows: the centre of each bin, and for each angle its count and a bar; all bars have one scale."""
    most = max(int(count.max()) for count in histogram.counts.values())
    width = len(str(most))
    rows = []
    for i, centre in enumerate(histogram.centres):
        counts = [int(count[i]) for count in histogram.counts.values()]
        cells = [f"{count:{width}d} {block * -(-BAR * count // most)}" if count else "" for count in counts]
        rows.append([f"{centre:+4.0f}", *cells])
    return rows


def people(faces: dict[str, int]) -> str:
    """Return a line with the number of faces of each of the first `SHOWN_PEOPLE` people.

    Example:
        >>> people({"anna": 3, "ben": 1})
        'faces of each person: anna 3, ben 1'
    """
    shown = [f"{name} {count}" for name, count in list(faces.items())[:SHOWN_PEOPLE]]
    more = len(faces) - len(shown)
    rest = f", … and {more} more, {min(faces.values())} to {max(faces.values())} faces each" if more else ""
    return f"faces of each person: {', '.join(shown)}{rest}"
