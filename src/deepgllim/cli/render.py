"""`deepgllim render`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from deepgllim.cli.console import progress_bar, results
from deepgllim.cli.options import Switch, Text, Whole, names
from deepgllim.errors import ConfigurationError, DataError

SIDE = 224
TRAINING = "--recipe inverse_regression --targets tilt,pan,neck_roll"
"""Options of a training on rendered heads; pitch and roll are ill-conditioned for the wide poses of the sets."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Suffixes of the images that are read from the folder of `--backgrounds`."""


def render(
    *,
    output: Path,
    set_: Annotated[str | None, Parameter(name="--set", negative=(), show_default=False)] = None,
    images: Whole = 1000,
    identities: Whole = 50,
    size: Annotated[Whole | None, Parameter(show_default=False)] = None,
    seed: Whole = 0,
    layout: Literal["folder", "shards", "biwi"] = "folder",
    leave_out: Text = None,
    backgrounds: Annotated[Path | None, Parameter(show_default=False)] = None,
    processes: Annotated[Whole | None, Parameter(show_default=False)] = None,
    resume: Switch = False,
    quiet: Switch = False,
) -> None:
    """Render images of synthetic heads with exact poses, boxes and landmarks.

    The output folder contains the images, `manifest.csv` for `deepgllim train`, and `scenes.jsonl` with all random
    parameters. The result does not depend on the number of processes. The same command with `--resume` continues an
    interrupted run, and renders only what is not finished. A larger `--images` extends the set.

    ```
    deepgllim render --set wide --identities 50 --images 1000 --output data/heads
    ```

    Args:
        output: Output folder, new or empty.
        set_: Distribution of the poses: `uniform`, `s2g` and `ssv` are those of the paper, `natural` resembles Biwi,
            `wide` extends beyond profile. The default is `wide`, or `natural` with `--layout biwi`.
        images: Number of images.
        identities: Number of people; image n shows person n modulo this number.
        size: Side of the images in pixels, 224 by default; images of `--layout biwi` have 640 × 480.
        seed: Seed of the random numbers.
        layout: `folder`, JPEG files with a manifest; `shards`, WebDataset tar files of 512 images; `biwi`, the folders
            of the Biwi Kinect database, with depth.
        leave_out: Comma-separated factors that do not vary: `light`, `background`, `capture`, `accessories`,
            `expression`, `torso`.
        backgrounds: Folder of background images; without it backgrounds are procedural.
        processes: Number of processes; by default the number of cores.
        resume: Continue or extend the set in `--output`; the other options must be the same as before.
        quiet: Show no progress.
    """
    from deepgllim.synthetic import SceneSampler, render_set

    if layout == "biwi" and size is not None:
        raise ConfigurationError(f"--size {size} with --layout biwi: images of this layout have 640 x 480: omit --size")
    sampler = SceneSampler(
        set_ or ("natural" if layout == "biwi" else "wide"),
        identities=identities,
        size=SIDE if size is None else size,
        seed=seed,
        leave_out=tuple(names(leave_out or "")),  # type: ignore[arg-type]  # the sampler checks them
        pictures=() if backgrounds is None else image_paths(backgrounds),
    )
    with resumable(), progress(quiet) as shown:
        path = render_set(sampler, images, output, layout=layout, processes=processes, resume=resume, progress=shown)
    if layout == "folder":
        results().print(f"manifest: {path}")
        results().print(f"next: deepgllim train --data folder:{output} {TRAINING} --output runs/{output.name}")
    else:
        results().print(f"{layout}: {path}")


def image_paths(folder: Path) -> tuple[str, ...]:
    """Return the sorted absolute paths of the images in a folder, which are found by their suffix.

    Raises:
        DataError: the folder does not exist or contains no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give --backgrounds a folder of images")
    found = sorted(path for path in folder.resolve().iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise DataError(f"{folder}: contains no image ({', '.join(SUFFIXES)}): give --backgrounds another folder")
    return tuple(map(str, found))


@contextmanager
def resumable() -> Iterator[None]:
    """Add to a KeyboardInterrupt how the run is continued."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("give the same command with --resume to continue") from None


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function that advances a progress bar; None if quiet."""
    if quiet:
        yield None
        return
    with progress_bar() as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, description="rendering")
