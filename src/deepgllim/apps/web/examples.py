"""Example pictures: rendered heads of the package, enlarged, on a plain background."""

import io
import zipfile
from pathlib import Path

from PIL import Image

from deepgllim.imaging.images import open_image
from deepgllim.synthetic.miniature import bundled_miniature

CHOSEN = (36, 104, 42, 119)
"""Indices of the heads."""

SIDE, BACKGROUND = 320, (120, 125, 130)


def example_images() -> list[bytes]:
    """Return the contents of PNG files of the examples."""
    with zipfile.ZipFile(bundled_miniature()) as packed:
        heads = sorted(name for name in packed.namelist() if name.endswith(".jpg"))
        return [_on_background(packed.read(heads[number % len(heads)])) for number in CHOSEN]


def example_pictures(folder: Path) -> list[Path]:
    """Write the examples to a folder and return their paths."""
    paths = [folder / f"example_{number}.png" for number in CHOSEN]
    for path, content in zip(paths, example_images(), strict=True):
        path.write_bytes(content)
    return paths


def _on_background(content: bytes) -> bytes:
    canvas, side, buffer = Image.new("RGB", (SIDE, SIDE), BACKGROUND), SIDE * 2 // 3, io.BytesIO()
    head = open_image(content)
    canvas.paste(head.resize((side, side), Image.Resampling.LANCZOS), ((SIDE - side) // 2, (SIDE - side) // 2))
    canvas.save(buffer, "png")
    return buffer.getvalue()
