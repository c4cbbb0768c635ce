"""What a user names as input, as pictures, videos and cameras: files, folders, patterns."""

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
"""Suffixes of the files that are taken for pictures in a folder or a pattern; a file named by itself may have any."""

_MAGIC = "*?["

Kind = Literal["picture", "video", "camera"]


class Source(NamedTuple):
    """One picture, video or camera.

    Attributes:
        path: of the file, or `camera:0`.
        kind: which of the three.
        relative: where it lies below the folder or pattern that named it; a file's name if it was named by itself.
    """

    path: str
    kind: Kind
    relative: Path

    @property
    def name(self) -> str:
        """The path as text that can be written anywhere."""
        return printable(self.path)


class Problem(NamedTuple):
    """An input that cannot be used, and why."""

    path: str
    error: ImageError


class Sources(NamedTuple):
    """What `find_sources` found.

    Attributes:
        found: in the order of the inputs, those of a folder sorted; each file once.
        problems: inputs that hold nothing, and folders below them that cannot be searched.
        skipped: how many files of folders and patterns are neither pictures nor videos, by suffix.
        single: whether the input was just one file or camera.
    """

    found: tuple[Source, ...]
    problems: tuple[Problem, ...]
    skipped: dict[str, int]
    single: bool


def find_sources(inputs: Sequence[str], besides: Path | None = None) -> Sources:
    """The pictures, videos and cameras that inputs name.

    Args:
        inputs: each a file, a folder (searched with all folders below it; links to folders are not followed), a pattern
            such as `photos/**/*.jpg`, or `camera:0`. A file of that very name goes before a pattern. Hidden files are
            left out, unless they are named.
        besides: a folder that is not searched: where results go.

    Returns:
        A `Sources`.

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
        sources, others, closed = _searched(text, besides)
        problems += [Problem(printable(place), _closed(place, error)) for place, error in closed.items()]
        if not sources and not closed:
            problems.append(Problem(printable(text), _nothing(text, len(others))))
        for source in sources:
            found.setdefault(os.path.realpath(source.path), source)
        skipped.update(Path(other).suffix.lower() or "no suffix" for other in others)
    single = len(inputs) == 1 and _is_single(inputs[0])
    return Sources(tuple(found.values()), tuple(problems), dict(sorted(skipped.items())), single)


def kind_of(path: str) -> Kind | None:
    """What a file is by its suffix, or a camera; None if it is neither picture nor video.

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
    """The path with a � for each byte that is no text, since neither a table nor JSON can hold such bytes.

    Example:
        >>> printable("caf\\udce9.jpg")
        'caf�.jpg'
    """
    return os.fsencode(path).decode("utf-8", "replace")


def _is_single(text: str) -> bool:
    """Neither a folder nor a pattern; what does not exist is told when it is opened."""
    if is_camera(text) or is_address(text) or os.path.lexists(text):
        return not Path(text).is_dir()
    return not any(sign in text for sign in _MAGIC)


def _named(text: str) -> Source:
    kind = kind_of(text) or ("video" if is_address(text) else "picture")
    return Source(text, kind, Path(text.replace(":", "-") if kind == "camera" else Path(text).name))


def _searched(text: str, besides: Path | None) -> tuple[list[Source], list[str], dict[str, OSError]]:
    """The sources that an input names, the other files of a folder or pattern, and the folders that cannot be read."""
    if _is_single(text):
        return [_named(text)], [], {}
    avoided = None if besides is None else besides.resolve()
    if Path(text).is_dir():
        closed: dict[str, OSError] = {}
        root, files = Path(text), list(_walk(text, avoided, closed))
    else:
        pattern = os.path.expanduser(text)  # noqa: PTH111 - a Path would lose the pattern's "./"
        root, closed = _fixed_part(pattern), _closed_folders(pattern)
        places = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - as the shell does it: no hidden files
        files = [place for place in places if not Path(place).is_dir() and not _below(place, avoided, root)]
    kinds = [(file, _kind_by_content(file)) for file in files]
    found = [Source(file, kind, Path(os.path.relpath(file, root))) for file, kind in kinds if kind is not None]
    return found, [file for file, kind in kinds if kind is None], closed


def _kind_by_content(file: str) -> Kind | None:
    """`kind_of` a file in a folder, where .ts is a program in TypeScript unless packets of video are in it."""
    kind = kind_of(file)
    if kind == "video" and Path(file).suffix.lower() == ".ts" and Path(file).is_file():
        with suppress(OSError), Path(file).open("rb") as stream:
            return kind if packet_length(stream.read(200)) else None
    return kind


def _walk(folder: str, avoided: Path | None, closed: dict[str, OSError]) -> Iterator[str]:
    """The files below a folder; `closed` gets the folders that cannot be read."""

    def note(error: OSError) -> None:
        closed[str(error.filename)] = error

    for place, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(place, name).resolve() != avoided
        )
        yield from (os.path.join(place, name) for name in sorted(files) if not name.startswith("."))  # noqa: PTH118


def _closed_folders(pattern: str) -> dict[str, OSError]:
    """The folders that a pattern would search and cannot, which `glob` passes over without a word."""
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
    cause = error.strerror or "it is gone"
    return ImageError(f"{printable(place)}: the folder cannot be read ({cause}); check its permissions")


def _below(place: str, folder: Path | None, root: Path) -> bool:
    """Whether a file lies in a folder below the root."""
    inside = folder is not None and root.resolve() in folder.parents
    return inside and folder in Path(place).resolve().parents


def _fixed_part(pattern: str) -> Path:
    """The folder before the first sign of a pattern.

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
        held = f"{others} files, none of them a picture or a video" if others else "no file"
        return ImageError(f"{name}: the folder holds {held}: give one with pictures ({', '.join(sorted(PICTURES))})")
    if others:
        return ImageError(f"{name}: no picture or video fits this pattern, only {others} other files: check its suffix")
    return ImageError(f"{name}: no file fits this pattern: check the path")
