"""Tests of `HeadPose` with a network and a detector of known outputs."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from deepgllim import HeadPose
from deepgllim.errors import ImageError, ModelError
from deepgllim.geometry.rotations import NECK_ANGLES, rotation_from_pan_tilt
from deepgllim.imaging.images import crop_face
from deepgllim.pose import predictor
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.camera import Intrinsics
from deepgllim.pose.detection import Face
from deepgllim.pose.predictor import BLOCK, checked_boxes, default_model

SIZE = 16
CALIBRATION = Calibration((2.0,) * 3, (0.9,), (3.0,), (1.8,), log_density_threshold=-100.0)


class FakeSpec(NamedTuple):
    targets: tuple[str, ...] = NECK_ANGLES
    image_size: int = SIZE
    margin: float = 1.5
    calibration: dict[str, Any] | None = None
    boxes: str = "rendered"


class FakeOutputs(NamedTuple):
    weights: Any
    means: Any
    covariances: Any
    log_density: Any


class FakeNetwork:
    """Pan, tilt and neck roll are the means of red, green and blue; log p(x) is minus the first."""

    def __init__(self, spec: FakeSpec | None = None, density: bool = True) -> None:
        self.spec = spec or FakeSpec()
        self.density = density
        self.seen: list[np.ndarray[Any, Any]] = []

    def __call__(self, pixels: np.ndarray[Any, Any]) -> FakeOutputs:
        assert pixels.dtype == np.uint8
        self.seen.append(pixels)
        n = len(pixels)
        means = pixels.mean(axis=(2, 3), dtype=np.float32)[:, None, [1, 0, 2]]  # tilt, pan, neck_roll
        covariances = np.tile(np.diag([4.0, 9.0, 1.0]).astype(np.float32), (n, 1, 1, 1))
        density = -means[:, 0, 1] if self.density else None
        return FakeOutputs(np.ones((n, 1), dtype=np.float32), means, covariances, density)


class FakeFace(NamedTuple):
    box: tuple[float, float, float, float]
    score: float


class FakeDetector:
    def __init__(self, faces: Sequence[FakeFace]) -> None:
        self.faces = list(faces)
        self.seen: list[Image.Image] = []

    def detect(self, image: Image.Image) -> list[FakeFace]:
        self.seen.append(image)
        return self.faces


def head_pose(network: FakeNetwork | None = None, detector: Any = None) -> HeadPose:
    made: Any = FakeNetwork() if network is None else network
    return HeadPose(made, detector)


def plain(pan: int, tilt: int = 0, neck_roll: int = 0, width: int = 60, height: int = 40) -> Image.Image:
    """Return an image of one colour, which the fake network converts to a pose."""
    return Image.new("RGB", (width, height), (pan, tilt, neck_roll))


def test_without_a_detector_the_picture_is_the_face() -> None:
    (pose,) = head_pose().predict(plain(30, 10, 5))
    np.testing.assert_allclose(pose.neck_angles, [10, 30, 5], atol=1e-5)  # single precision
    np.testing.assert_allclose(pose.neck_covariance, np.diag([4.0, 9.0, 1.0]), atol=1e-5)
    assert pose.box == (0.0, 0.0, 60.0, 40.0)
    assert (pose.log_density, pose.in_distribution, pose.detection_score) == (-30, None, None)


def test_faces_are_cropped_as_in_training() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 120, (40, 60, 3), dtype=np.uint8))
    network = FakeNetwork()
    boxes = [(10, 5, 30, 30), (-5, 20, 20, 45)]
    poses = head_pose(network).predict(picture, boxes)
    expected = np.stack([crop_face(picture, box, 1.5, SIZE) for box in boxes])
    np.testing.assert_array_equal(network.seen[0], expected)
    assert [pose.box for pose in poses] == [(10.0, 5.0, 30.0, 30.0), (-5.0, 20.0, 20.0, 45.0)]
    means = expected.mean(axis=(2, 3))
    np.testing.assert_allclose([pose.pan for pose in poses], means[:, 0], atol=1e-4)


def test_boxes_and_scores_of_the_detector_are_kept() -> None:
    detector = FakeDetector([FakeFace((0, 0, 20, 20), 0.9), FakeFace((30, 10, 50, 30), 0.6)])
    poses = head_pose(detector=detector).predict(plain(30))
    assert [(pose.box, pose.detection_score) for pose in poses] == [((0, 0, 20, 20), 0.9), ((30, 10, 50, 30), 0.6)]
    head_pose(detector=detector).predict(plain(30), [[0, 0, 9, 9]])
    assert len(detector.seen) == 1  # not asked where boxes are given


def test_no_face_no_pose() -> None:
    network = FakeNetwork()
    assert head_pose(network, FakeDetector([])).predict(plain(30)) == []
    assert head_pose(network).predict(plain(30), np.zeros((0, 4))) == []
    assert head_pose(network).predict_batch([]) == []
    assert network.seen == []


@pytest.mark.parametrize("form", ["path", "array", "sixteen bits", "grey"])
def test_pictures_in_any_form(form: str, tmp_path: Path) -> None:
    picture = plain(40, 40, 40)
    picture.save(tmp_path / "a.png")
    array = np.asarray(picture)
    given: Any = {
        "path": tmp_path / "a.png",
        "array": array,
        "sixteen bits": array.astype(np.uint16) * 257,
        "grey": array[:, :, 0],
    }[form]
    (pose,) = head_pose().predict(given)
    np.testing.assert_allclose(pose.neck_angles, 40, atol=1e-5)


def test_batches_keep_faces_with_their_pictures() -> None:
    network = FakeNetwork()
    pans = list(range(2 * BLOCK))
    boxes: list[Any] = [None if pan % 3 == 0 else [] if pan % 3 == 1 else [(0, 0, 9, 9)] * 2 for pan in pans]
    found = head_pose(network).predict_batch((plain(pan, width=20, height=20) for pan in pans), boxes)
    assert [len(poses) for poses in found] == [1 if pan % 3 == 0 else 0 if pan % 3 == 1 else 2 for pan in pans]
    for pan, poses in zip(pans, found, strict=True):
        for pose in poses:
            assert pose.pan == pytest.approx(pan, abs=1e-4)
    assert max(len(pixels) for pixels in network.seen) == BLOCK
    assert len(network.seen) == 2  # 64 faces


@pytest.mark.parametrize("size", [1, 3, 100])
def test_faces_of_several_images_are_detected_together(size: int) -> None:
    sizes: list[int] = []

    class Together:
        def detect(self, image: Image.Image) -> list[Face]:
            return [Face((0, 0, image.width, image.height), 0.5)]

        def detect_batch(self, images: Sequence[Image.Image]) -> list[list[Face]]:
            sizes.append(len(images))
            return [self.detect(image) for image in images]

    boxes: list[Any] = [[(0, 0, 9, 9)] if pan % 4 == 1 else None for pan in range(8)]
    images = [plain(pan, width=20, height=20) for pan in range(8)]
    found = head_pose(detector=Together()).predict_batch(images, boxes, detection_batch=size)
    assert [poses[0].pan for poses in found] == pytest.approx(list(range(8)), abs=1e-4)
    assert [poses[0].detection_score for poses in found] == [None if given else 0.5 for given in boxes]
    assert sizes == {1: [], 3: [2, 2, 2], 100: [6]}[size]


def test_boxes_are_wanted_for_every_picture() -> None:
    with pytest.raises(ImageError, match="give boxes for each picture"):
        head_pose().predict_batch([plain(1), plain(2)], [None])


def test_crops_are_predicted_as_they_are() -> None:
    network = FakeNetwork()
    crops = np.zeros((BLOCK + 2, 3, SIZE, SIZE), dtype=np.uint8)
    crops[:, 0] = 25
    poses = head_pose(network).predict_crops(crops)
    assert len(poses) == BLOCK + 2
    np.testing.assert_allclose([pose.pan for pose in poses], 25, atol=1e-5)
    # the face without its margin: 16 / 1.5 pixels in the middle
    assert poses[0].box == pytest.approx((8 - 16 / 3, 8 - 16 / 3, 8 + 16 / 3, 8 + 16 / 3))
    assert head_pose(network).predict_crops(crops[:0]) == []
    wrongs: list[Any] = [crops[0], crops.astype(np.float32), crops[..., :8]]
    for wrong in wrongs:
        with pytest.raises(ImageError, match=r"reads uint8 of shape \(N, 3, 16, 16\)"):
            head_pose(network).predict_crops(wrong)


def test_intrinsics_turn_what_is_off_the_centre() -> None:
    """A face is 200 pixels to the right at a focal length of 200 pixels: the ray is at 45 degrees."""
    camera = Intrinsics(200.0, 200.0, 300.0, 200.0)
    picture = plain(0, width=600, height=400)
    boxes = [(280, 180, 320, 220), (480, 180, 520, 220)]
    middle, right = head_pose().predict(picture, boxes, intrinsics=camera)
    np.testing.assert_allclose([middle.pan, right.pan], [0, 45], atol=1e-6)
    # δ of a tilt is about −x of the head, which is turned with it
    np.testing.assert_allclose(right.neck_covariance, middle.neck_covariance, atol=1e-5)
    turn = rotation_from_pan_tilt(45, 0)
    np.testing.assert_allclose(right.rotation_covariance, turn @ middle.rotation_covariance @ turn.T, atol=1e-6)
    np.testing.assert_allclose(right.modes[0].rotation, turn @ middle.modes[0].rotation, atol=1e-6)


def test_the_networks_calibration_is_used() -> None:
    network = FakeNetwork(FakeSpec(calibration=CALIBRATION.to_json()))
    near, far = (head_pose(network).predict(plain(pan))[0] for pan in (90, 110))
    assert (near.in_distribution, far.in_distribution) == (True, False)
    assert near.calibration == CALIBRATION
    half = near.neck_interval(0.9)[1] - near.neck_angles
    np.testing.assert_allclose(half, 1.8 * 2.0 * np.array([2.0, 3.0, 1.0]), atol=1e-5)


def test_a_network_without_log_density_gives_none() -> None:
    (pose,) = head_pose(FakeNetwork(FakeSpec(calibration=CALIBRATION.to_json()), density=False)).predict(plain(9))
    assert (pose.log_density, pose.in_distribution) == (None, None)


def test_a_network_without_a_pose_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match="the model predicts age"):
        head_pose(FakeNetwork(FakeSpec(targets=("age",))))
    with pytest.raises(ModelError, match="calibration"):
        head_pose(FakeNetwork(FakeSpec(calibration={"scales": [1.0]})))


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], r"boxes have shape \(1, 3\)"),
        (np.zeros((1, 1, 4)), r"boxes have shape \(1, 1, 4\)"),
        ([["a", 1, 2, 3]], "are not numbers"),
        ([[5, 5, 5, 9]], "is empty"),
        ([[0, 0, float("nan"), 9]], "not finite"),
        ([[100, 0, 120, 20]], "lies outside the picture"),
    ],
)
def test_boxes_that_are_none_are_refused(boxes: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        head_pose().predict(plain(3), boxes)


def test_one_box_may_come_by_itself() -> None:
    assert checked_boxes([1, 2, 3, 4]) == [(1.0, 2.0, 3.0, 4.0)]
    assert checked_boxes(np.array([[1, 2, 3, 4]], dtype=np.int32)) == [(1.0, 2.0, 3.0, 4.0)]


def test_without_a_model_of_its_own_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(predictor, "DEFAULT_MODEL", "models/none.onnx")
    with pytest.raises(ModelError, match=r"none\.onnx: .*--model FILE\.onnx"):
        HeadPose(detector=None)
    there = tmp_path / "own.onnx"
    there.touch()
    monkeypatch.setattr(predictor, "DEFAULT_MODEL", str(there))  # an absolute path stays itself
    assert default_model() == there


def test_a_path_loads_a_network_and_a_name_makes_a_detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def network(path: Path, threads: int | None) -> FakeNetwork:
        calls.append((path, threads))
        return FakeNetwork()

    def detector(name: str, threads: int, boxes: str) -> FakeDetector:
        calls.append((name, threads, boxes))
        return FakeDetector([])

    for name, entry in (("network", {"PoseNetwork": network}), ("detection.faces", {"make_detector": detector})):
        module = ModuleType(f"deepgllim.pose.{name}")
        vars(module).update(entry)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert HeadPose(str(tmp_path / "a.onnx"), threads=2).predict(plain(3)) == []
    assert calls == [(tmp_path / "a.onnx", 2), ("blazeface", 2, "rendered")]
