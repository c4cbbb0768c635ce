"""Weights files: their tensors, and the preprocessing of pixels that they were trained with."""

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from deepgllim.errors import ConfigurationError, ModelError


class Preprocessing(NamedTuple):
    """x = (pixels - mean) / std for each channel of RGB pixels in 0..255.

    Example:
        >>> Preprocessing(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0)).std[0]
        128.0
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


PREPROCESSINGS = {
    "caffe": Preprocessing((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    "torchvision": Preprocessing((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # 255 × ImageNet's mean and std
    "efficientnet_lite": Preprocessing((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
}


def find_preprocessing(value: "str | Preprocessing") -> Preprocessing:
    """The entry of PREPROCESSINGS of that name; numbers are returned as they are.

    Raises:
        ConfigurationError: an unknown name.

    Example:
        >>> find_preprocessing("caffe").mean
        (123.68, 116.779, 103.939)
    """
    if not isinstance(value, str):
        return value
    if value not in PREPROCESSINGS:
        raise ConfigurationError(unknown("preprocessing", value, PREPROCESSINGS))
    return PREPROCESSINGS[value]


def agree(
    path: Path, named: Preprocessing | None, given: str | Preprocessing | None, usual: str | None
) -> Preprocessing:
    """The preprocessing the file names, else the given one, else the usual one.

    Raises:
        ConfigurationError: the given one is unknown or contradicts the file's.
        ModelError: there is none.
    """
    choice = None if given is None else find_preprocessing(given)
    if named is not None and choice is not None and named != choice:
        raise ConfigurationError(f"preprocessing {given!r} contradicts that of {path}, {tuple(named)}: leave it out")
    found = named or choice or (find_preprocessing(usual) if usual else None)
    if found is None:
        raise ModelError(
            f"{path} does not name its preprocessing: give preprocessing=… ({', '.join(PREPROCESSINGS)}, or numbers), "
            f'or write {{"mean": [r, g, b], "std": [r, g, b]}} on pixels 0..255 to {path.name}.json beside it'
        )
    return found


def read_weights(path: Path, digest: str | None = None) -> tuple[dict[str, Tensor], Preprocessing | None]:
    """A safetensors file's tensors, floating ones in float32, and the preprocessing it names.

    Args:
        path: of the file.
        digest: SHA-256 of a PyTorch state dict, the only one that is read: that of a package whose code is run anyway.

    Raises:
        ModelError: missing, cut short, another file, numbers that are not finite, or a preprocessing that is not three
            means and three deviations. A PyTorch pickle is never opened; the message names the conversion.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file: give the path of a safetensors file")
    state, metadata = _safetensors(path) if digest is None else (_packaged(path, digest), {})
    sidecar = path.with_name(f"{path.name}.json")
    named = None
    if "preprocessing" in metadata:
        named = _parse(path, metadata["preprocessing"])
    elif sidecar.is_file():
        named = _parse(sidecar, sidecar.read_text(encoding="utf-8", errors="replace"))
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}, named


def load_into(stages: nn.Module, state: dict[str, Tensor], file_key: Callable[[str], str], label: str) -> None:
    """Put the file's tensors in place of those of `stages`, which may be on the meta device; others are ignored.

    Raises:
        ModelError: tensors that are missing, of another shape, or not finite; the first few are named.
    """
    own = stages.state_dict()
    missing = [file_key(key) for key in own if file_key(key) not in state]
    if missing:
        raise ModelError(
            f"{label}: {len(missing)} of {len(own)} tensors are missing ({_few(missing)}): "
            "give a file of this network under the keys it was published with"
        )
    wrong = [
        f"{file_key(key)} {tuple(state[file_key(key)].shape)} for {tuple(value.shape)}"
        for key, value in own.items()
        if state[file_key(key)].shape != value.shape
    ]
    if wrong:
        raise ModelError(
            f"{label}: {len(wrong)} tensors have another shape ({_few(wrong)}): give a file of this network"
        )
    broken = [file_key(key) for key in own if not bool(torch.isfinite(state[file_key(key)]).all())]
    if broken:
        raise ModelError(f"{label}: {len(broken)} tensors are not finite ({_few(broken)}): fetch the file again")
    stages.load_state_dict({key: state[file_key(key)] for key in own}, assign=True)


def initialise(module: nn.Module) -> None:
    """He's normal distribution for the weights of a convolution or linear layer, zero for its bias.

    Source: He et al., "Delving deep into rectifiers", 2015.

    Example:
        >>> layer = nn.Linear(5000, 20); initialise(layer)
        >>> round(float(layer.weight.detach().square().mean() * 5000), 1)  # variance 2 / inputs
        2.0
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def unknown(what: str, value: str, known: Iterable[str]) -> str:
    """The message for a name that is not of a table: the nearest one, and all.

    Example:
        >>> unknown("backbone", "vgg_16", ["vgg16", "efficientnet_lite0"])
        "unknown backbone 'vgg_16': did you mean 'vgg16'? Known: vgg16, efficientnet_lite0"
    """
    names = list(known)
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {value!r}:{hint} Known: {', '.join(names)}"


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if is_pickle(path):
        raise ModelError(
            f"{path}: a PyTorch pickle, which may run code and is not read: convert it where you trust it, "
            f'python -c "import torch, safetensors.torch as s; s.save_file(torch.load({str(path)!r}, '
            f'weights_only=True), {str(path.with_suffix(".safetensors"))!r})"'
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cut short or not a safetensors file ({error}): fetch it again") from None


def is_pickle(path: Path) -> bool:
    """Whether a file begins as one of `torch.save` does: a zip archive, or a pickle of protocol 2 or later.

    A safetensors file begins with the length of its header, eight bytes that may be those of a pickle, and a brace.
    """
    with path.open("rb") as file:
        start = file.read(9)
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and start[8:] != b"{")


def _packaged(path: Path, digest: str) -> dict[str, Tensor]:
    """The state dict of a package's file, read after its SHA-256 was compared."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise ModelError(
            f"{path}: not the weights of the package's version (SHA-256 {found[:12]}…, not {digest[:12]}…): "
            "install the package again"
        )
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def _parse(source: Path, text: str) -> Preprocessing:
    try:
        values = json.loads(text)
        mean, std = (tuple(map(float, values[key])) for key in ("mean", "std"))
        valid = len(mean) == len(std) == 3 and all(map(math.isfinite, mean + std)) and min(std) > 0
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        valid = False
    if not valid:
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        raise ModelError(
            f'{source}: preprocessing {shown!r} is not {{"mean": [r, g, b], "std": [r, g, b]}}: correct it'
        )
    return Preprocessing(mean, std)  # type: ignore[arg-type]  # three each, as checked


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
