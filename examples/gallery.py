"""Write docs/gallery.md: every example's text, picture and output. `python -m examples.gallery` from the repository."""

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
"""The examples, from simple to special."""

COLOURS = 64  # of a picture's palette: a third of the bytes, and no difference to the eye

HEAD = """# Gallery

Each picture and each number on this page was made by a script of sixty to ninety lines, to be read from top to bottom
and changed. `python -m examples.NAME` in the repository runs one of them, in seconds, and `python -m examples.gallery`
writes this page.
"""


def section(name: str, pictures: Path) -> str:
    """Run an example; its title, text, picture and output in Markdown."""
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
    """The same picture in few colours and few bytes."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(COLOURS)
    reduced.save(path, optimize=True)


def main(docs: Path = ROOT / "docs", names: Sequence[str] = NAMES) -> Path:
    """Write `gallery.md` and its pictures below `docs`; the page's path."""
    pictures = docs / "images" / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    page = docs / "gallery.md"
    page.write_text("\n".join([HEAD, *(section(name, pictures) for name in names)]), encoding="utf-8")
    return page


if __name__ == "__main__":
    main()
