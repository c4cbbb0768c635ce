"""Input sources: images, videos and cameras, named by files, folders and patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from deepgllim.errors import ImageError
from deepgllim.pose.video.containers import packet_length
from deepgllim.pose.video.decoding import is_camera
from deepgllim.pose.video.frames import is_video
from deepgllim.storage import is_address

PICTURES = frozenset(
    (
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".hif",
        ".jfif",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".pgm",
        ".png",
        ".ppm",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    )
)
"""Suffixes of image files in folders and patterns; a file that is named itself may have any suffix."""

_MAGIC = "*?["

Kind = Literal["picture", "video", "camera"]


class Source(NamedTuple):
    """An image, video or camera.

    Attributes:
        path: path of the file, or `camera:0`.
        kind: "picture", "video" or "camera".
        relative: path relative to the folder or pattern that named it; the name of a file that was named itself.
    """

    path: str
    kind: Kind
    relative: Path

    @property
    def name(self) -> str:
        """The path as valid Unicode text."""
        return printable(self.path)


class Problem(NamedTuple):
    """An input that cannot be used.

    Attributes:
        path: the input, as valid Unicode text.
        error: the reason.
    """

    path: str
    error: ImageError


class Sources(NamedTuple):
    """The sources of a list of inputs.

    Attributes:
        found: the sources in the order of the inputs, sorted within a folder; each file once.
        problems: inputs without sources, and folders below them that cannot be read.
        skipped: number of files in folders and patterns that are neither images nor videos, by suffix.
        single: whether the input is one file or camera.
    """

    found: tuple[Source, ...]
    problems: tuple[Problem, ...]
    skipped: dict[str, int]
    single: bool


def find_sources(inputs: Sequence[str], excluded: Path | None = None) -> Sources:
    """Find the images, videos and cameras of a list of inputs.

    Args:
        inputs: each a file, a folder, which is searched recursively without following links, a pattern such as
            `photos/**/*.jpg`, or `camera:0`. A file whose name is that of the pattern takes precedence. Hidden files
            are skipped unless they are named.
        excluded: a folder that is not searched, such as that of the results.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.jpg", "a.PNG", "walk.mp4", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     sources = find_sources([folder, "camera:0"])
        >>> [(str(source.relative), source.kind) for source in sources.found]
        [('a.PNG', 'picture'), ('b.jpg', 'picture'), ('walk.mp4', 'video'), ('camera-0', 'camera')]
        >>> sources.skipped
        {'.txt': 1}
    """
    found: dict[str, Source] = {}
    problems: list[Problem] = []
    skipped: Counter[str] = Counter()
    for text in inputs:
        sources, others, closed = _searched(text, excluded)
        problems += [Problem(printable(place), _closed(place, error)) for place, error in closed.items()]
        if not sources and not closed:
            problems.append(Problem(printable(text), _nothing(text, len(others))))
        for source in sources:
            found.setdefault(os.path.realpath(source.path), source)
        skipped.update(Path(other).suffix.lower() or "no suffix" for other in others)
    single = len(inputs) == 1 and _is_single(inputs[0])
    return Sources(tuple(found.values()), tuple(problems), dict(sorted(skipped.items())), single)


def kind_of(path: str) -> Kind | None:
    """Return the kind of a source by its suffix; None if it is neither an image nor a video nor a camera.

    Example:
        >>> kind_of("a.JPG"), kind_of("camera:1"), kind_of("notes.txt")
        ('picture', 'camera', None)
    """
    if is_camera(path):
        return "camera"
    if is_video(path):
        return "video"
    return "picture" if Path(path).suffix.lower() in PICTURES else None


def printable(path: str) -> str:
    """Return a path with � for each byte that is not valid UTF-8, for tables and JSON.

    Example:
        >>> printable("caf\\udce9.jpg")
        'caf�.jpg'
    """
    return os.fsencode(path).decode("utf-8", "replace")


def _is_single(text: str) -> bool:
    """Return whether an input is neither a folder nor a pattern; a missing file is reported when it is opened."""
    if is_camera(text) or is_address(text) or os.path.lexists(text):
        return not Path(text).is_dir()
    return not any(sign in text for sign in _MAGIC)


def _named(text: str) -> Source:
    kind = kind_of(text) or ("video" if is_address(text) else "picture")
    return Source(text, kind, Path(text.replace(":", "-") if kind == "camera" else Path(text).name))


def _searched(text: str, excluded: Path | None) -> tuple[list[Source], list[str], dict[str, OSError]]:
    """Return the sources of an input, the other files of a folder or pattern, and the folders that cannot be read."""
    if _is_single(text):
        return [_named(text)], [], {}
    skipped_folder = None if excluded is None else excluded.resolve()
    if Path(text).is_dir():
        closed: dict[str, OSError] = {}
        root, files = Path(text), list(_walk(text, skipped_folder, closed))
    else:
        pattern = os.path.expanduser(text)  # noqa: PTH111 - Path removes the "./" of a pattern
        root, closed = _fixed_part(pattern), _closed_folders(pattern)
        places = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - skips hidden files, as a shell does
        files = [place for place in places if not Path(place).is_dir() and not _below(place, skipped_folder, root)]
    kinds = [(file, _kind_by_content(file)) for file in files]
    found = [Source(file, kind, Path(os.path.relpath(file, root))) for file, kind in kinds if kind is not None]
    return found, [file for file, kind in kinds if kind is None], closed


def _kind_by_content(file: str) -> Kind | None:
    """Return the kind of a file in a folder; .ts is a video only if it contains MPEG packets, not TypeScript."""
    kind = kind_of(file)
    if kind == "video" and Path(file).suffix.lower() == ".ts" and Path(file).is_file():
        with suppress(OSError), Path(file).open("rb") as stream:
            return kind if packet_length(stream.read(200)) else None
    return kind


def _walk(folder: str, skipped_folder: Path | None, closed: dict[str, OSError]) -> Iterator[str]:
    """Yield the files below a folder, and add the folders that cannot be read to `closed`."""

    def note(error: OSError) -> None:
        closed[str(error.filename)] = error

    for place, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(place, name).resolve() != skipped_folder
        )
        yield from (os.path.join(place, name) for name in sorted(files) if not name.startswith("."))  # noqa: PTH118


def _closed_folders(pattern: str) -> dict[str, OSError]:
    """Return the folders of a pattern that cannot be read, which `glob` ignores silently."""
    closed: dict[str, OSError] = {}
    for part in Path(pattern).parents:
        places = glob.glob(str(part), recursive=True) if glob.has_magic(str(part)) else [str(part)]  # noqa: PTH207
        for place in places:
            if Path(place).is_dir():
                try:
                    os.scandir(place).close()
                except OSError as error:
                    closed[place] = error
        if not glob.has_magic(str(part)):
            break
    return closed


def _closed(place: str, error: OSError) -> ImageError:
    cause = error.strerror or "it does not exist any more"
    return ImageError(f"{printable(place)}: the folder cannot be read ({cause}); check its permissions")


def _below(place: str, folder: Path | None, root: Path) -> bool:
    """Return whether a file is in a folder that is below the root."""
    inside = folder is not None and root.resolve() in folder.parents
    return inside and folder in Path(place).resolve().parents


def _fixed_part(pattern: str) -> Path:
    """Return the folder before the first wildcard of a pattern.

    Example:
        >>> _fixed_part("photos/2026/*/a.jpg").as_posix(), _fixed_part("*.jpg").as_posix()
        ('photos/2026', '.')
    """
    parts = Path(pattern).parts
    fixed = [any(sign in part for sign in _MAGIC) for part in parts].index(True)
    return Path(*parts[:fixed])


def _nothing(text: str, others: int) -> ImageError:
    name = printable(text)
    if Path(text).is_dir():
        content = f"{others} files, none of them a picture or a video" if others else "no file"
        return ImageError(f"{name}: the folder holds {content}: give one with pictures ({', '.join(sorted(PICTURES))})")
    if others:
        return ImageError(f"{name}: no picture or video fits this pattern, only {others} other files: check its suffix")
    return ImageError(f"{name}: no file fits this pattern: check the path")
