"""The grid of cells that the detection networks of this package share: a value for each cell of 4 × 4 pixels."""

import numpy as np
import numpy.typing as npt

CELL = 4
"""Side of a cell, pixels."""

MULTIPLE = 32
"""The sides of the input of a network must be multiples of it, pixels."""


def pad_to_grid(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return an image (H, W, 3) padded with black at the right and at the bottom to multiples of 32 pixels.

    Example:
        >>> pad_to_grid(np.ones((33, 32, 3), dtype=np.uint8)).shape
        (64, 32, 3)
    """
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)))
