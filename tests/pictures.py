"""Rendered pictures in the layout of a public data set."""

import csv
import io
import zipfile
from pathlib import Path

from PIL import Image

from deepgllim.synthetic import bundled_miniature

PEOPLE, SIZE = 15, (256, 192)


def write_pointing04(folder: Path) -> Path:
    """Write a folder in the layout of Pointing'04: 15 people of the packaged miniature, 40 pictures each.

    The heads have grey surroundings. Labels are rounded to multiples of 15 degrees, as those of Pointing'04 are.
    """
    with zipfile.ZipFile(bundled_miniature()) as packed:
        rows = csv.DictReader(io.StringIO(packed.read("manifest.csv").decode()))
        chosen = [row for row in rows if int(row["subject"][1:]) < PEOPLE]
        for number, row in enumerate(chosen):
            person = f"{int(row['subject'][1:]) + 1:02d}"
            tilt, pan = (15 * round(float(row[angle]) / 15) for angle in ("pitch", "yaw"))
            stem = folder / f"Person{person}" / f"person{person}{1 + number % 2}{number // PEOPLE:02d}{tilt:+d}{pan:+d}"
            stem.parent.mkdir(exist_ok=True)
            picture, (x, y) = Image.new("RGB", SIZE, "grey"), (20, 50)
            picture.paste(Image.open(io.BytesIO(packed.read(row["path"]))), (x, y))
            picture.save(stem.with_name(f"{stem.name}.jpg"), quality=90)
            x0, y0, x1, y1 = (float(row[edge]) for edge in ("x0", "y0", "x1", "y1"))
            box = (x + (x0 + x1) / 2, y + (y0 + y1) / 2, x1 - x0, y1 - y0)
            lines = [f"{stem.name}.jpg", "", "Face", *map(str, box)]
            stem.with_name(f"{stem.name}.txt").write_text("\n".join(lines) + "\n")
    return folder
