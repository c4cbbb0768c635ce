"""Tests of drawn poses: directions of the noses, captions, and that the image is not changed."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.imaging.drawing import AXIS_COLOURS
from deepgllim.pose import Pose, PoseMode
from deepgllim.pose.batch.annotate import KNOWN_COLOUR, UNKNOWN_COLOUR, caption, draw_poses, pale, readable_size
from deepgllim.pose.camera import Intrinsics

BOX = (60.0, 60.0, 140.0, 140.0)
NOSE = AXIS_COLOURS[2]


def pose(yaw: float = 0.0, **fields: object) -> Pose:
    values = {"rotation": rotation_from_angles(0, yaw, 0), "rotation_covariance": np.eye(3), "box": BOX} | fields
    return Pose(**values)  # type: ignore[arg-type]


def places(image: Image.Image, colour: tuple[int, int, int]) -> npt.NDArray[np.intp]:
    """Return the columns of the pixels of a colour."""
    return np.nonzero((np.asarray(image) == colour).all(axis=2))[1]


@pytest.fixture
def grey() -> Image.Image:
    return Image.new("RGB", (200, 200), (90, 90, 90))


def test_noses_point_where_the_head_looks(grey: Image.Image) -> None:
    before = grey.copy()
    assert places(draw_poses(grey, [pose(80)]), NOSE).mean() < 85
    assert places(draw_poses(grey, [pose(-80)]), NOSE).mean() > 115
    assert grey == before


def test_further_modes_have_paler_noses(grey: Image.Image) -> None:
    modes = tuple(
        PoseMode(rotation_from_angles(0, yaw, 0), np.eye(3), p) for yaw, p in ((60, 0.6), (-60, 0.39), (0, 0.01))
    )
    drawn = draw_poses(grey, [pose(60, modes=modes)])
    other = pale(NOSE, 1 - 0.5 * 0.39 / 0.6)
    assert places(drawn, other).mean() > 105
    assert places(draw_poses(grey, [pose(60)]), other).size == 0


def test_faces_unlike_the_training_data_are_red(grey: Image.Image) -> None:
    assert draw_poses(grey, [pose(in_distribution=False)]).getpixel((60, 100)) == UNKNOWN_COLOUR
    assert draw_poses(grey, [pose(in_distribution=None)]).getpixel((60, 100)) == KNOWN_COLOUR


def test_captions() -> None:
    modes = tuple(PoseMode(rotation_from_angles(0, yaw, 0), np.eye(3), 0.5) for yaw in (0, 30))
    text = caption(pose(12, modes=modes, in_distribution=False, unknown=("roll", "neck_roll")), 0.9, "track 3")
    assert text.split("\n") == [
        *("track 3", "pitch 0° ± 2°", "yaw 12° ± 2°", "roll unknown"),
        *("several poses fit", "do not trust it"),
    ]
    assert "pan -90°" in caption(pose(-89.9), 0.9)


@pytest.mark.parametrize("box", [(0, 0, 200, 200), (-50, 150, 40, 260), (180, -30, 230, 20), (3, 3, 5, 5), None])
def test_any_box_can_be_drawn(grey: Image.Image, box: tuple[float, float, float, float] | None) -> None:
    drawn = draw_poses(grey, [pose(20, box=box)])
    assert drawn.size == grey.size
    assert (np.asarray(drawn) > 150).all(axis=2).sum() > 20  # the caption is in the picture


@pytest.mark.parametrize(
    "box",
    [
        (50.0, 60.0, 160.0, 190.0),
        (20.0, 20.0, 190.0, 235.0),
        (100.0, 5.0, 198.0, 130.0),
        (2.0, 100.0, 90.0, 245.0),
    ],
)
def test_captions_of_a_small_portrait_are_outside_the_face(box: tuple[float, float, float, float]) -> None:
    """Where the face leaves room: a corner is covered at most in its margin."""
    portrait = Image.new("RGB", (200, 250), (90, 90, 90))
    drawn = np.asarray(draw_poses(portrait, [pose(10, box=box)], size=readable_size(portrait.size)))
    assert drawn.shape == (640, 512, 3)
    rows, columns = np.nonzero((drawn == 255).all(axis=2))
    x0, y0, x1, y1 = (2.56 * edge for edge in box)
    inside = (columns > x0) & (columns < x1) & (rows > y0) & (rows < y1)
    room = max(y0, 640 - y1) > 100 or max(x0, 512 - x1) > 200
    assert not inside.any() if room else inside.mean() < 1


def test_a_picture_that_is_enlarged_has_enlarged_axes(grey: Image.Image) -> None:
    camera = Intrinsics.from_field_of_view(90, 200, 200)
    for intrinsics in (None, camera):
        small = places(draw_poses(grey, [pose(8)], intrinsics=intrinsics), NOSE)
        large = places(draw_poses(grey, [pose(8)], intrinsics=intrinsics, size=(600, 600)), NOSE)
        assert np.ptp(large) == pytest.approx(3 * np.ptp(small), abs=12)


def test_captions_of_neighbours_cover_no_face(grey: Image.Image) -> None:
    boxes = ((10.0, 40.0, 90.0, 120.0), (10.0, 122.0, 90.0, 199.0))
    drawn = np.asarray(draw_poses(grey, [pose(0, box=box) for box in boxes]))
    rows, columns = np.nonzero((drawn == 255).all(axis=2))
    for x0, y0, x1, y1 in boxes:
        assert not ((columns > x0) & (columns < x1) & (rows > y0) & (rows < y1)).any()


def test_no_face_leaves_a_copy(grey: Image.Image) -> None:
    drawn = draw_poses(grey, [])
    assert drawn == grey
    assert drawn is not grey


def test_axes_are_drawn_as_they_are_seen(grey: Image.Image) -> None:
    camera = Intrinsics.from_field_of_view(90, 200, 200)
    aside = pose(30, box=(0.0, 60.0, 80.0, 140.0))
    turned = aside.rotate(camera.ray_rotation(aside.box or ()))
    drawn, seen = draw_poses(grey, [turned], intrinsics=camera), draw_poses(grey, [aside])
    assert np.array_equal(places(drawn, NOSE), places(seen, NOSE))
    assert not np.array_equal(places(draw_poses(grey, [turned]), NOSE), places(seen, NOSE))
