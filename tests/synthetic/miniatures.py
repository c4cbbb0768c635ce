"""Rendered sets as `synthetic.output` writes them, with uniform images whose colours encode the pose."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image


def rendered_set(folder: Path, people: list[str], each: int, size: int = 32) -> Path:
    """A `folder:` set of `each` images per person; red encodes the pitch, green the yaw, blue the roll.

    Columns, names and places of the files are those of a rendered set.
    """
    generator = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for index in range(each * len(people)):
        angles = generator.uniform(-1, 1, size=3) * (50, 70, 20)
        colours = 128 + 100 * angles / (50, 70, 20) + generator.normal(0, 2, size=3)
        pixels = np.broadcast_to(colours, (size, size, 3)) + generator.normal(0, 4, size=(size, size, 3))
        pixels[: size // 4] = 20 + 5 * (index % len(people))  # hair: a place, and the person
        name = f"images/{index // 1000:03d}/{index:06d}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)
        box = dict(zip(("x0", "y0", "x1", "y1"), np.array([0.2, 0.2, 0.8, 0.8]) * size, strict=True))
        poses = dict(zip(("pitch", "yaw", "roll"), angles, strict=True))
        more = {"tilt": 0.0, "pan": 0.0, "neck_roll": 0.0, "source": "natural"}
        rows.append({"path": name, "subject": people[index % len(people)], "sequence": "", **box, **poses, **more})
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "scenes.jsonl").write_text("{}\n" * len(rows))
    return folder
