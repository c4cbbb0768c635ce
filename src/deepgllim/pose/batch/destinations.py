"""Output paths of annotated images and videos, checked before the prediction starts."""

import os
from collections.abc import Sequence
from pathlib import Path

from deepgllim.errors import DataError
from deepgllim.pose.batch.sources import Source
from deepgllim.pose.video.frames import WRITTEN

Destinations = dict[Source, Path]


def file_destination(source: Source, path: Path, *, overwrite: bool = False) -> Destinations:
    """Return the destination of a single source.

    Args:
        source: the source.
        path: the file to write.
        overwrite: whether to replace an existing file.

    Raises:
        DataError: the suffix does not match the kind of the source, the file exists or is the source itself, or its
            folder does not exist or is not writable.
    """
    check_suffix(source, path)
    return _checked({source: path}, overwrite)


def folder_destinations(sources: Sequence[Source], folder: Path, *, overwrite: bool = False) -> Destinations:
    """Return destinations in a folder, with the names and subfolders of the sources.

    The folder and its subfolders are created. An image in a format that cannot be written is saved as PNG,
    `a.xyz.png`, and a video as MP4, `a.avi.mp4`.

    Args:
        sources: the sources.
        folder: the folder to write to.
        overwrite: whether to replace existing files.

    Raises:
        DataError: two sources have the same destination, a file exists or is a source itself, or the folder is not
            writable.
    """
    found = {source: folder / written_name(source) for source in sources}
    first: dict[str, Source] = {}
    for source, path in found.items():
        other = first.setdefault(os.path.normcase(path), source)
        if other is not source:
            raise DataError(
                f"{other.name} and {source.name} would both be saved as {path}: rename one, or give each its own folder"
            )
    for parent in {path.parent for path in found.values()} | {folder}:
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{parent}: the folder cannot be made ({error.strerror}): give another to --save"
            ) from error
    return _checked(found, overwrite)


def written_name(source: Source) -> Path:
    """Return the path of the output of a source within the folder.

    Example:
        >>> written_name(Source("old/walk.avi", "video", Path("walk.avi"))).name
        'walk.avi.mp4'
    """
    name = source.relative
    if source.kind != "picture":
        return name if name.suffix.lower() in WRITTEN else name.with_name(f"{name.name}.mp4")
    return name if can_write(name) else name.with_name(f"{name.name}.png")


def can_write(path: Path) -> bool:
    """Return whether Pillow can write images with the suffix of a path.

    Example:
        >>> can_write(Path("a.JPG")), can_write(Path("a.txt"))
        (True, False)
    """
    return picture_format(path) is not None


def picture_format(path: Path) -> str | None:
    """Return Pillow's name of the format of a suffix; None if it cannot be written."""
    from PIL import Image

    kind = Image.registered_extensions().get(path.suffix.lower())
    return kind if kind in Image.SAVE else None


def check_suffix(source: Source, path: Path) -> None:
    """Raise a DataError if the suffix of a path does not match the kind of a source."""
    if source.kind == "picture" and not can_write(path):
        raise DataError(f"{path}: unknown suffix {path.suffix!r}: a picture is saved as .png or .jpg")
    if source.kind != "picture" and path.suffix.lower() not in WRITTEN:
        raise DataError(f"{path}: unknown suffix {path.suffix!r}: a video is saved as .mp4")


def _checked(found: Destinations, overwrite: bool) -> Destinations:
    originals = {os.path.realpath(source.path) for source in found}
    for source, path in found.items():
        if os.path.realpath(path) in originals:
            raise DataError(
                f"{path} is the {source.kind} itself: give another path to --save, the original stays as it is"
            )
        if os.path.isdir(path):  # noqa: PTH112 - for names of any length
            raise DataError(f"{path} is a folder: give another path to --save")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise DataError(f"{path}: cannot be written: check the folder {path.parent} and its permissions")
    there = [path for path in found.values() if os.path.exists(path)]  # noqa: PTH110
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise DataError(f"{there[0]}{more} exists already: give another path, or --overwrite to replace it")
    return found
