"""Regular files: pipes, devices, sockets, folders and addresses are refused before they are opened."""

import os
import re
import stat
from pathlib import Path

from deepgllim.errors import DeepGLLiMError, ModelError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def is_address(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is an address on a network, such as `rtsp://host/stream`.

    Example:
        >>> is_address("rtsp://camera/1"), is_address("C:/a.jpg"), is_address("camera:0")
        (True, False, False)
    """
    return _ADDRESS.match(os.fspath(path)) is not None


def irregular(path: str | os.PathLike[str]) -> str | None:
    """Return why a path cannot be opened as a regular file, with the remedy.

    Opening a pipe waits for another program, and reading a device may never end.

    Args:
        path: the path of a file, which may be missing.

    Returns:
        The end of an error message, or None if the path is a regular file or does not exist.

    Example:
        >>> irregular("rtsp://camera/1")
        'is an address, and addresses are not opened; download or record it, and give the file'
        >>> irregular(os.devnull)
        'is a device, not a regular file; save what it gives to a file first'
    """
    if is_address(path):
        return "is an address, and addresses are not opened; download or record it, and give the file"
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # the error is reported when the file is opened
        return None
    if stat.S_ISDIR(mode):
        return "is a folder; give a file"
    if stat.S_ISREG(mode):
        return None
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    return f"is {kind}, not a regular file; save what it gives to a file first"


def refuse_irregular(path: Path | str, error: type[DeepGLLiMError] = ModelError) -> None:
    """Raise an error if a path exists and is not a regular file.

    Raises:
        ModelError: it is not. `error` is raised instead if it is given.
    """
    cause = irregular(path)
    if cause is not None:
        raise error(f"{path}: {cause}")


def refuse_unreadable(path: Path | str, error: type[DeepGLLiMError] = ModelError) -> None:
    """Raise an error if the permission to read a file is denied.

    Some readers report such a file as missing or damaged, so this check runs before them. All other faults are left to
    the reader.

    Raises:
        ModelError: the permission is denied. `error` is raised instead if it is given.
    """
    try:
        Path(path).open("rb").close()
    except PermissionError:
        raise error(f"{path}: permission denied: ask its owner for the right to read it") from None
    except OSError:
        return
