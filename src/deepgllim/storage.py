"""Files: regular ones read, written whole or not at all, tensors as safetensors. Nothing read is ever executed."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.errors import DataError, DeepGLLiMError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

LOCK, HOLDER = ".lock", ".lock.pid"
"""Files of a locked folder: the lock, and the name of the process that holds it."""

CHECKSUM = "checksum"
"""Key of the checksum in the metadata of a safetensors file."""

LONGEST_NAME = 200
"""Bytes of a file's name that its temporary file repeats; file systems allow 255 in all."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address on a network, such as `rtsp://host/stream`.

    Example:
        >>> is_address("rtsp://camera/1"), is_address("C:/a.jpg"), is_address("camera:0")
        (True, False, False)
    """
    return _ADDRESS.match(os.fspath(path)) is not None


def irregular(path: str | os.PathLike[str]) -> str | None:
    """Why a path cannot be opened as a regular file, and what to do; None if it can, or if nothing is there.

    Opening a pipe waits for another program, and a device may have no end.

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
    except (OSError, ValueError):  # opening it says why
        return None
    if stat.S_ISDIR(mode):
        return "is a folder; give a file"
    if stat.S_ISREG(mode):
        return None
    return (
        f"is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a regular file; save what it gives to a file first"
    )


def write_atomically(
    path: str | os.PathLike[str],
    write: Callable[[Path], object],
    error: type[DeepGLLiMError] = DataError,
    *,
    tidy: bool = True,
) -> None:
    """Call `write` on a temporary file beside `path`, then put it in place: readers see the old file or the new one.

    The content is on the disk before the name is, and the name when this returns, so that a power cut leaves no
    empty file either.

    Args:
        path: what is written.
        write: takes the path of the temporary file and writes it.
        error: the class of the exception.
        tidy: first remove the temporary files for `path` of processes of this machine that were killed. This lists
            the folder: give False where it gets many files, and call `remove_abandoned` once for all of them.

    Raises:
        DataError: the file cannot be written; or `error`, where another fits better.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "a.txt", lambda place: place.write_text("whole"))
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    temporary = temporary_of(path)
    if tidy:
        remove_abandoned([path])
    try:
        write(temporary)
        _sync(temporary, os.O_RDWR)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # not every system can open or synchronise a folder
            _sync(path.parent, os.O_RDONLY)
    except OSError as cause:
        raise error(f"{path}: cannot be written ({cause}); check the folder and the space left") from cause
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def temporary_of(path: Path) -> Path:
    """Where this process writes what is to become `path`, however long its name is."""
    return path.with_name(f".{_shortened(path.name)}.{os.getpid()}-{_machine()}.tmp")


def _machine() -> str:
    """A short digest of the machine's name: process numbers mean nothing on another one."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    """Whether a process exists; yes where the system has no harmless way to ask."""
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True


def unfinished(path: str | os.PathLike[str]) -> list[Path]:
    """The temporary files of `write_atomically` beside `path`: of killed processes, unless one is writing now."""
    return sorted(_temporaries([path]))


def remove_unfinished(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Remove the temporary files for `paths`; the caller holds a lock that keeps other writers of them out."""
    for left in _temporaries(paths):
        left.unlink(missing_ok=True)


def remove_abandoned(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Remove the temporary files for `paths` of processes of this machine that have ended; others may be in use."""
    for left in _temporaries(paths):
        process, _, machine = left.name.removesuffix(".tmp").rpartition(".")[2].partition("-")
        if machine == _machine() and process.isdecimal() and not _is_running(int(process)):
            with contextlib.suppress(OSError):
                left.unlink()


def _temporaries(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """The temporary files for any of `paths`. Each folder is listed once, however many of them it holds."""
    folders: dict[Path, set[str]] = {}
    for path in map(Path, paths):
        folders.setdefault(path.parent, set()).add(_shortened(path.name))
    for folder, names in folders.items():
        for entry in folder.glob(".*.[0-9]*.tmp"):
            if entry.name[1:].rsplit(".", 2)[0] in names:
                yield entry


def _shortened(name: str) -> str:
    """The name, or where that is too long to be extended, its digest.

    Example:
        >>> _shortened("a.txt"), len(_shortened("a" * 250))
        ('a.txt', 64)
    """
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()


def _sync(path: Path, flags: int) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reserve(path: Path, start: int, stop: int) -> None:
    """Give a file its room on the disk from one byte to another, which may then hold anything.

    A memory map of a file without it ends the process by SIGBUS when the disk is full.

    Raises:
        OSError: the disk has no room.
    """
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), start, stop - start)
        except AttributeError:  # a system without it
            _write_zeros(file.fileno(), start, stop)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            _write_zeros(file.fileno(), start, stop)


def _write_zeros(descriptor: int, start: int, stop: int) -> None:
    block = bytes(1 << 20)
    os.lseek(descriptor, start, os.SEEK_SET)
    while start < stop:
        start += os.write(descriptor, block[: stop - start])


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes, and other threads of this one, out of a folder that they lock too.

    The lock is the operating system's: it ends with the process, however that ends. A kill leaves its files, which
    then stand for nothing.

    Args:
        folder: an existing one.

    Raises:
        DataError: another process holds the lock, or the folder cannot be locked.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, locked_folder(folder):
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['.lock', '.lock.pid']
    """
    from filelock import FileLock, Timeout, UnixFileLock

    folder = Path(folder)
    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        lock.acquire(timeout=0.5)  # by then whoever holds it has written who it is
    except Timeout:
        raise DataError(
            f"{folder}: in use by {_holder(holder)}: wait until it ends, stop it, or give another folder"
        ) from None
    except OSError as cause:
        raise DataError(f"{folder}: cannot be locked ({cause}): give a folder that can be written") from cause
    try:
        with contextlib.suppress(OSError):  # a full disk: the lock holds without it
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
            if isinstance(lock, UnixFileLock):  # others do it; who waits for it sees that it is gone, and begins again
                (folder / LOCK).unlink()
        lock.release()


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except (OSError, ValueError):
        return "another process"


def write_tensors(path: Path | str, tensors: Mapping[str, "Tensor"], metadata: dict[str, str]) -> None:
    """A safetensors file with a checksum, written whole or not at all; its folder is made if need be.

    The same content gives the same bytes.

    Raises:
        ModelError: if it cannot be written.
    """
    dense = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = _serialised(dense, metadata | {CHECKSUM: checksum(dense, metadata)})

    def write(place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.writelines(content)

    write_atomically(path, write, ModelError)


def _serialised(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """The file's parts: size of the header, header, tensors. safetensors' own has its metadata in random order."""
    from safetensors.torch import save

    content = memoryview(save(dict(tensors), dict(metadata)))
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:end]))
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return [len(text).to_bytes(8, "little"), text, content[end:]]


def checksum(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> str:
    """SHA-256 over the metadata and all tensors: names, types, shapes and bytes, in order of the names."""
    import torch

    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        flat = value.reshape(-1)
        if flat.stride(0) != 1:  # that of a single number may be anything
            flat = flat.clone(memory_format=torch.contiguous_format)
        digest.update(flat.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def refuse_unreadable(path: Path | str, error: type[DeepGLLiMError] = ModelError) -> None:
    """Say of a file of somebody else that it may not be read, before its reader takes it for a damaged one.

    Raises:
        ModelError: the permission is denied; or `error`. What else is wrong is told by the reader.
    """
    try:
        Path(path).open("rb").close()
    except PermissionError:
        raise error(f"{path}: permission denied: ask its owner for the right to read it") from None
    except OSError:
        return


def read_tensors(path: Path | str) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """The tensors and metadata of a safetensors file. One without a checksum, as others write it, is read as it is.

    Raises:
        ModelError: if it is missing, cut short, changed since it was written, or something else.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file: give the path of a model or checkpoint in safetensors form")
    refuse_unreadable(path)  # safetensors calls a file that may not be read an absent one
    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cut short or not a safetensors file ({error}): copy or train it again") from None
    stated = metadata.pop(CHECKSUM, None)
    renamed = any(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in metadata.values())
    if renamed or (stated is not None and stated != checksum(tensors, metadata)):
        raise ModelError(f"{path}: damaged, its checksum is not that of its content: copy or train it again")
    return tensors, metadata


def read_header(path: Path | str, metadata: Mapping[str, str], key: str, version: int, remedy: str) -> dict[str, Any]:
    """The JSON object under a key of a file's metadata, of a format this version knows.

    Args:
        path: of the file, for messages.
        metadata: as `read_tensors` gives it.
        key: under which the header is.
        version: the newest `format_version` that can be read.
        remedy: what to say to a user whose file is of another kind.

    Raises:
        ModelError: if there is none, it is no JSON object or nested too deeply to be read, or of another version.

    Example:
        >>> read_header("m", {"deepgllim": '{"format_version": 1, "K": 2}'}, "deepgllim", 1, "")["K"]
        2
    """
    if key not in metadata:
        raise ModelError(f"{path}: not a deepgllim model: its header holds no {key!r} entry; {remedy}")
    try:
        values = json.loads(metadata[key])
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: its header is not a model's (no JSON object): copy or train it again")
    found = values.get("format_version")
    if type(found) is not int or not 1 <= found <= version:
        raise ModelError(
            f"{path}: model format {str(found)[:40]}, this version reads up to {version}: upgrade deepgllim"
        )
    return values
