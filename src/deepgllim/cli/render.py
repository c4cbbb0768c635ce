"""`deepgllim render`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from deepgllim.cli.console import progress_bar, results
from deepgllim.cli.options import Switch, Text, names
from deepgllim.errors import ConfigurationError, DataError

SIDE = 224
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Suffixes of the images that `--backgrounds` reads."""


def render(
    *,
    output: Path,
    set_: Annotated[str | None, Parameter(name="--set", negative=(), show_default=False)] = None,
    images: int = 1000,
    identities: int = 50,
    size: Annotated[int | None, Parameter(show_default=False)] = None,
    seed: int = 0,
    layout: Literal["folder", "shards", "biwi"] = "folder",
    leave_out: Text = None,
    backgrounds: Annotated[Path | None, Parameter(show_default=False)] = None,
    processes: Annotated[int | None, Parameter(show_default=False)] = None,
    resume: Switch = False,
    quiet: Switch = False,
) -> None:
    """Render heads of synthetic people, with exact poses, boxes and landmarks.

    The folder contains the images, `manifest.csv` for `deepgllim train` and `scenes.jsonl` with all random values. The
    same options give the same set with any number of processes. After an interruption, the same command with `--resume`
    continues the set; with a larger `--images`, it extends the set.

    ```
    deepgllim render --set wide --identities 50 --images 1000 --output data/heads
    ```

    Args:
        output: Output folder, new or empty.
        set_: Distribution of the poses: `uniform`, `s2g` and `ssv` are those of the paper, `natural` is similar to
            Biwi, `wide` exceeds profile. The default is `wide`, or `natural` with `--layout biwi`.
        images: Number of images.
        identities: Number of people; image n shows person n modulo this number.
        size: Side of the images in pixels, 224 by default; `--layout biwi` always has 640 × 480.
        seed: Random seed of the people and of everything else.
        layout: `folder` for JPEG files with a manifest; `shards` for WebDataset tars of 512 images; `biwi` for the
            format of the Biwi Kinect database, with depth.
        leave_out: Aspects that are not randomised, separated by commas: `light`, `background`, `capture`,
            `accessories`, `expression`, `torso`.
        backgrounds: Folder of images for the backgrounds; without it, backgrounds are procedural.
        processes: Number of processes; by default the number of cores.
        resume: Continue or extend the set in `--output`; the other options must be the same as before.
        quiet: Do not show the progress.
    """
    from deepgllim.synthetic import SceneSampler, render_set

    if layout == "biwi" and size is not None:
        raise ConfigurationError(f"--size {size} with --layout biwi: its pictures have 640 x 480; leave --size out")
    sampler = SceneSampler(
        set_ or ("natural" if layout == "biwi" else "wide"),
        identities=identities,
        size=SIDE if size is None else size,
        seed=seed,
        leave_out=tuple(names(leave_out or "")),  # type: ignore[arg-type]  # the sampler checks them
        pictures=() if backgrounds is None else pictures(backgrounds),
    )
    with resumable(), progress(quiet) as shown:
        path = render_set(sampler, images, output, layout=layout, processes=processes, resume=resume, progress=shown)
    if layout == "folder":
        results().print(f"manifest: {path}")
        results().print(f"next: deepgllim train --data folder:{output} --output runs/{output.name}")
    else:
        results().print(f"{layout}: {path}")


def pictures(folder: Path) -> tuple[str, ...]:
    """Return the absolute paths of the images in a folder, sorted.

    Raises:
        DataError: the folder does not exist, or has no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give --backgrounds a folder of pictures")
    found = sorted(path for path in folder.resolve().iterdir() if path.suffix.lower() in PICTURES and path.is_file())
    if not found:
        raise DataError(f"{folder}: holds no picture ({', '.join(PICTURES)}): give --backgrounds another folder")
    return tuple(map(str, found))


@contextmanager
def resumable() -> Iterator[None]:
    """Add to Ctrl-C how to continue."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("give the same command with --resume to go on") from None


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar on standard error, if that is a terminal."""
    if quiet:
        yield None
        return
    with progress_bar() as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, description="rendering")
