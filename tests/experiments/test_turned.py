"""Test the portraits turned in space: placement, turn, labels, drawing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepgllim.geometry import pan_tilt_from_rotation, rotation_from_pan_tilt
from deepgllim.synthetic import label, load_head_model, to_camera
from experiments.pretrained.turned import (
    TURNS,
    VIEWS,
    Portrait,
    Turner,
    draw_views,
    placed_head,
    random_turn,
    turn_head,
)

BOX = (60.0, 70.0, 150.0, 190.0)


def portrait(angles: tuple[float, float, float] = (5.0, -10.0, 3.0)) -> Portrait:
    """Return a smooth picture of 200 × 250 pixels with a face of a known pose."""
    rows, columns = np.mgrid[:250, :200]
    waves = 128 + 60 * np.sin(columns / 25) * np.cos(rows / 30)
    picture = Image.fromarray(np.stack([waves, waves, 255 - waves], axis=-1).astype(np.uint8))
    return Portrait(Path("0001.jpg"), picture, BOX, np.array(angles))


def test_the_face_of_the_placed_head_has_the_box_of_the_portrait() -> None:
    scene = placed_head(portrait(), np.random.default_rng(0))
    x0, y0, x1, y1 = label(load_head_model(), scene).box
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((105, 130))
    assert max(x1 - x0, y1 - y0) == pytest.approx(120)
    np.testing.assert_allclose(pan_tilt_from_rotation(scene.rotation), (5, -10, 3), atol=1e-9)


def test_a_turn_keeps_the_joint_of_the_neck_in_place() -> None:
    scene = placed_head(portrait(), np.random.default_rng(1))
    turned = turn_head(scene, rotation_from_pan_tilt(40.0, 10.0, 0.0))
    joint = load_head_model().pivots(scene.person.identity)["head"]
    np.testing.assert_allclose(to_camera(joint, turned), to_camera(joint, scene), atol=1e-6)
    assert np.array_equal(turned.torso, scene.torso)


def test_turns_are_limited() -> None:
    generator = np.random.default_rng(0)
    turns = np.array([random_turn(generator) for _ in range(300)])
    assert (np.abs(turns[:, :2]).max(axis=0) <= TURNS[:2]).all()
    assert turns[:, 2].std() == pytest.approx(TURNS[2], rel=0.15)


def test_a_head_that_is_not_turned_gives_the_portrait_again() -> None:
    pytest.importorskip("moderngl")
    given = portrait()
    scene = placed_head(given, np.random.default_rng(2))
    with Turner() as turner:
        same = np.asarray(turner.draw(given.picture, scene, scene), np.float64)
        other = turner.draw(given.picture, scene, turn_head(scene, rotation_from_pan_tilt(30.0, 5.0, 3.0)))
    difference = np.abs(same - np.asarray(given.picture, np.float64))
    assert difference.mean() < 1.5
    assert np.abs(np.asarray(other, np.float64) - same).mean() > 5


def test_labels_and_boxes_are_those_of_the_drawn_views(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    with Turner() as turner:
        rows = list(draw_views(turner, portrait(), tmp_path))
    assert len(rows) == 1 + VIEWS
    assert [rows[0][name] for name in ("tilt", "pan", "neck_roll")] == [5.0, -10.0, 3.0]
    assert len({row["path"] for row in rows}) == len(rows)
    assert all(Path(str(row["path"])).is_file() for row in rows)
    assert rows[0]["y1"] - rows[0]["y0"] == pytest.approx(120)  # type: ignore[operator]
    assert len({row["pan"] for row in rows}) == len(rows)
