"""Predictions beside labels: order, conversions, what is missing."""

import numpy as np
import pandas as pd
import pytest

from deepgllim.data import Manifest, make_manifest
from deepgllim.errors import DataError, ImageError
from deepgllim.evaluation.faces import predict_faces, target_labels
from deepgllim.geometry.rotations import geodesic_distance, rotation_from_angles, rotation_from_pan_tilt
from deepgllim.pose.network import PoseNetwork

NECK = ("tilt", "pan", "neck_roll")


def table(**columns: list[float]) -> Manifest:
    count = len(next(iter(columns.values())))
    return make_manifest(pd.DataFrame({"path": ["a.png"] * count, **columns}), targets=tuple(columns)[:1])


def test_every_face_has_its_prediction_in_order(network: PoseNetwork, faces: Manifest) -> None:
    judged = predict_faces(network, faces)
    errors = judged.residuals
    assert judged.mean.shape == (120, 3)
    assert np.abs(errors[:, 1]).mean() == pytest.approx(8.3, abs=1.5)  # |N(0, √109)|
    assert np.isnan(judged.truth[:, 2]).all()  # the neck roll has no label
    assert set(judged.subjects) == {f"p{i}" for i in range(12)}
    part = judged.subset(judged.subjects == "p3")
    np.testing.assert_array_equal(part.mean, judged.mean[30:40])


def test_residuals_go_the_short_way_round(network: PoseNetwork, faces: Manifest) -> None:
    judged = predict_faces(network, faces.subset([0]))
    turned = judged._replace(truth=np.array([[0.0, 175.0, 0.0]]), mean=np.array([[0.0, -175.0, 0.0]]))
    np.testing.assert_allclose(turned.residuals, [[0.0, -10.0, 0.0]])


def test_labels_of_the_other_angles_are_converted() -> None:
    found = target_labels(table(pitch=[10.0, -40.0], yaw=[20.0, 50.0], roll=[5.0, -15.0]), NECK)
    for (tilt, pan, neck_roll), angles in zip(found, [(10, 20, 5), (-40, 50, -15)], strict=True):
        assert geodesic_distance(rotation_from_pan_tilt(pan, tilt, neck_roll), rotation_from_angles(*angles)) < 1e-6
    back = target_labels(table(tilt=[10.0], pan=[20.0], neck_roll=[5.0]), ("yaw", "pitch"))
    assert back.shape == (1, 2)


def test_some_labels_are_better_than_none() -> None:
    found = target_labels(table(pan=[3.0, 4.0]), NECK)
    np.testing.assert_array_equal(found[:, 1], [3.0, 4.0])
    assert np.isnan(found[:, [0, 2]]).all()


def test_no_labels_are_refused() -> None:
    with pytest.raises(DataError, match="predicts tilt, pan, neck_roll: the data has none of these columns, and"):
        target_labels(table(pitch=[1.0], yaw=[2.0]), NECK)


def test_labels_that_are_texts_are_refused_with_their_row() -> None:
    faces = make_manifest(
        pd.DataFrame({"path": ["a", "b"], "yaw": [1.0, 2.0], "pan": ["3", "left"], "neck_roll": ["", ""]})
    )
    with pytest.raises(DataError, match="row 2, column 'pan': 'left' is not a number"):
        target_labels(faces, NECK)
    found = target_labels(Manifest(faces.frame.assign(pan=["3", ""]), faces.targets), NECK)
    np.testing.assert_array_equal(found, [[np.nan, 3.0, np.nan], [np.nan, np.nan, np.nan]])


def test_faces_of_nobody_are_refused(network: PoseNetwork, faces: Manifest) -> None:
    nobody = Manifest(faces.frame.drop(columns="subject"), faces.targets)
    with pytest.raises(DataError, match="has no column 'subject'"):
        predict_faces(network, nobody)


def test_a_broken_picture_is_named(network: PoseNetwork, faces: Manifest) -> None:
    broken = Manifest(faces.frame.assign(path="/nowhere/a.png"), faces.targets)
    with pytest.raises(ImageError, match=r"/nowhere/a\.png"):
        predict_faces(network, broken)
