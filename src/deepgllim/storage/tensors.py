"""Tensors and metadata in safetensors files with a checksum."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.errors import ModelError
from deepgllim.storage.atomic import write_atomically
from deepgllim.storage.regular import refuse_irregular, refuse_unreadable

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUM = "checksum"
"""Key of the checksum in the metadata of a safetensors file."""


def write_tensors(path: Path | str, tensors: Mapping[str, "Tensor"], metadata: dict[str, str]) -> None:
    """Write a safetensors file with a checksum atomically. Its folder is created if necessary.

    The same content gives the same bytes.

    Raises:
        ModelError: the file cannot be written.
    """
    dense = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = _serialised(dense, metadata | {CHECKSUM: checksum(dense, metadata)})

    def write(place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.writelines(content)

    write_atomically(path, write, ModelError)


def read_tensors(path: Path | str) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file.

    A file without a checksum, as other programs write it, is accepted.

    Raises:
        ModelError: the file is missing, truncated, changed since it was written, or not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    refuse_irregular(path)
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file: give the path of a model or checkpoint in safetensors form")
    refuse_unreadable(path)  # safetensors reports a file without permission as missing
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
    """Return the JSON object under a key of a file's metadata.

    Args:
        path: path of the file, used in error messages.
        metadata: metadata of the file, as `read_tensors` returns it.
        key: key of the header.
        version: the newest `format_version` that can be read.
        remedy: end of the error message for a file of another kind.

    Raises:
        ModelError: the key is missing, its value is not a JSON object or is nested too deeply, or its version is
            unsupported.

    Example:
        >>> read_header("m", {"deepgllim": '{"format_version": 1, "K": 2}'}, "deepgllim", 1, "")["K"]
        2
    """
    if key not in metadata:
        raise ModelError(f"{path}: not a deepgllim model: its header has no {key!r} entry; {remedy}")
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


def checksum(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the metadata and of the names, types, shapes and bytes of all tensors, ordered by name."""
    import torch

    digest = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        flat = value.reshape(-1)
        if flat.stride(0) != 1:  # the stride of a single number is arbitrary
            flat = flat.clone(memory_format=torch.contiguous_format)
        digest.update(flat.view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def _serialised(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """Return the parts of a file: size of the header, header, tensors.

    The metadata are sorted, since safetensors writes them in random order.
    """
    from safetensors.torch import save

    content = memoryview(save(dict(tensors), dict(metadata)))
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:end]))
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned to 8 bytes
    return [len(text).to_bytes(8, "little"), text, content[end:]]
