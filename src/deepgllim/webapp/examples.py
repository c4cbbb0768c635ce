"""Pictures to try: rendered heads from the bundled miniature, enlarged onto a plain ground; nobody real."""

from pathlib import Path

from PIL import Image

from deepgllim.images import open_image
from deepgllim.synthetic.miniature import unpack_miniature

CHOSEN = (36, 104, 42, 119)
SIDE, GROUND = 320, (120, 125, 130)


def example_pictures(folder: Path) -> list[Path]:
    """Write the examples into a folder; returns their paths."""
    unpack_miniature(folder / "heads")
    heads = sorted((folder / "heads").rglob("*.jpg"))
    found = []
    for number in CHOSEN:
        canvas = Image.new("RGB", (SIDE, SIDE), GROUND)
        head, side = open_image(heads[number % len(heads)]), SIDE * 2 // 3
        canvas.paste(head.resize((side, side), Image.Resampling.LANCZOS), ((SIDE - side) // 2, (SIDE - side) // 2))
        path = folder / f"example_{number}.png"
        canvas.save(path)
        found.append(path)
    return found
