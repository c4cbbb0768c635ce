"""The check of the padding that the tests of both networks share."""

from collections.abc import Callable

import numpy as np

from deepgllim.pose.detection import Candidates


def check_padding(run_network: Callable[..., Candidates]) -> None:
    """Check that an image gives the candidates of the image that is padded with black to multiples of 32 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (33, 50, 3), dtype=np.uint8)
    filled = np.zeros((64, 64, 3), dtype=np.uint8)
    filled[:33, :50] = pixels
    one, other = (run_network(each, threshold=0.0) for each in (pixels, filled))
    assert len(one.boxes) == 16 * 16  # a cell for each 4 × 4 pixels
    np.testing.assert_array_equal(one.boxes, other.boxes)
    assert len(run_network(pixels, threshold=1.1).boxes) == 0
