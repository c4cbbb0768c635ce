"""The tree of Biwi: layouts, labels in both cameras' frames against rendered truth, boxes, all that can be broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepgllim.data import check_images, load_data, read_biwi, read_depth
from deepgllim.data.biwi import CENTRE, HEAD_SIZE, PUBLISHED, SAME_PERSON, missing_sequences, survey_biwi
from deepgllim.data.biwi_files import CameraCalibration, RigidPose, read_calibration, read_pose
from deepgllim.errors import DataError, RenderError
from deepgllim.geometry.rotations import (
    angles_from_rotation,
    geodesic_distance,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from deepgllim.synthetic import HEAD_TO_CAMERA, SceneSampler, head_vertices, load_head_model, render_set
from deepgllim.synthetic.biwi import HEAD_CENTRE, scenes
from tests.data.biwi_trees import write_frame
from tests.synthetic.fakes import FakeRenderer

Array = npt.NDArray[np.float64]
SAMPLER = SceneSampler("natural", identities=2, seed=3)
IMAGES = 5

# --- rendered truth


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five frames of two people; the pictures are grey, everything else is that of rendered ones. Read only."""
    folder = tmp_path_factory.mktemp("biwi") / "set"
    return render_set(SAMPLER, IMAGES, folder, layout="biwi", processes=1, renderer=FakeRenderer)


@pytest.fixture(scope="module")
def truth(tree: Path) -> dict[str, dict[str, Any]]:
    """Records by path."""
    records = [json.loads(line) for line in (tree / "scenes.jsonl").read_text().splitlines()]
    return {str(tree / record["path"]): record for record in records}


def matrices(truth: dict[str, dict[str, Any]], paths: list[Path], depth: bool = False) -> Array:
    records = [truth[str(path)] for path in paths]
    return np.array([(r["depth_frame"] if depth else r)["rotation"] for r in records]).reshape(-1, 3, 3)


def test_reads_the_truth_in_the_pictures_frame(tree: Path, truth: dict[str, dict[str, Any]]) -> None:
    manifest = load_data(f"biwi:{tree}")
    assert len(manifest) == IMAGES
    assert manifest.targets == ("pitch", "yaw", "roll")
    assert manifest.frame["sequence"].tolist() == ["01", "01", "01", "02", "02"]
    assert manifest.subjects.tolist() == ["01", "01", "01", "02", "02"]
    assert manifest.frame["number"].tolist() == [3, 4, 5, 3, 4]
    assert set(manifest.frame["source"]) == {"biwi"}
    rotation = rotation_from_angles(*manifest.target_values.T)
    assert geodesic_distance(rotation, matrices(truth, manifest.paths)).max() < 1e-4
    tilt, pan, neck_roll = manifest.frame[["tilt", "pan", "neck_roll"]].to_numpy().T
    np.testing.assert_allclose(rotation_from_pan_tilt(pan, tilt, neck_roll), rotation, atol=1e-7)  # files round
    assert check_images(manifest) == []


def test_reads_the_truth_in_the_depth_cameras_frame(tree: Path, truth: dict[str, dict[str, Any]]) -> None:
    manifest = read_biwi(tree, frame="depth")
    rotation = rotation_from_angles(*manifest.target_values.T)
    assert geodesic_distance(rotation, matrices(truth, manifest.paths, depth=True)).max() < 1e-4
    published = manifest.frame[list(PUBLISHED)].to_numpy()
    np.testing.assert_array_equal(published[:, :3], manifest.target_values)
    centres = [truth[str(path)]["depth_frame"]["centre"] for path in manifest.paths]
    np.testing.assert_allclose(published[:, 3:], 1000 * np.array(centres), atol=1e-3)
    seen = read_biwi(tree)
    np.testing.assert_array_equal(seen.frame[list(PUBLISHED)], published)
    assert (geodesic_distance(rotation, rotation_from_angles(*seen.target_values.T)) > 0.3).all()


def landmarks(pose: RigidPose, camera: CameraCalibration, index: int) -> Array:
    """Where the head's landmarks fall by a pose and a camera of the files, pixels."""
    model = load_head_model()
    colour, _ = scenes(SAMPLER, index)
    head = (model.landmarks(head_vertices(model, colour)) - HEAD_CENTRE) @ HEAD_TO_CAMERA.T  # about the centre
    return camera.project(1000 * head @ pose.rotation.T + pose.centre)


def test_the_extrinsic_goes_from_the_depth_camera_to_the_colour_camera(
    tree: Path, truth: dict[str, dict[str, Any]]
) -> None:
    """Settled by the picture: landmarks fall in place by x_rgb = R_ext · x + t_ext, and beside it by the inverse."""
    for index in range(IMAGES):
        stem = tree / f"{index % 2 + 1:02d}" / f"frame_{index // 2 + 3:05d}"
        camera = read_calibration(stem.parent / "rgb.cal")
        published = read_pose(f"{stem}_pose.txt")
        expected = np.array(truth[f"{stem}_rgb.png"]["landmarks"])
        np.testing.assert_allclose(landmarks(camera.move(published), camera, index), expected, atol=0.01)
        inverse = camera.rotation.T
        other = RigidPose(inverse @ published.rotation, inverse @ (published.centre - camera.translation))
        assert np.linalg.norm(landmarks(other, camera, index) - expected, axis=1).min() > 8
        assert np.linalg.norm(landmarks(published, camera, index) - expected, axis=1).min() > 4  # nor without any


def test_the_centre_column_is_where_the_head_is(tree: Path, truth: dict[str, dict[str, Any]]) -> None:
    frame = read_biwi(tree).frame
    for path, centre in zip(frame["path"], frame[list(CENTRE)].to_numpy(), strict=True):
        record = truth[path]
        behind = np.array(record["rotation"]).reshape(3, 3)[:, 2] * -HEAD_CENTRE[2]
        np.testing.assert_allclose(centre, 1000 * (np.array(record["camera"]["translation"]) + behind), atol=0.01)


@settings(deadline=None)
@given(st.floats(-89, 89), st.floats(-80, 80), st.floats(-180, 180))
def test_angles_by_the_formulas_for_biwi_are_ours(pitch: float, yaw: float, roll: float) -> None:
    A = rotation_from_angles(pitch, yaw, roll).T
    theirs = np.degrees(
        [
            np.arctan2(A[2, 1], A[2, 2]),
            -np.arctan2(-A[2, 0], np.hypot(A[2, 1], A[2, 2])),
            -np.arctan2(A[1, 0], A[0, 0]),
        ]
    )
    np.testing.assert_allclose(theirs, [pitch, yaw, roll], atol=1e-9)
    np.testing.assert_allclose(theirs, angles_from_rotation(A.T), atol=1e-9)


def test_boxes_hold_the_face(tree: Path, truth: dict[str, dict[str, Any]]) -> None:
    manifest = read_biwi(tree)
    for path, box, z in zip(manifest.paths, manifest.boxes, manifest.frame["centre_z"], strict=True):
        face = np.array(truth[str(path)]["box"])
        overlap = np.minimum(box[2:], face[2:]) - np.maximum(box[:2], face[:2])
        assert (overlap > 0).all()
        assert overlap.prod() > 0.85 * (face[2:] - face[:2]).prod()
        np.testing.assert_allclose(box[2:] - box[:2], 517.679 * HEAD_SIZE / z)


def test_depth_shows_the_heads_surface_before_its_centre(tmp_path: Path) -> None:
    """With the renderer itself: colour and depth files as written agree with the pose."""
    try:
        folder = render_set(SAMPLER, 2, tmp_path / "set", layout="biwi", processes=1)
    except RenderError as error:
        pytest.skip(str(error))
    for row in read_biwi(folder).frame.to_dict("records"):
        file = Path(str(row["path"]))
        depth = read_depth(file.with_name(file.name.replace("rgb.png", "depth.bin")))
        assert depth.shape == (480, 640)
        centre = np.array([row["depth_x"], row["depth_y"], row["depth_z"]])
        x, y = read_calibration(file.parent / "depth.cal").project(centre)
        assert 40 < centre[2] - depth[round(y), round(x)] < 140


# --- layouts


@pytest.mark.parametrize("inner", ["", "hpdb", "kinect_head_pose_db", "kinect_head_pose_db/hpdb", "faces_0"])
def test_finds_the_sequences(tmp_path: Path, inner: str) -> None:
    root = tmp_path / inner
    for name in ("01", "15", "03", "24"):
        write_frame(root / name, 4)
        (root / f"{name}.obj").write_text("v 0 0 0\n")
    write_frame(tmp_path / "previews", 1)
    (tmp_path / "readme.txt").write_text("terms")
    manifest = read_biwi(tmp_path)
    assert manifest.frame["sequence"].tolist() == ["01", "03", "15", "24"]
    assert manifest.subjects.tolist() == ["01", "03", "03", "24"]
    assert manifest.paths[0] == root / "01" / "frame_00004_rgb.png"
    assert len(missing_sequences(manifest.frame)) == 20
    assert "02" in missing_sequences(manifest.frame)


def test_those_recorded_twice_are_one_subject(tmp_path: Path) -> None:
    for number in range(1, 25):
        write_frame(tmp_path / f"{number:02d}", 3)
    frame = read_biwi(tmp_path).frame
    assert missing_sequences(frame) == []
    assert survey_biwi(tmp_path).notes == []
    assert frame["subject"].nunique() == 20
    twice = frame.groupby("subject")["sequence"].agg(list)[lambda each: each.str.len() > 1]
    assert twice.to_dict() == {"02": ["02", "21"], "03": ["03", "15"], "05": ["05", "18"], "07": ["07", "22"]}
    assert {earlier: later for later, earlier in SAME_PERSON.items()} == {who: both[1] for who, both in twice.items()}


def test_frames_are_paired_by_number_and_may_be_jpeg(tmp_path: Path) -> None:
    for number, yaw, suffix in ((3, 1, "jpg"), (17, 2, "png"), (9, 3, "JPG"), (100000, 4, "jpeg")):
        write_frame(tmp_path / "07", number, (0, yaw, 0), suffix=suffix)
    Image.new("RGB", (640, 480)).save(tmp_path / "07" / "frame_00017_rgb.jpg")  # twice: one row, of the png
    manifest = read_biwi(tmp_path, ["depth_yaw"])
    assert manifest.frame["number"].tolist() == [3, 9, 17, 100000]
    np.testing.assert_allclose(manifest.target_values[:, 0], [1, 3, 2, 4], atol=1e-3)
    assert manifest.paths[2].suffix == ".png"


def test_poses_may_lie_apart(tmp_path: Path) -> None:
    write_frame(tmp_path / "faces_0" / "02", 3)
    labels = tmp_path / "db_annotations" / "02"
    labels.mkdir(parents=True)
    shutil.move(tmp_path / "faces_0" / "02" / "frame_00003_pose.txt", labels)
    shutil.copy(labels / "frame_00003_pose.txt", labels / "frame_00004_pose.txt")  # of a picture left out: no fault
    for root in (tmp_path, tmp_path / "faces_0"):
        found = survey_biwi(root)
        assert (len(found.frame), found.broken) == (1, [])


# --- boxes from a file


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two sequences of two frames."""
    for name in ("01", "02"):
        for number in (3, 5):
            write_frame(tmp_path / "hpdb" / name, number)
    return tmp_path / "hpdb"


def write_boxes(file: Path, names: list[str]) -> Path:
    rows = [(name, 10 + row, 20, 110 + row, 140) for row, name in enumerate(names)]
    frame = pd.DataFrame(rows, columns=["path", "x0", "y0", "x1", "y1"])
    frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file)
    return file


NAMES = [f"{name}/frame_{number:05d}_rgb" for name in ("02", "01") for number in (3, 5)]


@pytest.mark.parametrize("pattern", ["{}.png", "hpdb/{}.png", "/elsewhere/{}.jpg"])
@pytest.mark.parametrize("name", ["boxes.csv", "boxes.parquet"])
def test_takes_boxes_from_a_file(small: Path, tmp_path: Path, pattern: str, name: str) -> None:
    file = write_boxes(tmp_path / name, [pattern.format(each) for each in NAMES])
    manifest = read_biwi(small, boxes=file)
    assert manifest.boxes[:, 0].tolist() == [12, 13, 10, 11]
    assert manifest.boxes[0].tolist() == [12, 20, 112, 140]


def test_a_frame_without_box_is_a_fault(small: Path, tmp_path: Path) -> None:
    file = write_boxes(tmp_path / "boxes.csv", [f"{name}.png" for name in NAMES[:3]])
    with file.open("a") as lines:
        lines.write(f"{NAMES[3]}.png,,,,\n")  # the detector found nothing
    found = survey_biwi(small, boxes=file)
    assert [path.name for path, _ in found.broken] == ["frame_00005_rgb.png"]
    assert found.broken[0][1] == f"{file} has no box for it; add one"
    assert len(read_biwi(small, boxes=file, skip_broken=True)) == 3
    with pytest.raises(DataError, match=r"frame_00005_rgb\.png: .*has no box for it"):
        read_biwi(small, boxes=file)


def test_refuses_a_table_of_boxes(small: Path, tmp_path: Path) -> None:
    file = write_boxes(tmp_path / "boxes.csv", [f"{name}.png" for name in (*NAMES, NAMES[1])])
    with pytest.raises(DataError, match=r"boxes\.csv: 02/frame_00005_rgb has 2 boxes; keep one row per frame"):
        read_biwi(small, boxes=file)
    file.write_text(f"path,left\n{NAMES[0]},3\n")
    with pytest.raises(DataError, match=r"boxes\.csv: no row has a box; give the columns path, x0, y0, x1, y1"):
        read_biwi(small, boxes=file)
    with pytest.raises(DataError, match="no such file"):
        read_biwi(small, boxes=tmp_path / "none.csv")


# --- what is broken


def shrink(picture: Path) -> None:
    Image.new("L", (320, 240)).save(picture)


def far_left(pose: Path) -> None:
    pose.write_text(pose.read_text().replace("30 40 900", "-900 40 900"))


def far_right(pose: Path) -> None:
    pose.write_text(pose.read_text().replace("30 40 900", "900 40 900"))


def behind(pose: Path) -> None:
    pose.write_text(pose.read_text().replace("30 40 900", "24 -6 5"))  # before the one camera, behind the other


def turn(picture: Path) -> None:
    """Stored as published, but shown upright it is of another size."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (640, 480)).save(picture, exif=exif)


FAULTS: dict[str, tuple[str, Callable[[Path], object], str, str]] = {
    "no pose": ("frame_00005_pose.txt", Path.unlink, "_rgb.png", "frame_00005_pose.txt is missing; copy"),
    "no picture": ("frame_00005_rgb.png", Path.unlink, "_pose.txt", "frame_00005_rgb.png is missing; copy"),
    "pose": ("frame_00005_pose.txt", lambda file: file.write_text("1 0 0"), "_pose.txt", "its lines have 3 numbers"),
    "cut": ("frame_00005_rgb.png", lambda file: file.write_bytes(file.read_bytes()[:9]), "_rgb.png", "not a picture"),
    "size": ("frame_00005_rgb.png", shrink, "_rgb.png", "320 × 240 pixels, but rgb.cal says 640 × 480, so its labels"),
    "turned": ("frame_00005_rgb.png", turn, "_rgb.png", "480 × 640 pixels, but rgb.cal says 640 × 480, so its labels"),
    "right": ("frame_00005_pose.txt", far_right, "_rgb.png", "by its pose, the head is outside it"),
    "left": ("frame_00005_pose.txt", far_left, "_rgb.png", "by its pose, the head is outside it"),
    "behind": ("frame_00005_pose.txt", behind, "_rgb.png", "by its pose, the head is outside it"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_frame_is_named_counted_and_skipped(small: Path, fault: str) -> None:
    name, damage, ending, cause = FAULTS[fault]
    damage(small / "01" / name)
    ((path, message),) = survey_biwi(small).broken
    assert path == small / "01" / f"frame_00005{ending}"
    assert cause in message
    assert str(path) not in message
    assert "\n" not in message
    with pytest.raises(DataError, match=r"1 broken file\(s\), 3 usable faces; .*skip_broken=True") as error:
        load_data(f"biwi:{small}")
    assert str(error.value).startswith(f"{path}: {message} (")
    assert read_biwi(small, skip_broken=True).frame["number"].tolist() == [3, 3, 5]


@pytest.mark.parametrize("text", [None, "1 2 3"])
def test_without_calibration_a_sequence_is_left_out(small: Path, text: str | None) -> None:
    file = small / "02" / "rgb.cal"
    file.unlink() if text is None else file.write_text(text)
    found = survey_biwi(small)
    assert [path for path, _ in found.broken] == [file]
    assert found.broken[0][1].endswith("(needed by 2 frames)")
    assert set(read_biwi(small, skip_broken=True).frame["sequence"]) == {"01"}


def test_an_empty_sequence_is_a_fault_and_an_absent_one_is_not(small: Path) -> None:
    (small / "03").mkdir()
    found = survey_biwi(small)
    assert found.broken == [(small / "03", "it has no frame_NNNNN_rgb.png; copy the data set again")]
    absent = [f"{number:02d}" for number in range(3, 25)]
    assert missing_sequences(found.frame) == absent
    assert found.notes == [f"sequences without usable frames: {', '.join(absent)}"]


def test_several_faults_are_counted(small: Path) -> None:
    for name in ("01", "02"):
        (small / name / "frame_00003_pose.txt").unlink()
    with pytest.raises(DataError, match=r"01/frame_00003_rgb\.png: .* \(2 broken file\(s\), 2 usable faces"):
        read_biwi(small)


def test_refuses_when_no_frame_is_left(small: Path) -> None:
    for file in small.rglob("*_pose.txt"):
        file.unlink()
    found = survey_biwi(small)
    assert len(found.broken) == 4
    assert found.frame.empty
    assert {"path", "yaw", *CENTRE, *PUBLISHED} <= set(found.frame)
    for skip in (False, True):
        with pytest.raises(DataError, match=r"4 broken file\(s\), 0 usable faces; .*remove them\)$"):
            read_biwi(small, skip_broken=skip)


@pytest.mark.parametrize("folder", ["absent", "."])
def test_refuses_a_folder_that_is_not_biwi(tmp_path: Path, folder: str) -> None:
    (tmp_path / "01").mkdir()
    (tmp_path / "01" / "photo.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"not a Biwi folder; expected folders 01 … 24 of frame_00003_rgb\.png"):
        load_data(f"biwi:{tmp_path / folder}")


def test_refuses_another_frame(small: Path) -> None:
    with pytest.raises(ValueError, match="frame is 'world'; the choices are 'rgb' and 'depth'"):
        read_biwi(small, frame="world")  # type: ignore[arg-type]
