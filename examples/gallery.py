"""Write docs/gallery.md with the text, picture and output of each example: `python -m examples.gallery`."""

import contextlib
import importlib
import inspect
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    "first_fit",
    "two_modes",
    "heteroscedastic_noise",
    "choose_components",
    "outliers",
    "latent_nuisance",
    "missing_features",
    "out_of_distribution",
    "digits_pipeline",
    "stream",
)
"""The examples, in the order of the page."""

COLOURS = 64  # number of colours of a picture; a third of the bytes, without a visible difference

HEAD = """# Gallery

Each picture and each number on this page was made by a script of sixty to ninety lines. `python -m examples.NAME` in
the repository runs one of them, in seconds. `python -m examples.gallery` writes this page.
"""


def section(name: str, pictures: Path) -> str:
    """Run an example and return its title, text, picture and output in Markdown."""
    example = importlib.import_module(f"examples.{name}")
    title, _, text = (inspect.getdoc(example) or "").partition("\n\n")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        example.main(pictures)
    reduce_palette(pictures / f"{name}.png")
    title = title.rstrip(".")
    return "\n".join(
        [
            f"## {title}\n",
            f"{text}\n",
            f"![{title}](images/gallery/{name}.png)\n",
            f"```text\n{printed.getvalue().rstrip()}\n```\n",
            f"[examples/{name}.py](../examples/{name}.py)\n",
        ]
    )


def reduce_palette(path: Path) -> None:
    """Reduce the number of colours of a picture, and with it the size of the file."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(COLOURS)
    reduced.save(path, optimize=True)


def main(docs: Path = ROOT / "docs", names: Sequence[str] = NAMES) -> Path:
    """Write `gallery.md` and its pictures below `docs`, and return the path of the page."""
    pictures = docs / "images" / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    page = docs / "gallery.md"
    page.write_text("\n".join([HEAD, *(section(name, pictures) for name in names)]), encoding="utf-8")
    return page


if __name__ == "__main__":
    main()
