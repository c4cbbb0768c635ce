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
"""Suffixes of what `--backgrounds` takes from a folder."""


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
    """Render images of synthetic heads with exact poses, boxes and landmarks.

    The folder gets the pictures, `manifest.csv` for `deepgllim train` and `scenes.jsonl` with all that was drawn at
    random. The same options give the same set on any number of processes. After Ctrl-C or a kill give the same command
    again with `--resume`: only the pictures, or shards, that were being drawn are begun again. With more `--images` it
    extends the set.

    ```
    deepgllim render --set wide --identities 50 --images 1000 --output data/heads
    ```

    Args:
        output: The folder, new or empty.
        set_: The distribution of poses: `uniform`, `s2g` and `ssv` are the paper's, `natural` is like Biwi's, `wide`
            goes beyond profile. By default `wide`, and `natural` with `--layout biwi`.
        images: How many pictures.
        identities: How many people; picture n shows person n modulo this.
        size: Side of the pictures in pixels, 224 by default; pictures of `--layout biwi` have 640 × 480.
        seed: Of the people and of everything else.
        layout: `folder` of JPEG files with a manifest; `shards`, WebDataset tars of 512 pictures; `biwi`, a tree as of
            the Biwi Kinect database, with depth.
        leave_out: What is not to vary, with commas between: `light`, `background`, `capture`, `accessories`,
            `expression`, `torso`.
        backgrounds: A folder of pictures to put behind the heads; without it backgrounds are procedural.
        processes: How many render at a time; by default as many as there are cores.
        resume: Go on with the set in `--output`, or extend it; the other options must be those it was begun with.
        quiet: Show no progress.
    """
    from deepgllim.synthetic.output import render_set
    from deepgllim.synthetic.sets import SceneSampler

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
    """The pictures of a folder by their suffix, sorted, as absolute paths.

    Raises:
        DataError: no such folder, or none in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder: give --backgrounds a folder of pictures")
    found = sorted(path for path in folder.resolve().iterdir() if path.suffix.lower() in PICTURES and path.is_file())
    if not found:
        raise DataError(f"{folder}: holds no picture ({', '.join(PICTURES)}): give --backgrounds another folder")
    return tuple(map(str, found))


@contextmanager
def resumable() -> Iterator[None]:
    """Tell on Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("give the same command with --resume to go on") from None


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error, where that is a terminal."""
    if quiet:
        yield None
        return
    with progress_bar() as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, description="rendering")
