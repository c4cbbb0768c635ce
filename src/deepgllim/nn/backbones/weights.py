"""Weights files: their tensors, and the preprocessing of pixels with which they were trained."""

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
    """Normalisation x = (pixels - mean) / std of each channel of RGB pixels in 0..255.

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
    "unit": Preprocessing((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
}


def find_preprocessing(value: "str | Preprocessing") -> Preprocessing:
    """Return the preprocessing of a name in PREPROCESSINGS; a `Preprocessing` is returned unchanged.

    Raises:
        ConfigurationError: if the name is unknown.

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
    """Return the preprocessing of a weights file: the one named in the file, else the given one, else the usual one.

    Args:
        path: the file, for the error message.
        named: preprocessing named in the file.
        given: preprocessing given by the user.
        usual: name of the preprocessing that is usual for the network.

    Raises:
        ConfigurationError: if the given preprocessing is unknown or contradicts that of the file.
        ModelError: if there is none of the three.
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
    """Read the tensors of a weights file, and the preprocessing named in it.

    Args:
        path: safetensors file.
        digest: SHA-256 of a packaged PyTorch state dict. If given, the file is read as such after the digest was
            compared. Other PyTorch pickles are never opened.

    Returns:
        Tensors by name, floating-point ones in float32; and the preprocessing, if the file names one.

    Raises:
        ModelError: if the file is missing, truncated or not a safetensors file, or if its preprocessing is not three
            means and three standard deviations.
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
    """Replace the tensors of stages, which may be on the meta device, by those of a file; other tensors are ignored.

    Args:
        stages: module whose tensors are replaced.
        state: tensors of the file by name.
        file_key: function that maps the name of a tensor in `stages` to that in the file.
        label: description of the file, for error messages.

    Raises:
        ModelError: if tensors are missing, have another shape or are not finite; the message has the first names.
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
    """Initialise a convolution or linear layer: weights from He's normal distribution, zero for the bias.

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
    """Return the message for a name that is not in a table, with the most similar name and all names.

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
    """Return whether a file starts like one of `torch.save`: a zip archive, or a pickle of protocol 2 or later.

    A safetensors file starts with the length of its header in eight bytes, which may look like a pickle, and a brace.
    """
    with path.open("rb") as file:
        start = file.read(9)
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and start[8:] != b"{")


def _packaged(path: Path, digest: str) -> dict[str, Tensor]:
    """Return the state dict of the file of a package, after its SHA-256 was compared."""
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
