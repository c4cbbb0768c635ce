"""Biwi's files one by one: what is written comes back, what is damaged is refused in one line."""

import contextlib
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepgllim.data.biwi_files import RigidPose, read_calibration, read_depth, read_pose
from deepgllim.errors import DataError
from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.synthetic.biwi import DEPTH, RGB
from tests.data.biwi_trees import CALIBRATION, pose_text

ROTATION = rotation_from_angles(-12, 33, 7)
CENTRE = np.array([-41.5, 12.25, 873.0])
same_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
angles = st.floats(-180, 180)
millimetres = st.floats(-2000, 2000)

# --- poses


@same_folder
@given(st.tuples(angles, angles, angles), millimetres, millimetres, st.floats(1, 4000), st.sampled_from(["\n", "\r\n"]))
def test_poses_come_back(
    tmp_path: Path, turn: tuple[float, float, float], x: float, y: float, z: float, newline: str
) -> None:
    file = tmp_path / "frame_00003_pose.txt"
    written = RigidPose(rotation_from_angles(*turn), np.array([x, y, z]))
    file.write_text(pose_text(*written, digits=17).replace("\n", newline), newline="")
    read = read_pose(file)
    np.testing.assert_array_equal(read.rotation, written.rotation)
    np.testing.assert_array_equal(read.centre, written.centre)
    file.write_text(pose_text(*written))  # six digits, as published
    np.testing.assert_allclose(read_pose(file).rotation, written.rotation, atol=1e-6)


GOOD = pose_text(ROTATION, CENTRE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its lines have no numbers; expected three rows of a rotation"),
        ("\n".join(GOOD.splitlines()[:4]), r"its lines have 3 \+ 3 \+ 3 numbers"),
        (GOOD.replace("873", ""), r"3 \+ 3 \+ 3 \+ 2 numbers"),
        (GOOD + "1 2 3\n", r"3 \+ 3 \+ 3 \+ 3 \+ 3 numbers"),
        (GOOD.replace("873", "x"), "not numbers .*'x'"),
        (GOOD.replace("873", "nan"), "a number is not finite"),
        (GOOD.replace("873", "1e400"), "a number is not finite"),
        (GOOD.replace("873", "-873"), "head is at z = -873 mm, not in front of the camera"),
        (GOOD.replace("873", "0"), "head is at z = 0 mm"),
        (pose_text(ROTATION * 1.01, CENTRE), "not a rotation"),
        (pose_text(-ROTATION, CENTRE), "not a rotation"),  # orthogonal, of determinant −1
        (pose_text(np.zeros((3, 3)), CENTRE), "not a rotation"),
        (pose_text(ROTATION * 1e200, CENTRE), "not a rotation"),
    ],
)
def test_refuses_a_pose(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "frame_00003_pose.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=rf"frame_00003_pose\.txt: .*{message}.*copy the file again$"):
        read_pose(file)


def test_refuses_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="bytes: not numbers"):
        read_pose(tmp_path / "bytes")
    with pytest.raises(DataError, match="is a folder; give a file"):
        read_pose(tmp_path)
    for reader in (read_pose, read_calibration, read_depth):
        with pytest.raises(DataError, match="none: the file is missing; copy the data set again"):
            reader(tmp_path / "none")


# --- calibrations


def test_reads_a_calibration(tmp_path: Path) -> None:
    file = tmp_path / "rgb.cal"
    file.write_text(CALIBRATION)
    read = read_calibration(file)
    np.testing.assert_array_equal(read.intrinsics, [[517.679, 0, 320], [0, 517.679, 240.5], [0, 0, 1]])
    assert read.distortion.tolist() == [0, 0, 0, 0]
    assert read.rotation[1].tolist() == [-0.00446314, 0.999877, 0.0150443]
    assert read.translation.tolist() == [-24.0198, 5.8896, -13.2308]
    assert read.resolution == (640, 480)
    np.testing.assert_allclose(read.project([[0, 0, 500], [50, -25, 500]]), [[320, 240.5], [371.7679, 214.61605]])
    moved = read.move(RigidPose(np.eye(3), np.zeros(3)))
    np.testing.assert_array_equal(moved.rotation, read.rotation)
    np.testing.assert_array_equal(moved.centre, read.translation)


@pytest.mark.parametrize("camera", [RGB, DEPTH])
def test_reads_rendered_calibrations(tmp_path: Path, camera: object) -> None:
    assert isinstance(camera, type(RGB))
    (tmp_path / "a.cal").write_text(camera.text())
    read = read_calibration(tmp_path / "a.cal")
    np.testing.assert_allclose(read.rotation, camera.rotation, atol=1e-7)
    np.testing.assert_allclose(read.translation, 1000 * np.array(camera.translation), atol=1e-6)
    assert read.project([0, 0, 1]).tolist() == list(camera.centre)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("640 480", "640", r"3 \+ 3 \+ 3 \+ 4 \+ 3 \+ 3 \+ 3 \+ 3 \+ 1 numbers"),
        ("640 480", "0 480", "are not positive"),
        ("0 517.679 240.5", "0 -517.679 240.5", "are not positive"),
        ("0 0 1\n", "0 0 2\n", "row 3 is not 0 0 1"),
        ("0.999947", "0.9", "not a rotation"),
        ("5.8896", "inf", "not finite"),
        ("5.8896", "5,8896", "not numbers .*expected intrinsics, distortion, rotation"),
    ],
)
def test_refuses_a_calibration(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "rgb.cal").write_text(CALIBRATION.replace(old, new))
    with pytest.raises(DataError, match=rf"rgb\.cal: .*{message}.*copy the file again"):
        read_calibration(tmp_path / "rgb.cal")


# --- depth

depths = arrays(np.int16, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.sampled_from([0, 0, 1, 900, -7]))


def run_lengths(depth: npt.NDArray[np.int16], longest: int) -> bytes:
    """The format, pixel by pixel, with runs of at most `longest` full pixels."""
    height, width = depth.shape
    content, values = struct.pack("<2i", width, height), depth.ravel().tolist()
    while values:
        empty = next((at for at, value in enumerate(values) if value), len(values))
        rest = values[empty : empty + longest]
        full = rest[: next((at for at, value in enumerate(rest) if not value), len(rest))]
        content += struct.pack(f"<2i{len(full)}h", empty, len(full), *full)
        values = values[empty + len(full) :]
    return content


@same_folder
@given(depths, st.integers(1, 70))
def test_depths_come_back(tmp_path: Path, depth: npt.NDArray[np.int16], longest: int) -> None:
    (tmp_path / "a.bin").write_bytes(run_lengths(depth, longest))
    read = read_depth(tmp_path / "a.bin")
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, depth)


@same_folder
@given(depths, st.floats(0, 1, exclude_max=True))
def test_refuses_every_truncated_depth(tmp_path: Path, depth: npt.NDArray[np.int16], part: float) -> None:
    content = run_lengths(depth, 70)
    (tmp_path / "a.bin").write_bytes(content[: int(part * len(content))])
    with pytest.raises(
        DataError, match=r"a\.bin: not a depth image of Biwi \(it ends after \d+ bytes, before its last"
    ):
        read_depth(tmp_path / "a.bin")


@same_folder
@given(st.tuples(*[st.integers(-1, 4)] * 2, st.lists(st.integers(-1, 9))).map(lambda n: (n[0], n[1], *n[2])))
def test_any_runs_are_read_or_refused(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    content = struct.pack(f"<{len(numbers)}i", *numbers)
    (tmp_path / "a.bin").write_bytes(content)
    with contextlib.suppress(DataError):  # nothing else is raised
        depth = read_depth(tmp_path / "a.bin")
        assert depth.shape[::-1] == struct.unpack_from("<2i", content)


@pytest.mark.parametrize(
    ("numbers", "cause"),
    [
        ((0, 480), "its size is 0 × 480"),
        ((640, -1), "its size is 640 × -1"),
        ((2**31 - 1, 2**31 - 1), "its size is 2147483647"),
        ((2, 2, -1, 5), "a run of -1 empty and 5 full pixels does not fit 2 × 2"),
        ((2, 2, 3, 2), "a run of 3 empty and 2 full pixels does not fit 2 × 2"),
        ((2, 2, 5, -1), "a run of 5 empty and -1 full pixels does not fit 2 × 2"),
    ],
)
def test_refuses_a_depth(tmp_path: Path, numbers: tuple[int, ...], cause: str) -> None:
    (tmp_path / "a.bin").write_bytes(struct.pack(f"<{len(numbers)}i", *numbers))
    with pytest.raises(DataError, match=rf"a\.bin: not a depth image of Biwi \({cause}.*copy the file again"):
        read_depth(tmp_path / "a.bin")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "frame_00003_pose.txt")
    for read in (read_pose, read_calibration, read_depth):
        with pytest.raises(DataError, match=r"frame_00003_pose\.txt: is a pipe, not a regular file"):
            read(tmp_path / "frame_00003_pose.txt")
