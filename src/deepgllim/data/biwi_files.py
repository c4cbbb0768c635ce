"""Files of the Biwi Kinect head pose database: poses, calibrations, depth images. Lengths are in millimetres."""

import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.data.survey import COPY_AGAIN, BrokenFileError, check_regular
from deepgllim.errors import DataError
from deepgllim.geometry.checks import checked_rotations

Array = npt.NDArray[np.float64]
PathLike = str | os.PathLike[str]

_AGAIN = "copy the file again"
_LARGEST_SIDE = 8192  # of a depth image; those of Biwi have 640 × 480 pixels


class RigidPose(NamedTuple):
    """The content of `pose.txt`, in the frame of the depth camera.

    Attributes:
        rotation: R of `deepgllim.geometry.rotations`, (3, 3).
        centre: centre of the head, (3,), mm.
    """

    rotation: Array
    centre: Array


class CameraCalibration(NamedTuple):
    """The content of a `.cal` file.

    Attributes:
        intrinsics: (3, 3), pixels.
        distortion: (4,); zero in the published files.
        rotation: R_ext, (3, 3). R_ext · x + t_ext maps points from the frame of the depth camera to that of this camera.
        translation: t_ext, (3,), mm.
        resolution: width and height of the images, pixels.
    """

    intrinsics: Array
    distortion: Array
    rotation: Array
    translation: Array
    resolution: tuple[int, int]

    def move(self, pose: RigidPose) -> RigidPose:
        """Return the pose in the frame of this camera: R_ext · R and R_ext · t + t_ext."""
        return RigidPose(self.rotation @ pose.rotation, self.rotation @ pose.centre + self.translation)

    def project(self, points: npt.ArrayLike) -> Array:
        """Project points in the frame of this camera by the intrinsics, without distortion.

        Args:
            points: (..., 3), mm, in front of the camera (z > 0).

        Returns:
            x and y, (..., 2), pixels.
        """
        seen = np.asarray(points, dtype=np.float64) @ self.intrinsics.T
        return np.asarray(seen[..., :2] / seen[..., 2:])


def read_pose(path: PathLike) -> RigidPose:
    """Read a `frame_NNNNN_pose.txt`: three rows of the rotation, an empty line, the centre of the head.

    Raises:
        DataError: the file is missing, does not contain these twelve numbers, its matrix is not a rotation, or the
            centre is not in front of the camera.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "frame_00003_pose.txt"
        ...     _ = file.write_text("1 0 0 \\n0 1 0 \\n0 0 1 \\n\\n10 20 900 \\n")
        ...     read_pose(file).centre
        array([ 10.,  20., 900.])
    """
    rows = _rows(path, [3, 3, 3, 3], "three rows of a rotation, an empty line and the centre of the head")
    pose = RigidPose(np.array(rows[:3]), np.array(rows[3]))
    _check_rotation(pose.rotation, path)
    if pose.centre[2] <= 0:
        raise BrokenFileError(
            path, f"the centre of the head is at z = {pose.centre[2]:g} mm, not in front of the camera; {_AGAIN}"
        )
    return pose


def read_calibration(path: PathLike) -> CameraCalibration:
    """Read an `rgb.cal` or `depth.cal`: intrinsics, distortion, rotation, translation in mm, resolution.

    Raises:
        DataError: the file is missing, has other numbers, or its matrices are not a rotation and intrinsics.
    """
    expected = "intrinsics, distortion, rotation, translation and resolution with an empty line between them"
    rows = _rows(path, [3, 3, 3, 4, 3, 3, 3, 3, 2], expected)
    K, rotation, (width, height) = np.array(rows[:3]), np.array(rows[4:7]), rows[8]
    _check_rotation(rotation, path)
    if not (K[0, 0] > 0 and K[1, 1] > 0 and np.array_equal(K[2], [0, 0, 1]) and min(width, height) >= 1):
        raise BrokenFileError(path, f"focal lengths or resolution are not positive, or row 3 is not 0 0 1; {_AGAIN}")
    return CameraCalibration(K, np.array(rows[3]), rotation, np.array(rows[7]), (int(width), int(height)))


def read_depth(path: PathLike) -> npt.NDArray[np.int16]:
    """Read a `frame_NNNNN_depth.bin`: int32 width and height, then runs {int32 empty, int32 full, full × int16}.

    Args:
        path: the file, little-endian. Bytes after the last pixel are ignored.

    Returns:
        Distances from the plane of the camera, (H, W), mm; 0 without a measurement.

    Raises:
        DataError: the file is missing or ends before its last pixel, or its runs do not fit its size.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "frame_00003_depth.bin"
        ...     _ = file.write_bytes(struct.pack("<4i2h2i", 2, 2, 1, 2, 900, 905, 1, 0))
        ...     read_depth(file)
        array([[  0, 900],
               [905,   0]], dtype=int16)
    """
    content = _content(path)
    try:
        return _decompressed(content)
    except (struct.error, BufferError):
        cause = f"it ends after {len(content)} bytes, before its last pixel"
    except DataError as error:
        cause = str(error)
    raise BrokenFileError(path, f"not a depth image of Biwi ({cause}); {_AGAIN}")


def _decompressed(content: bytes) -> npt.NDArray[np.int16]:
    width, height = struct.unpack_from("<2i", content)
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise DataError(f"its size is {width} × {height}")
    depth = np.zeros(width * height, dtype=np.int16)
    at, place = 0, 8
    while at < len(depth):
        empty, full = struct.unpack_from("<2i", content, place)
        start, at, place = at + empty, at + empty + full, place + 8
        if min(empty, full) < 0 or at > len(depth):
            raise DataError(f"a run of {empty} empty and {full} full pixels does not fit {width} × {height}")
        if place + 2 * full > len(content):
            raise BufferError
        depth[start:at] = np.frombuffer(content, "<i2", full, place)
        place += 2 * full
    return depth.reshape(height, width)  # (H, W)


def _rows(path: PathLike, lengths: list[int], expected: str) -> list[list[float]]:
    """Return the numbers of the lines that are not blank; `lengths` is the expected number in each line."""
    content = _content(path)
    try:
        lines = [line.split() for line in content.decode("utf-8-sig").splitlines() if line.strip()]
        rows = [[float(word) for word in line] for line in lines]
    except ValueError as error:
        raise BrokenFileError(path, f"not numbers ({error}); expected {expected}: {_AGAIN}") from error
    if [len(row) for row in rows] != lengths:
        found = " + ".join(str(len(row)) for row in rows) or "no"
        raise BrokenFileError(path, f"its lines have {found} numbers; expected {expected}: {_AGAIN}")
    if not np.isfinite([number for row in rows for number in row]).all():
        raise BrokenFileError(path, f"a number is not finite; {_AGAIN}")
    return rows


def _content(path: PathLike) -> bytes:
    check_regular(path)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise BrokenFileError(path, f"the file is missing; {COPY_AGAIN}") from error
    except OSError as error:
        raise BrokenFileError(path, f"cannot be read ({error.strerror}); check the path and its permissions") from error


def _check_rotation(rotation: Array, path: PathLike) -> None:
    try:
        checked_rotations(rotation)
    except DataError as error:
        raise BrokenFileError(
            path, f"its matrix is not a rotation (orthogonal with determinant 1); {_AGAIN}"
        ) from error
