"""Labels in another convention: all three angles and those of the neck are converted, and the targets remain."""

import numpy as np
import pandas as pd
import pytest

from deepgllim.data import convert_labels, make_manifest
from deepgllim.errors import DataError
from deepgllim.geometry import ANGLES, NECK_ANGLES, from_convention, pan_tilt_from_rotation, rotation_from_angles

LABELS = np.array([[-7.0, 0.0, 0.0], [10.0, -60.0, 20.0]])


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(
        {"path": ["a.jpg", "b.jpg"], "subject": ["01", "02"], **dict(zip(ANGLES, LABELS.T, strict=True))} | columns
    )


def test_labels_of_300w_lp_get_our_zero() -> None:
    published = make_manifest(frame())
    ours = convert_labels(published, "300w-lp")
    np.testing.assert_allclose(ours.target_values, from_convention(LABELS, "300w-lp"))
    np.testing.assert_allclose(ours.target_values[0], [0, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(published.target_values, LABELS)  # the published labels are kept
    assert (ours.targets, ours.paths, list(ours.subjects)) == (published.targets, published.paths, ["01", "02"])


def test_one_target_needs_all_three_angles() -> None:
    ours = convert_labels(make_manifest(frame(), ["yaw"]), "300w-lp")
    assert ours.targets == ("yaw",)
    np.testing.assert_allclose(ours.target_values[:, 0], from_convention(LABELS, "300w-lp")[:, 1])
    with pytest.raises(DataError, match="column 'roll' is missing"):
        convert_labels(make_manifest(frame().drop(columns="roll")), "300w-lp")
    with pytest.raises(DataError, match="row 2, column 'roll': the label is nan"):
        convert_labels(make_manifest(frame(roll=[1.0, np.nan]), ["yaw"]), "300w-lp")


def test_order_and_signs_are_those_of_the_convention() -> None:
    np.testing.assert_array_equal(
        convert_labels(make_manifest(frame()), "openvino").target_values, LABELS * [-1, -1, 1]
    )
    hopenet, same = (convert_labels(make_manifest(frame()), name).target_values for name in ("hopenet", "300w-lp"))
    np.testing.assert_allclose(hopenet, same)


def test_angles_of_the_neck_follow() -> None:
    necks = pan_tilt_from_rotation(rotation_from_angles(*LABELS.T))
    table = frame(**dict(zip(NECK_ANGLES, necks.T, strict=True)))
    ours = convert_labels(make_manifest(table, NECK_ANGLES), "300w-lp")
    expected = pan_tilt_from_rotation(rotation_from_angles(*from_convention(LABELS, "300w-lp").T))
    np.testing.assert_allclose(ours.target_values, expected, atol=1e-12)


def test_conventions_with_other_angles_are_refused() -> None:
    for name in ("openface", "mediapipe"):
        with pytest.raises(DataError, match="no pitch, yaw and roll"):
            convert_labels(make_manifest(frame()), name)
    with pytest.raises(ValueError, match="unknown convention"):
        convert_labels(make_manifest(frame()), "left")
