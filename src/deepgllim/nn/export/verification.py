"""Export of a model to a file that is written only if it computes the outputs of the model."""

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepgllim.errors import ModelError
from deepgllim.nn.export.onnx_file import compact, folded, onnx_content
from deepgllim.nn.model import DeepRegression
from deepgllim.pose.network import PoseNetwork
from deepgllim.storage import write_atomically

TOLERANCE = 1e-4
"""Largest difference of an output, relative for values above 1, that is always accepted."""

ROUNDING_FACTOR = 10.0
"""A larger difference is accepted up to this multiple of the effect of float32 on the model itself."""

FOLDING_TOLERANCE = 1e-6
"""Largest difference by folding normalisations into convolutions, in float64."""

N_IMAGES = 4


class Verification(NamedTuple):
    """The comparison of an exported file with its model, on random images.

    Attributes:
        differences: largest difference of each output from the exported model, relative for values above 1.
        float16: largest difference of the mean from the model before its weights were rounded.
        image_size: side of the images, pixels.
        targets: names of the targets.
    """

    differences: dict[str, float]
    float16: float
    image_size: int
    targets: tuple[str, ...]


def export_verified(model: DeepRegression, path: Path, *, half_weights: bool = True) -> Verification:
    """Write a model to an ONNX file after the outputs of the graph were compared with those of the model.

    Args:
        model: a trained model.
        path: the file. It is not written or changed if the comparison fails.
        half_weights: whether large weights are stored as float16.

    Raises:
        ModelError: if an output differs by more than `TOLERANCE` and by more than `ROUNDING_FACTOR` times the effect of
            float32 in place of float64 on the model, or if the file cannot be written.
    """
    size = model.spec.image_size
    if size is None:
        raise ModelError("the model has no image size: only models of pictures can be exported")
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (N_IMAGES, 3, size, size)).astype(np.uint8))
    check_folding(model, images)
    exported = compact(model) if half_weights else folded(model)
    expected = model_outputs(exported, images)
    rounding = differences(in_double(exported), expected, images)
    content = onnx_content(exported, half_weights)
    found: dict[str, Tensor] = {}
    worst: dict[str, float] = {}

    def write(place: Path) -> None:
        place.write_bytes(content)
        answer = PoseNetwork(place)(images.numpy())._asdict()
        found.update({name: torch.from_numpy(value) for name, value in answer.items() if value is not None})
        worst.update(largest_differences(expected, found))
        check_outputs(path, worst, rounding)

    write_atomically(path, write, ModelError)
    return Verification(worst, differences(model, found, images)["mean"], size, model.spec.targets)


def check_folding(model: DeepRegression, images: Tensor) -> None:
    """Compare the outputs of a model with those of its folded copy, both in float64.

    Raises:
        ModelError: if one differs by more than `FOLDING_TOLERANCE`, relative for values above 1.
    """
    precise = in_double(model)
    worst = differences(precise, model_outputs(folded(precise), images), images)
    name = max(worst, key=lambda key: worst[key])
    if worst[name] > FOLDING_TOLERANCE:
        raise ModelError(
            f"folding the batch normalisations changes {name} by {worst[name]:g}, more than {FOLDING_TOLERANCE:g}: "
            "report a bug"
        )


def check_outputs(path: Path, worst: dict[str, float], rounding: dict[str, float]) -> None:
    """Compare the differences of the outputs of a graph with their limits.

    Args:
        path: the file, for the error message.
        worst: largest difference of each output of the graph from the model.
        rounding: largest effect of float32 on each output of the model.

    Raises:
        ModelError: if an output differs by more than its limit.

    Example:
        >>> check_outputs(Path("m.onnx"), {"mean": 2e-4}, {"mean": 3e-5})
        >>> check_outputs(Path("m.onnx"), {"mean": 2e-4}, {"mean": 1e-6})
        Traceback (most recent call last):
        ...
        deepgllim.errors.ModelError: m.onnx: mean differs from the model by 0.0002, more than 0.0001: report a bug
    """
    for name, difference in worst.items():
        limit = max(TOLERANCE, ROUNDING_FACTOR * rounding[name])
        if not difference <= limit:
            raise ModelError(
                f"{path}: {name} differs from the model by {difference:g}, more than {limit:g}: report a bug"
            )


def in_double(model: DeepRegression) -> DeepRegression:
    """Return a copy of a model in float64."""
    return copy.deepcopy(model).double().eval()


def differences(model: DeepRegression, outputs: dict[str, Tensor], pixels: Tensor) -> dict[str, float]:
    """Return the largest difference of each output of a graph from that of the model; relative for values above 1.

    Args:
        model: the model in the form that was exported, `compact(model)` or `folded(model)`.
        outputs: outputs of the graph, by name.
        pixels: inputs of the graph, (N, 3, S, S), uint8.
    """
    return largest_differences(model_outputs(model, pixels), outputs)


def largest_differences(expected: dict[str, Tensor], outputs: dict[str, Tensor]) -> dict[str, float]:
    """Return the largest difference of each output from the expected one; relative for values above 1.

    Example:
        >>> largest_differences({"mean": torch.tensor([0.5, 20.0])}, {"mean": torch.tensor([0.75, 21.0])})
        {'mean': 0.25}
    """
    return {
        name: float(((outputs[name] - value).abs() / value.abs().clamp(min=1.0)).max())
        for name, value in expected.items()
    }


@torch.no_grad()
def model_outputs(model: DeepRegression, images: Tensor) -> dict[str, Tensor]:
    """Return the outputs of a model for images, by the names of the outputs of its graph."""
    answer = model.eval()(images)
    outputs = {
        "weights": answer.weights,
        "means": answer.means,
        "covariances": answer.covariances,
        "mean": answer.mean,
        "covariance": answer.covariance_matrix,
    }
    if answer.input_log_density is not None:
        outputs["log_density"] = answer.input_log_density
    return outputs
