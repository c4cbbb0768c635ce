"""Tests of the drawn axes."""

import numpy as np
import pytest
from PIL import Image

from deepgllim.errors import ImageError
from deepgllim.imaging.conversion import to_array
from deepgllim.imaging.drawing import AXIS_COLOURS, draw_axes


def count(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[float, float]:
    """Return the centre of the pixels of one colour, relative to the image centre."""
    rows, columns = np.nonzero((to_array(picture) == np.array(colour)[:, None, None]).all(axis=0))
    return float(columns.mean() - picture.width / 2), float(rows.mean() - picture.height / 2)


@pytest.mark.parametrize(
    ("pose", "axis", "direction"),
    [
        ((0, 60, 0), 2, (-1, 0)),
        ((0, -60, 0), 2, (1, 0)),
        ((45, 0, 0), 2, (0, -1)),
        ((-45, 0, 0), 2, (0, 1)),
        ((0, 0, 0), 0, (1, 0)),
        ((0, 0, 0), 1, (0, 1)),
        ((0, 0, 90), 0, (0, 1)),
    ],
)
def test_axes_point_where_the_head_does(
    pose: tuple[float, float, float], axis: int, direction: tuple[int, int]
) -> None:
    x, y = count(draw_axes(Image.new("RGB", (100, 100)), *pose), AXIS_COLOURS[axis])
    along = x * direction[0] + y * direction[1]
    across = x * direction[1] - y * direction[0]
    assert along > 10
    assert abs(across) < 2


def test_drawing_leaves_the_picture_and_writes_the_label() -> None:
    picture = Image.new("RGB", (100, 80), "grey")
    plain = draw_axes(picture, 10, 20, 0, (20, 20, 60, 60), width=3)
    labelled = draw_axes(picture, 10, 20, 0, (20, 20, 60, 60), width=3, label="yaw 20")
    assert np.unique(to_array(picture)).size == 1
    assert (to_array(plain) != to_array(labelled)).any()
    with pytest.raises(ImageError, match="entirely outside"):
        draw_axes(picture, 0, 0, 0, (200, 0, 210, 10))
