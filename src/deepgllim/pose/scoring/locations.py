"""Locations of inputs: local paths and addresses of object stores, read through fsspec."""

import hashlib
import json
import os
import posixpath
from collections.abc import Mapping
from typing import Any, NamedTuple

from deepgllim.errors import ConfigurationError, DataError, ImageError
from deepgllim.storage import irregular, is_address

PROTOCOLS = {
    "file": "file",
    "local": "file",
    "memory": "memory",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "az",
    "abfs": "az",
    "abfss": "az",
}
"""Protocols of the addresses that are read, and the store of each. Others are refused: some of them, such as
`reference`, contain addresses of further hosts."""

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
"""Packages that fsspec needs for a store."""

MAX_BYTES = 1 << 28
"""Largest size of the file of one picture, bytes."""

_CHANGES = ("size", "mtime", "ETag", "etag", "md5Hash", "content_md5", "generation")


class Location(NamedTuple):
    """A file or folder.

    Attributes:
        files: file system of fsspec.
        path: absolute path in the file system, without protocol.
        store: "file", "memory", "s3", "gs" or "az".
    """

    files: Any
    path: str
    store: str

    def at(self, path: str) -> "Location":
        """Return another location in the same file system."""
        return self._replace(path=path)

    def irregular(self) -> str | None:
        """Return why a local path cannot be opened as a regular file, with the remedy; None if it can."""
        return irregular(self.path) if self.store == "file" else None

    @property
    def url(self) -> str:
        """The path, with the protocol unless it is local."""
        return self.path if self.store == "file" else f"{self.store}://{self.path.lstrip('/')}"


def open_location(text: str) -> Location:
    """Return the location of a local path or an address such as `s3://bucket/folder`.

    Credentials are those that fsspec finds in its configuration and in the environment.

    Raises:
        DataError: the protocol is not one of `PROTOCOLS`, or the address is invalid.
        ConfigurationError: fsspec, or its package for this store, is not installed.
    """
    store = _store_of(text)
    try:
        import fsspec
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'deepgllim[score]'") from error
    if store == "file":
        path = text.partition("://")[2] if is_address(text) else text
        return Location(fsspec.filesystem("file"), os.path.abspath(path), store)  # noqa: PTH100 - fsspec takes texts
    try:
        files, path = url_to_fs(text)
    except ImportError as error:
        raise ConfigurationError(f"{text}: {store}:// needs pip install {PACKAGES.get(store, 'fsspec')}") from error
    except Exception as error:  # file systems raise classes of their own
        raise DataError(f"{text}: cannot be opened ({first_line(error)}): check the address") from error
    files.invalidate_cache()
    return Location(files, str(path).rstrip("/"), store)


def _store_of(text: str) -> str:
    protocol = text.partition("://")[0].lower() if is_address(text) else "file"
    if protocol not in PROTOCOLS or ("::" in text and "://" in text):
        known = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise DataError(f"{text}: this kind of address is not read: give a local path, or one of {known}")
    return PROTOCOLS[protocol]


def resolve_entry(root: Location, entry: str) -> str:
    """Return the path of an entry of a manifest, which must be below the folder of the manifest.

    Args:
        root: the folder of the manifest.
        entry: a path relative to it, an absolute path, or an address of the same store.

    Raises:
        ImageError: the entry is empty, belongs to another store, or lies outside the folder, also by a link.

    Example:
        >>> root = Location(None, "bucket/faces", "s3")
        >>> resolve_entry(root, "a/1.jpg"), resolve_entry(root, "s3://bucket/faces/2.jpg")
        ('bucket/faces/a/1.jpg', 'bucket/faces/2.jpg')
    """
    path = entry
    if not entry or "\0" in entry:
        raise ImageError("the entry of the manifest is empty or contains a null character: correct its path")
    if is_address(entry):
        protocol, _, path = entry.partition("://")
        if PROTOCOLS.get(protocol.lower()) != root.store:
            raise ImageError(f"{entry}: an address outside {root.url} is not opened: copy the picture below it")
        path = path if root.store != "memory" else f"/{path.lstrip('/')}"
        path = path if root.store in ("file", "memory") else path.lstrip("/")
    else:
        path = posixpath.join(root.path, entry)
    path, base = posixpath.normpath(path), posixpath.normpath(root.path)
    if root.store == "file":
        path, base = os.path.realpath(path), os.path.realpath(base)
    if not path.startswith(base.rstrip("/") + "/"):
        raise ImageError(f"{entry}: lies outside {root.url}: paths of a manifest must be below its folder")
    return path


def read_file(place: Location) -> bytes:
    """Return the content of the file of a picture.

    Raises:
        ImageError: it cannot be read, is not a regular file, or has more than `MAX_BYTES` bytes.
    """
    cause = place.irregular()
    if cause is not None:
        raise ImageError(cause)
    try:
        with place.files.open(place.path, "rb") as file:
            content = bytes(file.read(MAX_BYTES + 1))
    except FileNotFoundError as error:
        raise ImageError("the picture does not exist; check the path") from error
    except Exception as error:  # file systems raise classes of their own
        raise ImageError(f"the picture cannot be read ({first_line(error)}); check its permissions") from error
    return checked_content(content)


def checked_content(content: bytes) -> bytes:
    """Return the content of a picture, or raise an ImageError if it is larger than `MAX_BYTES`."""
    if len(content) > MAX_BYTES:
        raise ImageError(f"the picture has over {MAX_BYTES >> 20} MiB: shrink it")
    return content


def fingerprint(place: Location, info: Mapping[str, Any]) -> str:
    """Return a digest that changes with the content of a file, from its size and time or its tag in the store."""
    names = (*_CHANGES, "created") if place.store == "memory" else _CHANGES
    return digest({name: str(info[name]) for name in names if info.get(name) is not None})


def digest(value: object) -> str:
    """Return a short digest of a value of JSON.

    Example:
        >>> digest(["a.jpg", "b.jpg"]) == digest(["a.jpg", "c.jpg"])
        False
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def first_line(error: BaseException) -> str:
    """Return the reason of an exception in one line.

    Example:
        >>> first_line(PermissionError(13, "Permission denied")), first_line(ValueError())
        ('Permission denied', 'ValueError')
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
