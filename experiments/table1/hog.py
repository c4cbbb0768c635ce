"""Histograms of oriented gradients at three resolutions, with 1,888 numbers per face, as in the paper.

Grey crops of 64, 32 and 16 px have cells of 8 px, blocks of 2 × 2 cells and 8 orientations: 7² + 3² + 1² blocks of
32 numbers. Source: Drouard et al., IEEE Transactions on Image Processing, 2017.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = (64, 32, 16)
CELL, BLOCK, ORIENTATIONS = 8, 2, 8
LENGTH = 1888


def pyramid(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the descriptor of an RGB crop (3, 64, 64), of shape (1888,)."""
    from skimage.feature import hog  # of the extra dev: the other methods do not need it

    grey = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).convert("L")
    levels = [np.asarray(grey.resize((size, size), Image.Resampling.BOX)) for size in SIZES]
    cell, block = (CELL, CELL), (BLOCK, BLOCK)
    return np.concatenate([hog(level, ORIENTATIONS, cell, block) for level in levels]).astype(np.float32)
