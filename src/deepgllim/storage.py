"""Files: written whole or not at all, tensors as safetensors with a JSON header. Nothing read is ever executed."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.errors import DataError, DeepGLLiMError, ModelError

if TYPE_CHECKING:
    from torch import Tensor


def write_atomically(
    path: str | os.PathLike[str], write: Callable[[Path], object], error: type[DeepGLLiMError] = DataError
) -> None:
    """Call `write` on a temporary file beside `path`, then put it in place: readers see the old file or the new one.

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as cause:
        raise error(f"{path}: cannot be written ({cause}); check the folder and the space left") from cause
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_tensors(path: Path | str, tensors: Mapping[str, "Tensor"], metadata: dict[str, str]) -> None:
    """A safetensors file, written whole or not at all; its folder is made if need be.

    Raises:
        ModelError: if it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def write(place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, place, metadata)
        except SafetensorError as cause:  # what it makes of an error of the system
            raise OSError(str(cause)) from cause

    write_atomically(path, write, ModelError)


def read_tensors(path: Path | str) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """The tensors and metadata of a safetensors file.

    Raises:
        ModelError: if it is missing, cut short, or something else.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file: give the path of a model or checkpoint in safetensors form")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cut short or not a safetensors file ({error}): copy or train it again") from None


def read_header(path: Path | str, metadata: Mapping[str, str], key: str, version: int, remedy: str) -> dict[str, Any]:
    """The JSON object under a key of a file's metadata, of a format this version knows.

    Args:
        path: of the file, for messages.
        metadata: as `read_tensors` gives it.
        key: under which the header is.
        version: the newest `format_version` that can be read.
        remedy: what to say to a user whose file is of another kind.

    Raises:
        ModelError: if there is none, or it is of a newer version.

    Example:
        >>> read_header("m", {"deepgllim": '{"format_version": 1, "K": 2}'}, "deepgllim", 1, "")["K"]
        2
    """
    if key not in metadata:
        raise ModelError(f"{path}: not a deepgllim model: its header holds no {key!r} entry; {remedy}")
    try:
        values = dict(json.loads(metadata[key]))
    except (ValueError, TypeError, RecursionError):
        raise ModelError(f"{path}: its header is not a model's (no JSON object): copy or train it again") from None
    found = values.get("format_version")
    if not isinstance(found, int) or found > version:
        raise ModelError(f"{path}: model format {found}, this version reads up to {version}: upgrade deepgllim")
    return values
