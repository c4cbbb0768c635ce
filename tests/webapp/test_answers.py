"""What the page says: numbers that are the predictor's, one sentence for every failure, and nothing kept."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepgllim.pose.result import Mode, Pose
from deepgllim.rotations import rotation_from_angles
from deepgllim.webapp.answers import answer, card, digest
from deepgllim.webapp.guide import guide

POSE = Pose(
    rotation_from_angles(12, -23, 4), 9.0 * np.eye(3), box=(20, 20, 80, 80), log_density=-41.25, in_distribution=True
)


class Knows:
    """Predicts the same poses for every picture."""

    def __init__(self, *poses: Pose) -> None:
        self.poses = poses

    def predict(self, image: Image.Image) -> list[Pose]:
        return list(self.poses)


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload.png"
    Image.new("RGB", (100, 120), (90, 90, 90)).save(path)
    return path


def test_a_face(upload: Path) -> None:
    found = answer(Knows(POSE), str(upload), 10**6)
    values = dict(re.findall(r'data-angle="(\w+)" data-value="([-0-9.]+)"', found.words))
    assert {name: round(float(value), 3) for name, value in values.items()} == {"pitch": 12, "yaw": -23, "roll": 4}
    assert "+12.0°" in found.words
    assert "to the image&#x27;s right" in found.words or "to the image's right" in found.words
    assert "log p(x) = -41.2" in found.words
    data = re.search(r"base64,([^\"]+)", found.picture)
    assert data is not None
    drawn = Image.open(io.BytesIO(base64.b64decode(data[1])))
    assert drawn.size == (100, 120)
    assert not upload.exists()  # no picture is kept


def test_several_faces_and_modes() -> None:
    modes = (Mode(POSE.rotation, np.eye(3), 0.6), Mode(rotation_from_angles(0, 40, 0), np.eye(3), 0.4))
    text = card(Pose(POSE.rotation, np.eye(3), modes=modes), 2, 3)
    assert "Face 2 of 3" in text
    assert "60 %" in text
    assert "40 %" in text


def test_the_verdict_is_in_words_and_colour() -> None:
    strange = Pose(np.eye(3), np.eye(3), in_distribution=False, log_density=-900.0)
    assert "dg-unknown" in card(strange, 1, 1)
    assert "do not trust it" in card(strange, 1, 1)
    assert "dg-known" in card(POSE, 1, 1)
    assert "cannot tell" in card(Pose(np.eye(3), np.eye(3)), 1, 1)


def test_an_angle_that_is_not_predicted() -> None:
    text = card(Pose(np.eye(3), np.eye(3), unknown=("roll", "tip")), 1, 1)
    assert "not predicted by this model" in text
    assert 'data-angle="roll"' not in text


def test_no_face_is_a_sentence_beside_the_picture(upload: Path) -> None:
    found = answer(Knows(), str(upload), 10**6)
    assert "no face was found" in found.words
    assert "base64" in found.picture


def test_what_cannot_be_used_is_one_sentence_and_is_not_kept(tmp_path: Path, upload: Path) -> None:
    large = answer(Knows(POSE), str(upload), 11_999)
    assert large.picture == ""
    assert "0.012 megapixels: this page takes up to 0.012; scale" in large.words
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    found = answer(Knows(POSE), str(broken), 10**6)
    assert 'role="alert"' in found.words
    assert str(tmp_path) not in found.words  # nothing of where it lay
    assert not broken.exists()


def test_an_example_is_kept(upload: Path) -> None:
    answer(Knows(POSE), str(upload), 10**6, frozenset([digest(upload)]))
    assert upload.exists()


def test_a_picture_taken_away_clears_the_page() -> None:
    assert answer(Knows(POSE), None, 10**6) == ("", "")


def test_the_guide_explains_every_word_of_the_page() -> None:
    for word in ("pitch", "yaw", "roll", "interval", "log p(x)", "unlike anything", "profile", "tilt", "pan"):
        assert word in guide()
