"""What a user names as input, as pictures, videos and cameras: files, folders, patterns."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from deepgllim.errors import ImageError
from deepgllim.pose.decoding import is_camera
from deepgllim.pose.video import is_video

PICTURES = frozenset(
    (
        ".avif",
        ".bmp",
        ".gif",
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
        problems: inputs that hold nothing.
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
        sources, others = _searched(text, besides)
        if not sources:
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
    if is_camera(text) or os.path.lexists(text):
        return not Path(text).is_dir()
    return not any(sign in text for sign in _MAGIC)


def _named(text: str) -> Source:
    kind = kind_of(text) or "picture"
    return Source(text, kind, Path(text.replace(":", "-") if kind == "camera" else Path(text).name))


def _searched(text: str, besides: Path | None) -> tuple[list[Source], list[str]]:
    """The sources that an input names, and the other files of a folder or pattern."""
    if _is_single(text):
        return [_named(text)], []
    avoided = None if besides is None else besides.resolve()
    if Path(text).is_dir():
        root, files = Path(text), list(_walk(text, avoided))
    else:
        pattern = os.path.expanduser(text)  # noqa: PTH111 - a Path would lose the pattern's "./"
        root = _fixed_part(pattern)
        places = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - as the shell does it: no hidden files
        files = [place for place in places if Path(place).is_file() and not _below(place, avoided, root)]
    kinds = [(file, kind_of(file)) for file in files]
    found = [Source(file, kind, Path(os.path.relpath(file, root))) for file, kind in kinds if kind is not None]
    return found, [file for file, kind in kinds if kind is None]


def _walk(folder: str, avoided: Path | None) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(place, name).resolve() != avoided
        )
        yield from (os.path.join(place, name) for name in sorted(files) if not name.startswith("."))  # noqa: PTH118


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
