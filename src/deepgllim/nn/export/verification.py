"""Comparison of an exported graph with its model.

A mean is compared in units of its predicted standard deviation s, and an entry of a covariance in units of s_i s_j: the
rounding errors of a network in float32 grow with the scale of its predictions, and so does what they may be.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepgllim.errors import ModelError
from deepgllim.nn.model import DeepRegression
from deepgllim.pose.runtime import Session

TOLERANCE = 1e-4
"""Largest difference of an exported graph: of weights, of means in standard deviations, of log p(x) relatively."""
IMAGES = 4
"""Number of random images of the comparison."""


def random_images(size: int) -> NDArray[np.uint8]:
    """Return the images of the comparison, (N, 3, size, size): uniform noise, the same in every call."""
    return np.random.default_rng(0).integers(0, 256, (IMAGES, 3, size, size)).astype(np.uint8)


def check_exported(content: bytes, model: DeepRegression, path: Path) -> None:
    """Compare a graph with its model on random images.

    Args:
        content: the ONNX file.
        model: the model in the form that was exported.
        path: the file that is to be written, for the message.

    Raises:
        ModelError: an output differs by more than `TOLERANCE` or is not a number.
    """
    assert model.spec.image_size is not None
    pixels = random_images(model.spec.image_size)
    session = Session(content, threads=1)
    names = [output.name for output in session.outputs]
    found = dict(zip(names, map(torch.from_numpy, session.run(names, {"pixels": pixels})), strict=True))
    worst = differences(model, found, torch.from_numpy(pixels))
    for name, value in worst.items():
        if not value <= TOLERANCE:  # NaN too
            raise ModelError(
                f"{path}: not written, since its output {name!r} differs from the model by {value:g}, more than "
                f"{TOLERANCE:g}: report this as a bug, with the model"
            )


def differences(model: DeepRegression, outputs: dict[str, Tensor], pixels: Tensor) -> dict[str, float]:
    """Return the largest difference of each output of a graph from that of the model.

    Means are in units of their standard deviation, covariances in units of the product of two of them; log p(x) is
    relative for values above 1.

    Args:
        model: the model in the form that was exported, `compact(model)` or `folded(model)`.
        outputs: outputs of the graph, by name.
        pixels: inputs of the graph, (N, 3, S, S), uint8.
    """
    with torch.no_grad():
        answer = model.eval()(pixels)
    each, mixed = _deviations(answer.covariances), _deviations(answer.covariance_matrix)
    truth = {
        "weights": (answer.weights, torch.ones(())),
        "means": (answer.means, each),
        "covariances": (answer.covariances, each[..., :, None] * each[..., None, :]),
        "mean": (answer.mean, mixed),
        "covariance": (answer.covariance_matrix, mixed[..., :, None] * mixed[..., None, :]),
    }
    if answer.input_log_density is not None:
        truth["log_density"] = (answer.input_log_density, answer.input_log_density.abs().clamp(min=1.0))
    return {name: float(((outputs[name] - value).abs() / unit).max()) for name, (value, unit) in truth.items()}


def _deviations(covariances: Tensor) -> Tensor:
    """Return the standard deviations of covariance matrices, (..., L)."""
    return covariances.diagonal(dim1=-2, dim2=-1).sqrt()
