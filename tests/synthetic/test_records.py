"""The record of an image: JSON values, complete, with the angles of its rotation."""

import json
from dataclasses import replace

import numpy as np
import pytest

from deepgllim.geometry.rotations import (
    ANGLES,
    NECK_ANGLES,
    angles_from_rotation,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from deepgllim.synthetic import SceneSampler, label, load_head_model
from deepgllim.synthetic.records import COLUMNS, Record, head_angles, manifest_row, record
from deepgllim.synthetic.scene import Array


def known(sampler: SceneSampler, index: int, rotation: Array | None = None) -> Record:
    scene = sampler(index) if rotation is None else replace(sampler(index), rotation=rotation)
    return record(sampler, index, scene, label(load_head_model(), scene))


def test_a_record_is_plain_and_the_same_again() -> None:
    first, again = (known(SceneSampler("wide", identities=5, size=96, seed=4), 12) for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == first == again
    assert (first["index"], first["subject"], first["set"], first["seed"]) == (12, "p0002", "wide", 4)
    assert first != known(SceneSampler("wide", identities=5, size=96, seed=5), 12)


def test_a_record_tells_all_of_a_scene() -> None:
    sampler = SceneSampler("wide", identities=5, size=96)
    for index in range(8):
        scene, values = sampler(index), known(sampler, index)
        R = np.array(values["rotation"]).reshape(3, 3)
        np.testing.assert_allclose(R, scene.rotation, atol=1e-7)
        np.testing.assert_allclose(rotation_from_angles(*(values[name] for name in ANGLES)), R, atol=1e-5)
        tilt, pan, neck_roll = (values[name] for name in NECK_ANGLES)
        np.testing.assert_allclose(rotation_from_pan_tilt(pan, tilt, neck_roll), R, atol=1e-5)
        assert values["person"]["seed"] == scene.person.seed
        assert values["person"]["appearance"]["hair_style"] == scene.person.appearance.hair_style
        assert set(values["person"]["attributes"]) == set(load_head_model().attribute_names)
        assert len(values["lights"]) == len(scene.lights)
        assert values["wear"]["glasses"] == scene.wear.glasses
        assert values["background"]["kind"] == scene.background.kind
        assert values["capture"]["jpeg_quality"] == scene.capture.jpeg_quality
        np.testing.assert_allclose(np.array(values["torso"]).reshape(3, 3), scene.torso, atol=1e-7)


def test_landmarks_and_box_are_pixels_of_the_camera_that_is_told() -> None:
    values = known(SceneSampler("uniform", size=96), 3)
    landmarks, camera = np.array(values["landmarks"]), values["camera"]
    assert landmarks.shape == (len(values["landmark_numbers"]), 2)
    x0, y0, x1, y1 = values["box"]
    assert ((landmarks > (x0 - 1, y0 - 1)) & (landmarks < (x1 + 1, y1 + 1))).all()
    middle = np.array(camera["translation"])
    x, y = camera["focal"] * middle[:2] / middle[2] + camera["centre"]
    assert x0 < x < x1 and y0 < y < y1  # noqa: PT018


def test_numbers_are_short() -> None:
    text = json.dumps(known(SceneSampler("wide", size=96), 0))
    assert "-0.0," not in text and "-0.0]" not in text  # noqa: PT018
    values = json.loads(text)
    pixels = [
        *values["box"],
        *np.ravel(values["landmarks"]),
        values["camera"]["focal"],
        *(values[name] for name in ANGLES),
    ]
    assert all(round(value, 4) == value for value in pixels)
    assert all(round(value, 6) == value for value in values["camera"]["translation"])


@pytest.mark.parametrize(
    "angles", [(0, 95, 0), (5, -95, 10), (-20, 120, -15), (10, 179, 0), (30, -60, 20), (0, 0, 0), (60, 75, -20)]
)
def test_a_head_turned_beyond_profile_has_such_a_yaw(angles: tuple[float, float, float]) -> None:
    R = rotation_from_angles(*angles)
    np.testing.assert_allclose(head_angles(R), angles, atol=1e-9)
    np.testing.assert_allclose(rotation_from_angles(*head_angles(R)), R, atol=1e-12)


def test_up_to_profile_the_angles_are_the_usual_ones() -> None:
    for pan, tilt, neck_roll in [(60, 70, 45), (90, 40, -45), (-89, -75, 30)]:
        R = rotation_from_pan_tilt(pan, tilt, neck_roll)
        np.testing.assert_array_equal(head_angles(R), angles_from_rotation(R))


def test_a_record_of_an_earlier_version_gives_the_same_row() -> None:
    now = {"path": "a.jpg", **known(SceneSampler("wide", identities=2, size=96), 2)}
    old = {"tip" if name == "neck_roll" else name: value for name, value in now.items()}
    assert manifest_row(old) == manifest_row(now)


def test_a_row_has_the_columns_of_a_manifest() -> None:
    values = {"path": "images/000/000002.jpg", **known(SceneSampler("wide", identities=2, size=96), 2)}
    row = dict(zip(COLUMNS, manifest_row(values), strict=True))
    assert row["path"] == "images/000/000002.jpg"
    assert (row["subject"], row["sequence"], row["source"]) == ("p0000", "wide", "rendered:wide")
    assert [row["x0"], row["y1"], row["pan"]] == [values["box"][0], values["box"][3], values["pan"]]
