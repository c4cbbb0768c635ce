"""Shards of an input: archives, tables of pictures, and groups of pictures of a folder or manifest."""

import itertools
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from deepgllim.errors import DataError
from deepgllim.pose.batch.sources import PICTURES
from deepgllim.pose.scoring.archives import SUFFIXES
from deepgllim.pose.scoring.listing import list_files, local_properties
from deepgllim.pose.scoring.locations import Location, digest, fingerprint, first_line, open_location
from deepgllim.pose.scoring.manifests import is_manifest, manifest_paths

Kind = Literal["archive", "table", "pictures"]


class Shard(NamedTuple):
    """A part of the input with one output file. It is small, so that it can be sent to another process.

    Attributes:
        name: name of the output file, relative to the output folder.
        kind: "archive", "table" or "pictures".
        location: path or address of the archive or table; of the folder that contains the pictures.
        fingerprint: digest of the state of the file, or of the keys.
        keys: paths of the pictures, relative to the folder or as in the manifest.
        problem: why the shard cannot be read, if that is known before it is opened.
    """

    name: str
    kind: Kind
    location: str
    fingerprint: str
    keys: tuple[str, ...] = ()
    problem: str | None = None


def find_shards(source: str, shard_size: int = 1000, excluded: Path | None = None) -> Iterator[Shard]:
    """Yield the shards of an input, always in the same order.

    Args:
        source: a folder, a manifest (`.csv` or `.parquet` with a column `path`), an archive, a Parquet file with
            pictures, a pattern such as `shards/*.tar`, or the address of one of them.
        shard_size: number of pictures of a shard of a folder or manifest.
        excluded: a folder that is not searched, such as that of the results.

    Raises:
        DataError: the input does not exist, cannot be read, or contains no pictures.
        ConfigurationError: a package is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.jpg", "b.jpg", "c.jpg", "faces.tar"):
        ...         Path(folder, name).touch()
        ...     [shard.name for shard in find_shards(folder, shard_size=2)]
        ['faces.tar.parquet', 'pictures-000000.parquet', 'pictures-000001.parquet']
    """
    place = open_location(source)
    taken: set[str] = set()
    for shard in _found(place, source, shard_size, excluded):
        if shard.name in taken:
            raise DataError(f"{source}: two shards would be written to {shard.name}: rename one")
        taken.add(shard.name)
        yield shard
    if not taken:
        raise DataError(f"{source}: no pictures ({', '.join(sorted(PICTURES))}), archives or Parquet files in it")


def _found(place: Location, source: str, shard_size: int, excluded: Path | None) -> Iterator[Shard]:
    info = _info(place)
    if info is None and any(sign in place.path for sign in "*?["):
        return _files(place, _matches(place, excluded), shard_size)
    if info is None:
        raise DataError(f"{source}: no such file or folder: check the path, and the credentials for an address")
    if info["type"] == "directory":
        return _files(place, list_files(place, excluded), shard_size)
    if is_manifest(place):
        return _manifest(place, shard_size)
    shard = _file(place, PurePosixPath(place.path).name, info)
    if shard is None:
        known = ", ".join((".csv", ".parquet", *SUFFIXES))
        raise DataError(f"{source}: a file to score is one of {known}: give the folder of a picture, or use predict")
    return iter([shard])


def _info(place: Location) -> dict[str, Any] | None:
    """Return the properties of a file or folder; None if it does not exist."""
    try:
        return dict(place.files.info(place.path))
    except FileNotFoundError:
        return None
    except Exception as error:  # file systems raise classes of their own
        raise DataError(
            f"{place.url}: cannot be opened ({first_line(error)}): check address and permissions"
        ) from error


def _matches(place: Location, excluded: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the files of a pattern, named from the folder before its first sign, but none below `excluded`."""
    try:
        found = place.files.glob(place.path, detail=True)
    except ValueError as error:
        raise DataError(
            f"{place.url}: the pattern is invalid ({first_line(error)}): write ** as the name of a whole folder"
        ) from error
    local = place.store == "file"
    root = posixpath.dirname(place.path[: min(place.path.index(sign) for sign in "*?[" if sign in place.path)])
    for path in sorted(found):
        if local and excluded is not None and Path(path).resolve().is_relative_to(excluded.resolve()):
            continue
        info = local_properties(path) if local and Path(path).is_file() else found[path]  # also of links to files
        if info["type"] == "file":
            yield posixpath.relpath(path, root), dict(info, root=root)


def _files(place: Location, found: Iterable[tuple[str, dict[str, Any]]], shard_size: int) -> Iterator[Shard]:
    """Yield a shard for each archive and table, then those of the groups of pictures."""
    pictures: list[str] = []
    root = place.path
    for name, info in found:
        root = info.get("root", place.path)
        if "problem" in info:
            yield Shard(f"{name}.parquet", "pictures", place.url, "", problem=info["problem"])
        elif PurePosixPath(name).suffix.lower() in PICTURES:
            pictures.append(name)
        elif (shard := _file(place.at(posixpath.join(root, name)), name, info)) is not None:
            yield shard
    yield from _groups(place.at(root), "pictures", pictures, shard_size)


def _file(place: Location, name: str, info: dict[str, Any]) -> Shard | None:
    """Return the shard of an archive or table; None for other files."""
    kind: Kind
    if name.lower().endswith(SUFFIXES):
        kind, output = "archive", f"{name}.parquet"
    elif name.lower().endswith(".parquet"):
        kind, output = "table", name
    else:
        return None
    if {".", "..", ""} & set(output.split("/")):
        return Shard(f"{digest(name)}.parquet", kind, place.url, "", problem="its name cannot be that of a file")
    return Shard(output, kind, place.url, fingerprint(place, info))


def _manifest(place: Location, shard_size: int) -> Iterator[Shard]:
    folder = place.at(posixpath.dirname(place.path))
    return _groups(folder, PurePosixPath(place.path).name, manifest_paths(place), shard_size)


def _groups(folder: Location, stem: str, keys: Iterable[str], shard_size: int) -> Iterator[Shard]:
    remaining = iter(keys)
    for number in itertools.count():
        group = tuple(itertools.islice(remaining, shard_size))
        if not group:
            return
        yield Shard(f"{stem}-{number:06d}.parquet", "pictures", folder.url, digest(group), group)
