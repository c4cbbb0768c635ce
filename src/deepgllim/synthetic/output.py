"""Writing of rendered sets: `render_set` starts, resumes and extends them."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from deepgllim import __version__
from deepgllim.errors import ConfigurationError, DataError
from deepgllim.storage import HOLDER, LOCK, locked_folder, unfinished, write_atomically
from deepgllim.synthetic.biwi import MOST_PEOPLE
from deepgllim.synthetic.layouts import LAYOUTS
from deepgllim.synthetic.pictures import SceneRenderer
from deepgllim.synthetic.renderer import Renderer
from deepgllim.synthetic.sampler import SceneSampler
from deepgllim.synthetic.workers import RenderJob, render_chunks

CONFIGURATION = "render.json"
FORMAT = 1

LayoutName = Literal["folder", "shards", "biwi"]


def render_set(
    sampler: SceneSampler,
    images: int,
    output: str | os.PathLike[str],
    *,
    layout: LayoutName = "folder",
    processes: int | None = None,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
    renderer: Callable[[], SceneRenderer] = Renderer,
) -> Path:
    """Render images 0 to `images` − 1 of a set into a folder.

    The files depend on the sampler only, not on the number of processes, interruptions or extensions of the set.
    Each layout also has `render.json`, the configuration:

    - folder: `images/000/000123.jpg`, `manifest.csv` for `deepgllim.data`, and `scenes.jsonl` with one record per line
      (`deepgllim.synthetic.records`).
    - shards: WebDataset tars of 512 images, `shard-000000.tar`, with a .jpg and a .json for each image.
    - biwi: one folder for each person as in the Biwi Kinect database (`deepgllim.synthetic.biwi`), images of
      640 × 480 pixels for any size of the sampler, and `scenes.jsonl`.

    Args:
        sampler: sampler of the set.
        images: number of images.
        output: folder, new or empty; with `resume`, the folder of a set.
        layout: layout of the files.
        processes: number of processes, by default the number of cores. With several, a script must call this function
            under `if __name__ == "__main__":`, as `multiprocessing` requires.
        resume: continue an interrupted set, or extend a complete one to a larger `images`. Existing images are not
            rendered again.
        progress: called with (number of finished images, `images`) at the start and after each chunk.
        renderer: returns a renderer; it must be picklable with several processes.

    Returns:
        The path of the manifest, or the folder in layouts without one.

    Raises:
        ConfigurationError: a number or the layout is invalid, or the configuration differs from that of the set.
        DataError: the folder cannot be used, another process renders into it, or a file cannot be written.
        RenderError: the machine cannot render images.

    Example:
        >>> sampler = SceneSampler("wide", identities=50, size=224, seed=0)
        >>> render_set(sampler, 1000, "heads")  # doctest: +SKIP
        PosixPath('heads/manifest.csv')
    """
    output = Path(output)
    configuration = _configuration(sampler, images, layout)
    count = _processes(processes)
    kind = LAYOUTS[layout]
    _open(output, configuration, resume)
    with locked_folder(output):
        earlier = _open(output, configuration, resume)  # again, since another process may have changed it
        _remove_unfinished(output)
        if 0 < earlier < images:
            kind.extend(output, earlier)
        if earlier < images:
            text = json.dumps(configuration, indent=2, ensure_ascii=False) + "\n"
            write_atomically(output / CONFIGURATION, lambda place: place.write_text(text, encoding="utf-8"))
        chunks = kind.pending(output, images, count)
        finished = images - sum(map(len, chunks))

        def done(pictures: int) -> None:
            """Report a finished chunk."""
            nonlocal finished
            finished += pictures
            if progress is not None:
                progress(finished, images)

        done(0)
        render_chunks(RenderJob(layout, output, sampler, renderer), chunks, count, done)
        return kind.finish(output, sampler, images)


def _configuration(sampler: SceneSampler, images: int, layout: str) -> dict[str, Any]:
    """Return the content of render.json, checked."""
    if images < 1:
        raise ConfigurationError(f"{images} pictures: give a number from 1")
    if layout not in LAYOUTS:
        raise ConfigurationError(f"unknown layout {layout!r}: use one of {', '.join(LAYOUTS)}")
    if layout == "biwi" and sampler.identities > MOST_PEOPLE:
        raise ConfigurationError(f"{sampler.identities} identities: layout biwi has folders 01 to {MOST_PEOPLE}")
    return {
        "format": FORMAT,
        "version": __version__,
        "layout": layout,
        "set": sampler.name,
        "identities": sampler.identities,
        "images": images,
        "size": sampler.size,
        "seed": sampler.seed,
        "leave_out": sorted(sampler.leave_out),
        "backgrounds": list(sampler.pictures),
    }


def _processes(given: int | None) -> int:
    if given is None:
        return os.cpu_count() or 1
    if given < 1:
        raise ConfigurationError(f"{given} processes: give a number from 1")
    return given


def _open(output: Path, configuration: Mapping[str, Any], resume: bool) -> int:
    """Return the number of images of the set in the folder; 0 for a new set."""
    if resume:
        return _resume(output, configuration)
    _begin(output)
    return 0


def _begin(output: Path) -> None:
    """Create the folder, which must be empty."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        left = {
            LOCK,
            HOLDER,
            *(path.name for path in unfinished(output / CONFIGURATION)),
        }  # left by an interrupted start
        occupied = {entry.name for entry in output.iterdir()} - left
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{output}: is a file, or lies below one: give the path of a new or empty folder") from None
    except OSError as error:
        raise DataError(f"{output}: cannot be used ({error.strerror}): give a folder that can be written") from None
    if (output / CONFIGURATION).is_file():
        raise DataError(f"{output}: holds a set already: go on with it by --resume, or give another folder")
    if occupied:
        raise DataError(f"{output}: is not empty: give the path of a new or empty folder")


def _resume(output: Path, configuration: Mapping[str, Any]) -> int:
    """Return the number of images of the set in the folder, whose configuration must be the given one."""
    path = output / CONFIGURATION
    if not path.is_file():
        raise DataError(f"{output}: nothing to resume (no {CONFIGURATION}): leave --resume out to begin a set")
    try:
        earlier = dict(json.loads(path.read_text(encoding="utf-8")))
        images = int(earlier["images"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not a set's configuration ({error}): render into another folder") from None
    for name, value in configuration.items():
        if name not in ("version", "images") and earlier.get(name) != value:
            there, given = _shown(earlier.get(name)), _shown(value)
            raise ConfigurationError(
                f"{output}: begun with {name} {there}, not {given}: give what it was begun with, or another folder"
            )
    if configuration["images"] < images:
        raise ConfigurationError(
            f"{output}: a set of {images} pictures, not {configuration['images']}: give {images}, or more to extend it"
        )
    return images


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) if 0 < len(value) < 5 else f"of {len(value)} entries"
    return str(value)


def _remove_unfinished(output: Path) -> None:
    """Remove temporary files of an interrupted run."""
    for path in output.rglob(".*.[0-9]*.tmp"):
        path.unlink(missing_ok=True)
