"""300W-LP and AFLW2000-3D: angles, boxes, whose pictures belong together, and files that cannot be used."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from deepgllim.data import load_data, read_300w_lp, read_aflw2000, split_by_subject
from deepgllim.data.columns import BOX_COLUMNS
from deepgllim.data.landmarked import landmark_box, survey_300w_lp, survey_aflw2000
from deepgllim.errors import DataError
from deepgllim.geometry.rotations import project_axes, rotation_from_angles
from tests.data.trees import (
    EYE_CORNERS,
    NOSE_TIP,
    Array,
    Head,
    head,
    write_300w_lp,
    write_aflw2000,
    write_cut_picture,
    write_picture,
    write_points,
    write_pose,
)

HEADS = [head(index) for index in range(4)]
NAMES = ["AFW_134212_1_0", "AFW_134212_1_3", "AFW_134212_2_0", "HELEN_10405146_1_0"]
LFPW = "LFPW_image_test_0001_12"
IBUG = "IBUG_image_005 _01_2_1"  # names may hold blanks


@pytest.fixture
def aflw(tmp_path: Path) -> Path:
    return write_aflw2000(tmp_path / "AFLW2000", HEADS)


@pytest.fixture
def lp(tmp_path: Path) -> Path:
    return write_300w_lp(tmp_path / "300W_LP", dict(zip(NAMES, HEADS, strict=True)))


# --- what is read


def test_reads_aflw2000(aflw: Path) -> None:
    (aflw / "Code").mkdir()
    (aflw / "._image00002.jpg").write_bytes(b"a file system's own")
    manifest = load_data(f"aflw2000:{aflw}")
    assert manifest.targets == ("pitch", "yaw", "roll")
    assert [path.name for path in manifest.paths] == [f"image{n:05d}.jpg" for n in range(2, 6)]
    np.testing.assert_allclose(manifest.target_values, [known.angles for known in HEADS], atol=1e-9)
    np.testing.assert_allclose(manifest.boxes, [landmark_box(known.points) for known in HEADS], atol=1e-9)
    assert set(manifest.frame["source"]) == {"aflw2000"}
    assert len(set(manifest.subjects)) == 4
    assert load_data(f"aflw2000:{aflw}", ["yaw"]).target_values.shape == (4, 1)


def test_reads_300w_lp(lp: Path) -> None:
    write_picture(lp / "AFW" / "preview.jpg")
    manifest = load_data(f"300w-lp:{lp}")
    table = manifest.frame.set_index("path")
    assert len(table) == 8
    for name, known in zip(NAMES, HEADS, strict=True):
        subset = name.split("_")[0]
        for folder, truth in ((subset, known), (f"{subset}_Flip", known.mirrored())):
            row = table.loc[str(lp / folder / f"{name}.jpg")]
            read = [row[column] for column in ("pitch", "yaw", "roll", *BOX_COLUMNS)]
            np.testing.assert_allclose(read, [*truth.angles, *landmark_box(truth.points)], atol=1e-9)
            assert row["source"] == f"300w-lp:{folder}"


def test_angles_agree_with_the_landmarks(lp: Path) -> None:
    """The nose's tip lies where the head turns, seen from the middle between the eyes: the signs are right."""
    manifest = read_300w_lp(lp, flips=False)
    turned = 0
    for row, path in enumerate(manifest.paths):
        points = HEADS[NAMES.index(path.stem)].points
        sideways = points[NOSE_TIP, 0] - points[EYE_CORNERS, 0].mean()
        nose = project_axes(rotation_from_angles(*manifest.target_values[row]))[2]
        if abs(nose[0]) > 0.2:
            assert np.sign(sideways) == np.sign(nose[0])
            turned += 1
    assert turned >= 2


def test_flips_can_be_left_out(lp: Path) -> None:
    manifest = read_300w_lp(lp, flips=False)
    assert [path.stem for path in manifest.paths] == NAMES
    assert set(manifest.frame["source"]) == {"300w-lp:AFW", "300w-lp:HELEN"}


def test_landmarks_of_a_flip_are_used_where_they_are(lp: Path) -> None:
    other = HEADS[1]
    write_points(lp / "landmarks" / "AFW_Flip" / f"{NAMES[0]}_pts.mat", other)
    row = next(n for n, path in enumerate(read_300w_lp(lp).paths) if path == lp / "AFW_Flip" / f"{NAMES[0]}.jpg")
    np.testing.assert_allclose(read_300w_lp(lp).boxes[row], landmark_box(other.points), atol=1e-9)


def test_poses_and_flips_of_a_picture_stay_together(tmp_path: Path) -> None:
    heads = dict(zip([*NAMES, LFPW, IBUG], [*HEADS, *HEADS[:2]], strict=True))
    manifest = read_300w_lp(write_300w_lp(tmp_path / "lp", heads))
    expected = {"AFW_134212_1", "AFW_134212_2", "HELEN_10405146_1", "LFPW_image_test_0001", "IBUG_image_005 _01_2"}
    assert set(manifest.subjects) == expected
    assert list(manifest.subjects).count("AFW_134212_1") == 4
    for seed in range(10):
        train, test = split_by_subject(manifest, 0.4, seed)
        assert not {path.name for path in train.paths} & {path.name for path in test.paths}
        assert not set(train.subjects) & set(test.subjects)


def test_poses_beyond_the_limit_are_left_out(tmp_path: Path) -> None:
    far = [Head(np.array(angles), HEADS[0].points) for angles in ([0, 99.5, 0], [0, 98.5, 0], [-120, 0, 0], [0, 0, 99])]
    root = write_aflw2000(tmp_path / "set", far)
    assert read_aflw2000(root).target_values[:, 1].round(6).tolist() == [98.5, 0]
    assert survey_aflw2000(root).left_out == 2
    assert len(read_aflw2000(root, limit=180)) == 4
    with pytest.raises(DataError, match="none of its 4 faces is of the usual protocol"):
        read_aflw2000(root, limit=1)
    lp = write_300w_lp(tmp_path / "lp", {"LFPW_a_0": far[0], "LFPW_a_1": far[1]})
    assert len(read_300w_lp(lp)) == 2
    assert len(read_300w_lp(lp, limit=100)) == 4


# --- what is broken


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:150])


AFLW_FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no .mat": ("image00003.mat", Path.unlink, r"the file is missing; copy the data set again"),
    "text": ("image00003.mat", lambda path: path.write_text("no matrix"), r"not a readable \.mat file \(.+\); copy"),
    "empty": ("image00003.mat", lambda path: path.write_bytes(b""), r"not a readable \.mat file"),
    "truncated": ("image00003.mat", truncate, r"not a readable \.mat file|holds no numbers"),
    "no pose": ("image00003.mat", lambda path: savemat(path, {"pt3d_68": np.ones((3, 68))}), "'Pose_Para'"),
    "no points": ("image00003.mat", lambda path: write_pose(path, HEADS[1]), "holds no numbers 'pt3d_68'; copy"),
    "pose is text": ("image00003.mat", lambda path: savemat(path, {"Pose_Para": "front"}), "'Pose_Para'"),
    "short pose": (
        "image00003.mat",
        lambda path: savemat(path, {"Pose_Para": [0.1, 0.2], "pt3d_68": np.eye(68)}),
        r"Pose_Para holds \[0\.1 0\.2\] where three angles in radians belong",
    ),
    "pose not finite": (
        "image00003.mat",
        lambda path: write_pose(path, Head(np.array([np.nan, 0, 0]), HEADS[1].points), pt3d_68=np.eye(68)),
        r"Pose_Para holds \[nan",
    ),
    "degrees": (
        "image00003.mat",
        lambda path: write_pose(path, Head(np.degrees(HEADS[1].angles + 90), HEADS[1].points), pt3d_68=np.eye(68)),
        r"Pose_Para holds .*, beyond ±2π: it is in radians; copy",
    ),
    "points missing": (
        "image00003.mat",
        lambda path: write_pose(path, HEADS[1], pt3d_68=np.c_[np.full((3, 5), -1.0), np.eye(3, 63)]),
        "5 of the 68 points of pt3d_68 are missing",
    ),
    "points not finite": (
        "image00003.mat",
        lambda path: write_pose(path, HEADS[1], pt3d_68=np.r_[[np.full(68, np.inf)], np.zeros((2, 68))]),
        "some of the 68 points of pt3d_68 are missing",
    ),
    "21 points": (
        "image00003.mat",
        lambda path: write_pose(path, HEADS[1], pt3d_68=np.ones((2, 21))),
        r"pt3d_68 has shape .*, not that of 68 points",
    ),
    "one place": (
        "image00003.mat",
        lambda path: write_pose(path, HEADS[1], pt3d_68=np.ones((3, 68))),
        "the points of pt3d_68 span no box",
    ),
    "small picture": (
        "image00003.jpg",
        lambda path: write_picture(path, (225, 225)),
        "the picture has 225 × 225 pixels where the data set's have 450 × 450",
    ),
    "no picture at all": ("image00003.jpg", lambda path: path.write_text("gone"), "not a picture in a format"),
}


@pytest.mark.parametrize("fault", AFLW_FAULTS)
def test_broken_files_of_aflw2000(aflw: Path, fault: str) -> None:
    name, damage, message = AFLW_FAULTS[fault]
    damage(aflw / name)
    survey = survey_aflw2000(aflw)
    assert [path.name for path, _ in survey.broken] == [name]
    assert len(survey.frame) == 3
    with pytest.raises(DataError, match=rf"{name}: .*{message}") as error:
        load_data(f"aflw2000:{aflw}")
    assert "1 broken file(s) beside 3 faces in order" in str(error.value)
    assert "skip_broken=True" in str(error.value)
    assert "\n" not in str(error.value)
    kept = read_aflw2000(aflw, skip_broken=True)
    assert [path.name for path in kept.paths] == ["image00002.jpg", "image00004.jpg", "image00005.jpg"]


def test_a_mat_file_without_its_picture_is_broken(aflw: Path) -> None:
    (aflw / "image00003.jpg").unlink()
    survey = survey_aflw2000(aflw)
    assert survey.broken == [
        (aflw / "image00003.mat", "its picture image00003.jpg is missing; copy the data set again")
    ]
    assert len(survey.frame) == len(read_aflw2000(aflw, skip_broken=True)) == 3
    with pytest.raises(DataError, match=r"image00003\.mat: its picture image00003\.jpg is missing"):
        read_aflw2000(aflw)


LP_FAULTS: dict[str, tuple[str, Callable[[Path], object], list[str]]] = {
    "no .mat": (f"AFW/{NAMES[0]}.mat", Path.unlink, [f"AFW/{NAMES[0]}.mat"]),
    "no picture": (
        f"AFW/{NAMES[0]}.jpg",
        Path.unlink,
        [f"AFW/{NAMES[0]}.mat", f"landmarks/AFW/{NAMES[0]}_pts.mat"],
    ),
    "no flip": (f"AFW_Flip/{NAMES[0]}.jpg", Path.unlink, [f"AFW_Flip/{NAMES[0]}.mat"]),
    "no landmarks": (f"landmarks/HELEN/{NAMES[3]}_pts.mat", Path.unlink, [f"landmarks/HELEN/{NAMES[3]}_pts.mat"] * 2),
    "landmarks missing": (
        f"landmarks/HELEN/{NAMES[3]}_pts.mat",
        lambda path: savemat(path, {"pts_2d": np.full((68, 2), -1.0)}),
        [f"landmarks/HELEN/{NAMES[3]}_pts.mat"] * 2,
    ),
    "other field": (
        f"landmarks/HELEN/{NAMES[3]}_pts.mat",
        lambda path: savemat(path, {"pts_3d": np.eye(68, 2)}),
        [f"landmarks/HELEN/{NAMES[3]}_pts.mat"] * 2,
    ),
}


@pytest.mark.parametrize("fault", LP_FAULTS)
def test_broken_files_of_300w_lp(lp: Path, fault: str) -> None:
    name, damage, expected = LP_FAULTS[fault]
    damage(lp / name)
    survey = survey_300w_lp(lp)
    assert [str(path.relative_to(lp)) for path, _ in survey.broken] == expected
    with pytest.raises(DataError, match=rf"{len(expected)} broken file\(s\) beside {len(survey.frame)} faces"):
        load_data(f"300w-lp:{lp}")
    assert len(read_300w_lp(lp, skip_broken=True)) == len(survey.frame) < 8


def test_a_set_of_nothing_but_broken_files_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "image00002.jpg")
    with pytest.raises(DataError, match="the file is missing"):
        read_aflw2000(tmp_path, skip_broken=True)


@pytest.mark.parametrize("folder", ["absent", "."])
def test_refuses_folders_that_are_something_else(aflw: Path, lp: Path, tmp_path: Path, folder: str) -> None:
    for source, message in (("aflw2000", "not an AFLW2000-3D folder"), ("300w-lp", "not a 300W-LP folder")):
        with pytest.raises(DataError, match=f"{message}; expected .*such as"):
            load_data(f"{source}:{tmp_path / folder}")
    with pytest.raises(DataError, match="not a 300W-LP folder"):
        load_data(f"300w-lp:{aflw}")
    with pytest.raises(DataError, match="not an AFLW2000-3D folder"):
        load_data(f"aflw2000:{lp}")


def test_refuses_300w_lp_without_landmarks_as_a_whole(lp: Path) -> None:
    (lp / "landmarks").rename(lp / "elsewhere")
    with pytest.raises(DataError, match="and the folder landmarks"):
        load_data(f"300w-lp:{lp}")


def test_pictures_are_not_decoded(aflw: Path) -> None:
    """The size comes from the header; `check_images` finds what is cut off behind it."""
    write_cut_picture(aflw / "image00003.jpg")
    assert len(read_aflw2000(aflw)) == 4


# --- identities

angle = st.floats(-math.pi / 2, math.pi / 2)


@settings(max_examples=25, deadline=None)
@given(angle, st.floats(-1.5, 1.5), angle)
def test_the_rotation_is_that_of_the_radians(
    tmp_path_factory: pytest.TempPathFactory, pitch: float, yaw: float, roll: float
) -> None:
    root = tmp_path_factory.mktemp("set")
    write_aflw2000(root, [Head(np.degrees([pitch, yaw, roll]), HEADS[0].points)])
    read = read_aflw2000(root).target_values[0]
    np.testing.assert_allclose(np.radians(read), [pitch, yaw, roll], atol=1e-12)
    written = Rotation.from_euler("XYZ", [-pitch, yaw, roll]).as_matrix()  # Rx · Ry · Rz
    np.testing.assert_allclose(rotation_from_angles(*read), written, atol=1e-12)


points = arrays(np.float64, (68, 2), elements=st.floats(-500, 500, width=32))


@settings(deadline=None)
@given(points, st.floats(0, 1))
def test_the_box_holds_the_points_and_more_above_than_below(landmarks: Array, k: float) -> None:
    x0, y0, x1, y1 = landmark_box(landmarks, k)
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    w, h = high - low
    assert (low >= (x0 - 1e-9, y0 - 1e-9)).all()
    assert (high <= (x1 + 1e-9, y1 + 1e-9)).all()
    np.testing.assert_allclose([x1 - x0, y1 - y0], [w * (1 + 1.2 * k), h * (1 + 2.6 * k)], atol=1e-9)
    np.testing.assert_allclose((low[1] - y0) * 0.6, (y1 - high[1]) * 2, atol=1e-9)


@settings(deadline=None)
@given(points, st.floats(0.1, 3), st.floats(-100, 100), st.floats(-100, 100))
def test_the_box_moves_grows_and_flips_with_the_points(
    landmarks: Array, scale: float, right: float, down: float
) -> None:
    box = np.array(landmark_box(landmarks))
    moved = landmark_box(landmarks * scale + (right, down))
    np.testing.assert_allclose(moved, box * scale + (right, down, right, down), atol=1e-6)
    flipped = landmark_box(landmarks * (-1, 1) + (450, 0))
    np.testing.assert_allclose(flipped, [450 - box[2], box[1], 450 - box[0], box[3]], atol=1e-6)


def test_the_box_without_margin_is_that_of_the_points() -> None:
    assert landmark_box([(3, 9), (1, 5), (2, 7)], k=0) == (1, 5, 3, 9)
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        landmark_box([1, 2, 3, 4])
