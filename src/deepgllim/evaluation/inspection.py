"""Inspection of a data set: the check of `data.report`, a contact sheet and histograms.

A contact sheet shows faults that tables do not show, such as axes with a wrong sign or boxes beside the faces.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from deepgllim.data import Manifest, write_report
from deepgllim.data.report import BIN_WIDTH, DataReport, ProgressCallback, angle_histogram, check_data
from deepgllim.geometry.rotations import MIRROR_SIGNS, angles_from_rotation, rotation_from_pan_tilt
from deepgllim.imaging.conversion import to_image
from deepgllim.imaging.drawing import draw_axes
from deepgllim.imaging.images import crop, open_image, square_box
from deepgllim.storage import write_atomically

Array = npt.NDArray[np.float64]

SHEET_FACES = 48
COLUMNS = 8
TILE = 176
"""Side of a tile of the contact sheet, pixels."""

MARGIN = 1.5
"""Side of the crop in a tile divided by the longer side of the box."""

_CAPTION = 34  # height of the two lines below a tile, pixels
_BOX_COLOUR = (255, 200, 0)


def inspect_data(
    source: str,
    output: Path | None = None,
    targets: Sequence[str] | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> DataReport:
    """Check a data set and write the results.

    Args:
        source: "name:path", as for `load_data`.
        output: folder for `unreadable.csv` (the files that cannot be used, with the causes) and, if any face can be
            used, `manifest.csv` (these faces), `contact_sheet.png` and `histograms.png`. It is created if it is absent.
        targets: as for `load_data`.
        progress: receives the number of decoded pictures and that of all pictures.

    Raises:
        DataError: as for `check_data`, or if a file cannot be written.
    """
    report = check_data(source, targets, progress=progress)
    if output is None:
        return report
    output.mkdir(parents=True, exist_ok=True)
    write_report(report.broken, output / "unreadable.csv")
    if len(report.faces):
        report.faces.save(output / "manifest.csv")
        sheet = contact_sheet(report.faces)
        write_atomically(output / "contact_sheet.png", lambda place: sheet.save(place, format="PNG"))
        write_histograms(report.faces, output / "histograms.png")
    return report


def contact_sheet(faces: Manifest, count: int = SHEET_FACES) -> Image.Image:
    """Draw faces in rows of eight with their axes (x red, y green, nose blue), in the order of their yaw.

    Each tile shows a crop with a margin, the box, the name of the person and the labels. The faces are evenly spaced in
    the sorted table; the order of equal labels is random with a fixed seed.

    Args:
        faces: at least one face, with readable pictures.
        count: maximum number of faces.

    Raises:
        ImageError: if a picture cannot be read, or its box is outside it.
    """
    rows = evenly_spaced_rows(faces, count)
    angles = pose_angles(faces)
    height = TILE + _CAPTION
    sheet = Image.new("RGB", (COLUMNS * TILE, -(-len(rows) // COLUMNS) * height), "white")
    for place, row in enumerate(rows):
        corner = (place % COLUMNS * TILE, place // COLUMNS * height)
        sheet.paste(_tile(faces, row, None if angles is None else angles[row]), corner)
        _write_caption(sheet, (corner[0] + 4, corner[1] + TILE), faces, row)
    return sheet


def evenly_spaced_rows(faces: Manifest, count: int) -> list[int]:
    """Return the rows of a contact sheet, see `contact_sheet`.

    Example:
        >>> from deepgllim.data import make_manifest
        >>> faces = make_manifest(pd.DataFrame({"path": ["a"] * 5, "yaw": [30, -60, 0, 90, -90]}))
        >>> evenly_spaced_rows(faces, 3)
        [4, 2, 3]
    """
    shuffled = np.random.default_rng(0).permutation(len(faces))
    key = next((name for name in ("yaw", "pan", *faces.targets) if name in faces.frame), None)
    if key is not None:
        shuffled = shuffled[np.argsort(faces.frame[key].to_numpy(dtype=np.float64)[shuffled], kind="stable")]
    chosen = np.linspace(0, len(faces) - 1, min(count, len(faces))).round().astype(int)
    return [int(row) for row in shuffled[chosen]]


def pose_angles(faces: Manifest) -> Array | None:
    """Return pitch, yaw and roll of each row, (N, 3), degrees, or None if the table does not contain them.

    The columns tilt and pan are used as angles of the neck if all rows have them, otherwise pitch and yaw. A missing
    third angle is 0.
    """
    frame = faces.frame
    for first, second, third in (("tilt", "pan", "neck_roll"), ("pitch", "yaw", "roll")):
        if {first, second} <= set(frame):
            known = frame.assign(**{third: frame.get(third, 0.0)})[[first, second, third]]
            values = known.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
            if np.isfinite(values).all():
                tilt, pan, neck_roll = values.T
                return (
                    values if first == "pitch" else angles_from_rotation(rotation_from_pan_tilt(pan, tilt, neck_roll))
                )
    return None


def write_histograms(faces: Manifest, path: Path) -> None:
    """Write a PNG with histograms of the angles, or of all targets if none is an angle.

    Raises:
        DataError: if it cannot be written.
    """
    from matplotlib.figure import Figure

    from deepgllim.evaluation import plots

    centres, counts = angle_histogram(faces)
    names = list(counts) or list(faces.targets)
    figure = Figure(figsize=(4.4 * max(len(names), 1), 3.2), layout="constrained")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), place)
        axes.spines[["top", "right"]].set_visible(False)
        if counts:
            plots.plot_counts(axes, centres, counts[name], f"{name}, degrees, in bins of {BIN_WIDTH:g}")
        else:
            plots.plot_histograms(axes, {name: faces.frame[name]}, name)
    write_atomically(path, lambda place: figure.savefig(place, format="png", dpi=120))


def _tile(faces: Manifest, row: int, angles: Array | None) -> Image.Image:
    """Return the tile of a face, with its box and, if the angles are known, its axes."""
    image = open_image(faces.paths[row])
    box = faces.boxes[row]
    tight = (0.0, 0.0, float(image.width), float(image.height)) if np.isnan(box).any() else tuple(box)
    x0, y0, x1, y1 = square_box(tight, MARGIN)
    tile = to_image(crop(image, (x0, y0, x1, y1), TILE))
    scale = TILE / (x1 - x0)
    inner = [(edge - start) * scale for edge, start in zip(tight, (x0, y0, x0, y0), strict=True)]
    ImageDraw.Draw(tile).rectangle(tuple(inner), outline=_BOX_COLOUR)
    if angles is None:
        return tile
    middle = square_box(inner, 0.8)
    pitch, yaw, roll = (float(angle) for angle in angles)
    return draw_axes(tile, pitch, yaw, roll, middle, width=3)


def _write_caption(sheet: Image.Image, corner: tuple[int, int], faces: Manifest, row: int) -> None:
    """Write the name of the person or the file, and the labels."""
    who = faces.subjects[row] or faces.paths[row].name
    values = dict(zip(faces.targets, faces.target_values[row], strict=True))
    labels = "  ".join(f"{name} {value:{'.0f' if name in MIRROR_SIGNS else '.4g'}}" for name, value in values.items())
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for line, text in enumerate((who, labels)):
        while len(text) > 1 and font.getlength(text) > TILE - 8:
            text = text[:-1]
        canvas.text((corner[0], corner[1] + 2 + 15 * line), text, fill="black", font=font)
