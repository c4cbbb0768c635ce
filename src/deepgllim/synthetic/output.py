"""Sets of rendered heads on the disk: `render_set` begins, resumes and extends them."""

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
    """Render pictures 0 to `images` − 1 of a set into a folder. The files depend on the sampler alone, but for their
    number: not on processes, kills, or how often the set was extended.

    Layouts, each with `render.json`, the set's configuration:

    - folder: `images/000/000123.jpg`, `manifest.csv` for `deepgllim.data`, `scenes.jsonl` with all that is known of
      each picture, a line each (`deepgllim.synthetic.records`).
    - shards: WebDataset tars of 512 pictures, `shard-000000.tar`, each of a .jpg and a .json.
    - biwi: a folder a person as in the Biwi Kinect database (`deepgllim.synthetic.biwi`), 640 × 480 whatever the
      sampler's size, and `scenes.jsonl`.

    Args:
        sampler: of the set.
        images: how many pictures.
        output: the folder: new or empty, or with `resume` one that this function began.
        layout: see above.
        processes: by default as many as there are cores. With several, a script calls this under
            `if __name__ == "__main__":`, as `multiprocessing` wants it.
        resume: go on with a set after a kill, or extend a finished one by a larger `images`; nothing that is done is
            drawn again. A set that is complete stays as it is.
        progress: called with (pictures done, `images`) at the start and after each chunk of pictures.
        renderer: makes what draws; it must be picklable where there are several processes.

    Returns:
        The manifest's path; the folder of layouts without one.

    Raises:
        ConfigurationError: a number or layout out of range, a configuration other than the one to be resumed.
        DataError: a folder that cannot be begun or resumed, or that another process renders into; a file that cannot
            be written.
        RenderError: pictures cannot be rendered on this machine.

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
        earlier = _open(output, configuration, resume)  # another process may have come and gone since
        _remove_unfinished(output)
        if 0 < earlier < images:
            kind.extend(output, earlier)
        if earlier < images:
            text = json.dumps(configuration, indent=2, ensure_ascii=False) + "\n"
            write_atomically(output / CONFIGURATION, lambda place: place.write_text(text, encoding="utf-8"))
        chunks = kind.pending(output, images, count)
        finished = images - sum(map(len, chunks))

        def done(pictures: int) -> None:
            nonlocal finished
            finished += pictures
            if progress is not None:
                progress(finished, images)

        done(0)
        render_chunks(RenderJob(layout, output, sampler, renderer), chunks, count, done)
        return kind.finish(output, sampler, images)


def _configuration(sampler: SceneSampler, images: int, layout: str) -> dict[str, Any]:
    """What render.json holds, checked."""
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
    """How many pictures the folder's set was to have so far: none, if it is begun now."""
    if resume:
        return _resumed(output, configuration)
    _begin(output)
    return 0


def _begin(output: Path) -> None:
    """Make the folder; one with something in it is kept."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        left = {LOCK, HOLDER, *(path.name for path in unfinished(output / CONFIGURATION))}  # of a start that was killed
        occupied = {entry.name for entry in output.iterdir()} - left
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{output}: is a file, or lies below one: give the path of a new or empty folder") from None
    except OSError as error:
        raise DataError(f"{output}: cannot be used ({error.strerror}): give a folder that can be written") from None
    if (output / CONFIGURATION).is_file():
        raise DataError(f"{output}: holds a set already: go on with it by --resume, or give another folder")
    if occupied:
        raise DataError(f"{output}: is not empty: give the path of a new or empty folder")


def _resumed(output: Path, configuration: Mapping[str, Any]) -> int:
    """How many pictures the set in the folder was to have; its configuration must be the given one."""
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
    """Temporary files that a kill has left."""
    for path in output.rglob(".*.[0-9]*.tmp"):
        path.unlink(missing_ok=True)
