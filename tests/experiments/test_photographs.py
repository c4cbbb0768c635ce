"""Test the labels of photographs: offsets of the people, folds, joined manifests."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepgllim import HeadPose, Pose
from deepgllim.data import Manifest
from deepgllim.geometry import NECK_ANGLES, rotation_from_pan_tilt
from experiments.pretrained import photographs
from experiments.pretrained.photographs import FOLDS, fold_of, photographs_with_labels
from experiments.pretrained.validation import Faces

OFFSETS = {"01": (4.0, -3.0, 2.0), "02": (-6.0, 5.0, -1.0)}


def predicted(heads: HeadPose, manifest: Manifest) -> Faces:
    """Return poses that have the offsets of the people, and are wrong beyond 30 degrees of pan."""
    rows, poses = [], []
    for who, (tilt_off, pan_off, roll) in OFFSETS.items():
        for tilt in (-20.0, 0.0, 20.0):
            for pan in (-75.0, -30.0, 0.0, 30.0, 75.0):
                rows.append({"path": "a.jpg", "subject": who, "tilt": tilt, "pan": pan})
                seen = pan + pan_off if abs(pan) <= 30 else 0.5 * pan
                rotation = rotation_from_pan_tilt(seen, tilt + tilt_off, roll)
                poses.append(Pose(rotation, np.eye(3), box=(1.0, 2.0, 11.0, 12.0)))
    return Faces(pd.DataFrame(rows), poses, 0)


def test_labels_have_the_offset_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "predict_set", predicted)
    one = Manifest(pd.DataFrame({"path": ["a.jpg"], "tilt": [0.0], "pan": [0.0]}), ("tilt", "pan"))
    monkeypatch.setattr(photographs, "load_data", lambda *_: one)
    found = photographs_with_labels(Path("anywhere"), None)  # type: ignore[arg-type]
    for who, offset in OFFSETS.items():
        mine = found.frame[found.frame["subject"] == f"photographs {who}"]
        given = mine[["label_tilt", "label_pan"]].assign(roll=0.0).to_numpy()
        np.testing.assert_allclose(mine[list(NECK_ANGLES)].to_numpy() - given, np.tile(offset, (15, 1)), atol=1e-6)
    assert found.boxes[0].tolist() == [1.0, 2.0, 11.0, 12.0]


def test_a_person_is_in_one_fold() -> None:
    who = np.repeat([f"{i:02d}" for i in range(1, 16)], 4)
    frame = pd.DataFrame({"path": "a.jpg", "subject": who, **dict.fromkeys(NECK_ANGLES, 0.0)})
    folds = fold_of(Manifest(frame, NECK_ANGLES))
    assert set(folds) == set(range(FOLDS))
    assert all(len(set(folds[who == name])) == 1 for name in set(who))
