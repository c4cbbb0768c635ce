"""BlazeFace of MediaPipe, the full-range model, with weights in this package and onnxruntime.

Bazarevsky et al., "BlazeFace: sub-millisecond neural face detection on mobile GPUs", 2019; weights under the licence
Apache-2.0. The file is written by `tools/convert_blazeface.py`. Its input is RGB pixels, uint8, (N, H, W, 3). Its
outputs have one value for each cell of 4 × 4 pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.pose.detection.boxes import Candidates
from deepgllim.pose.detection.grid import CELL, pad_to_grid
from deepgllim.pose.runtime import Session

Maps = npt.NDArray[np.floating[Any]]

LARGEST_FACE = 48
"""Side of the largest faces that the network detects reliably, pixels; the smallest have 12."""

LEAST_SCORE = 0.2
"""Score above which the candidates of a face are averaged; of the lower ones many are of no face."""

_OUTPUTS = ["logits", "geometry"]


def weights_file() -> Path:
    """Return the path of `blazeface.onnx` in this package."""
    return Path(__file__).with_name("blazeface.onnx")


def load_network(threads: int = 0) -> Session:
    """Open the network for images of any size whose sides are multiples of 32.

    Args:
        threads: number of threads; 0 for the default of onnxruntime.

    Raises:
        ConfigurationError: onnxruntime is not installed.
    """
    return Session(weights_file(), threads)


def run_network(network: Session, pixels: npt.NDArray[np.uint8], threshold: float) -> Candidates:
    """Run the network on one image.

    Args:
        network: the session of `load_network`.
        pixels: RGB, uint8, (H, W, 3); padded to the grid.
        threshold: least score of a candidate, in [0, 1].
    """
    return run_network_batch(network, [pixels], threshold)[0]


def run_network_batch(network: Session, images: Sequence[npt.NDArray[np.uint8]], threshold: float) -> list[Candidates]:
    """Run the network on several images; those whose padded sizes are equal share a run.

    Args:
        network: the session of `load_network`.
        images: RGB, uint8, (H, W, 3) each; padded to the grid.
        threshold: least score of a candidate, in [0, 1].

    Returns:
        The candidates of each image.
    """
    padded = [pad_to_grid(pixels) for pixels in images]
    found: dict[int, Candidates] = {}
    for shape in {each.shape for each in padded}:
        rows = [row for row, each in enumerate(padded) if each.shape == shape]
        outputs = network.run(_OUTPUTS, {network.inputs[0].name: np.stack([padded[row] for row in rows])})
        maps = zip(rows, *outputs, strict=True)
        found |= {row: read_maps(logits, geometry, threshold=threshold) for row, logits, geometry in maps}
    return [found[row] for row in range(len(images))]


def read_maps(logits: Maps, geometry: Maps, *, threshold: float) -> Candidates:
    """Return the candidates encoded in the output maps of the network.

    The cell in row i and column j encodes a face with the score 1 / (1 + exp(−logits[i, j])). The centre of the box is
    at 4 (j + ½, i + ½) + (geometry₀, geometry₁), pixels, its width is geometry₂ and its height geometry₃. Landmark l is
    at 4 (j + ½, i + ½) + (geometry₄₊₂ₗ, geometry₅₊₂ₗ).

    Args:
        logits: (1, H, W).
        geometry: positions and extents in pixels, (16, H, W).
        threshold: least score of a candidate.

    Returns:
        Candidates with six landmarks: the eyes, the tip of the nose, the centre of the mouth and the ears.

    Example:
        >>> logits, geometry = np.full((1, 3, 3), -9.0), np.zeros((16, 3, 3))
        >>> logits[0, 1, 2], geometry[2:4, 1, 2], geometry[4, 1, 2] = 0.0, (6, 8), -1
        >>> found = read_maps(logits, geometry, threshold=0.5)
        >>> found.boxes, found.landmarks[0, 0], found.scores
        (array([[ 7.,  2., 13., 10.]]), array([9., 6.]), array([0.5]))
    """
    scores = 1 / (1 + np.exp(-logits[0].astype(np.float64).clip(-100, 100)))
    rows, columns = np.nonzero(scores >= threshold)
    cells = CELL * (np.stack([columns, rows], axis=-1) + 0.5)  # (N, 2): x, y
    pairs = geometry[:, rows, columns].T.astype(np.float64).reshape(-1, 8, 2)
    centres, halves = cells + pairs[:, 0], pairs[:, 1] / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=-1)
    return Candidates(boxes, cells[:, None] + pairs[:, 2:], scores[rows, columns])
