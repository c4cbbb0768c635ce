"""Example pictures of the page: synthetic people, rendered by `tools/render_examples.py`."""

from importlib.resources import files
from pathlib import Path

NAMES = ("level", "up", "down", "aside")


def example_images() -> list[bytes]:
    """Return the contents of the JPEG files of the examples."""
    folder = files("deepgllim.apps.web") / "pictures"
    return [(folder / f"{name}.jpg").read_bytes() for name in NAMES]


def example_pictures(folder: Path) -> list[Path]:
    """Write the examples to a folder and return their paths."""
    paths = [folder / f"{name}.jpg" for name in NAMES]
    for path, content in zip(paths, example_images(), strict=True):
        path.write_bytes(content)
    return paths
