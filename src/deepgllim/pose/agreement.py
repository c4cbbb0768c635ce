"""Checks of the header, the graph and the outputs of an exported network, whose file may come from any source."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ModelError
from deepgllim.pose.runtime import Value

REMEDY = "write one with `deepgllim export`"

MAX_IMAGE_SIZE = 4096
"""Largest side of a crop, pixels."""

MARGINS = (0.1, 10.0)
"""Range of the side of a crop over the longer side of the face box."""

MAX_TARGETS = 100

OUTPUTS = ("weights", "means", "covariances", "mean", "covariance", "log_density")

_TYPES = {"pixels": "tensor(uint8)"}
_SUM_TOLERANCE = 1e-3  # of weights in float32


def check_header(path: Path, values: Mapping[str, Any]) -> None:
    """Raise a ModelError unless the entries of a header have valid types and values."""
    size, margin = values.get("image_size"), values.get("margin")
    if type(size) is not int or not 1 <= size <= MAX_IMAGE_SIZE:
        raise _refusal(path, "image_size", size, f"not a whole number of pixels from 1 to {MAX_IMAGE_SIZE}")
    low, high = MARGINS
    if type(margin) not in (int, float) or not low <= margin <= high:  # type: ignore[operator]  # it is a number here
        raise _refusal(path, "margin", margin, f"not a number from {low:g} to {high:g}")
    _check_targets(path, values.get("targets"))
    for name in ("calibration", "notes"):
        if not isinstance(values.get(name, {}), dict | None):
            raise _refusal(path, name, values[name], "not a JSON object")


def _check_targets(path: Path, names: Any) -> None:
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_TARGETS:
        raise _refusal(path, "targets", names, f"not a list of 1 to {MAX_TARGETS} names")
    named = all(isinstance(name, str) and 0 < len(name) <= 64 and name.isprintable() for name in names)
    if not named or len(set(names)) < len(names):
        raise _refusal(path, "targets", names, "not names, printable and each once")


def check_graph(
    path: Path, size: int, targets: Sequence[str], inputs: Sequence[Value], outputs: Sequence[Value]
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output without its first axis, after checking the graph against the header.

    Args:
        path: path of the file, for messages.
        size: S, the side of the crops in the header.
        targets: names of the L targets in the header.
        inputs: declared inputs of the graph: `pixels`, (N, 3, S, S), uint8.
        outputs: declared outputs of the graph, those of `deepgllim.nn.export`, float32. `log_density` may be missing,
            and other outputs are ignored.

    Raises:
        ModelError: a name, type or shape differs.
    """
    given, made = {value.name: value for value in inputs}, {value.name: value for value in outputs}
    needed = [name for name in OUTPUTS if name != "log_density"]
    if list(given) != ["pixels"] or not set(needed) <= set(made):
        raise ModelError(
            f"{path}: takes {_listed(given)} and gives {_listed(made)}, not pixels and {', '.join(sorted(needed))}; "
            f"{REMEDY}"
        )
    shapes = _output_shapes(_components(path, made["weights"]), len(targets))
    _check_value(path, given["pixels"], (3, size, size), f"image_size {size}")
    for name, shape in shapes.items():
        if name in made:
            _check_value(path, made[name], shape, f"{len(targets)} targets, {', '.join(targets)}")
    return {name: shape for name, shape in shapes.items() if name in made}


def _output_shapes(K: int, L: int) -> dict[str, tuple[int, ...]]:
    return dict(zip(OUTPUTS, ((K,), (K, L), (K, L, L), (L,), (L, L), ()), strict=True))


def _components(path: Path, weights: Value) -> int:
    """Return K, the number of components."""
    K = weights.shape[1] if len(weights.shape) == 2 else None
    if not isinstance(K, int) or K < 1:
        raise ModelError(f"{path}: its output weights has shape {_shown(weights)}, not (N, K); {REMEDY}")
    return K


def _check_value(path: Path, value: Value, shape: tuple[int, ...], header: str) -> None:
    kind = _TYPES.get(value.name, "tensor(float)")
    batch = value.shape[0] if value.shape else 1
    if value.type != kind or isinstance(batch, int) or value.shape[1:] != shape:
        wanted = f"({', '.join(map(str, ('N', *shape)))})"
        raise ModelError(
            f"{path}: its header says {header}, so {value.name} must be {kind} of shape {wanted}, N free; in its graph "
            f"it is {value.type} of shape {_shown(value)}: {REMEDY}"
        )


def check_outputs(
    path: Path, outputs: Mapping[str, npt.NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], n: int
) -> None:
    """Raise a ModelError unless the outputs for n crops are finite, have the declared shapes and form a mixture.

    The weights must be non-negative with sum 1, and the variances positive. A covariance may be nearly singular if the
    targets depend on each other.
    """
    for name, shape in shapes.items():
        if outputs[name].shape != (n, *shape):
            raise _broken(path, f"{name} has shape {outputs[name].shape}, not {(n, *shape)}")
        if not np.isfinite(outputs[name]).all():
            raise _broken(path, f"{name} is not finite")
    weights = outputs["weights"]
    if (weights < 0).any() or (np.abs(weights.sum(axis=1, dtype=np.float64) - 1) > _SUM_TOLERANCE).any():
        raise _broken(path, "weights are negative or do not add up to 1")
    for name in ("covariance", "covariances"):
        if (np.diagonal(outputs[name], axis1=-2, axis2=-1) <= 0).any():
            raise _broken(path, f"{name} has a variance that is not positive")


def _broken(path: Path, fault: str) -> ModelError:
    return ModelError(
        f"{path}: its output {fault}: the file is damaged or the training failed; train and export it again"
    )


def _refusal(path: Path, name: str, value: object, fault: str) -> ModelError:
    text = "missing" if value is None else repr(value)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return ModelError(f"{path}: its header is not a model's ({name} is {shown}, {fault}); {REMEDY}")


def _listed(names: Mapping[str, Value]) -> str:
    return ", ".join(names) if names else "nothing"


def _shown(value: Value) -> str:
    return f"({', '.join('free' if not isinstance(side, int) else str(side) for side in value.shape)})"
