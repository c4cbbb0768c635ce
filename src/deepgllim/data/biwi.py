"""Reading of the Biwi Kinect head pose database, as its owners distribute it and as common copies arrange it.

    01/frame_00003_rgb.png, frame_00003_depth.bin, frame_00003_pose.txt, …, rgb.cal, depth.cal; 02/ …; 24/

Poses are published in the frame of the depth camera. The extrinsic of `rgb.cal` maps its points to the frame of the
colour camera, x_rgb = R_ext · x + t_ext, so the rotation of the head in the image is R_ext · R. The matrix of
`pose.txt` is R = Rx(−pitch) · Ry(yaw) · Rz(roll) of `deepgllim.geometry.rotations` without changes.

G. Fanelli, M. Dantone, J. Gall, A. Fossati, L. Van Gool: Random Forests for Real Time 3D Face Analysis, International
Journal of Computer Vision 101, 2013. The data are for research and education and must not be redistributed.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.data.biwi_files import CameraCalibration, RigidPose, read_calibration, read_pose
from deepgllim.data.columns import BOX_COLUMNS
from deepgllim.data.manifest import Manifest, read_manifest
from deepgllim.data.survey import (
    COPY_AGAIN,
    BrokenFileError,
    Survey,
    check_size,
    manifest_from_survey,
    matching_names,
    read_rows,
)
from deepgllim.errors import DataError
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, angles_from_rotation, pan_tilt_from_rotation
from deepgllim.imaging.images import Box

Array = npt.NDArray[np.float64]
CameraFrame = Literal["rgb", "depth"]

ROOTS = (".", "hpdb", "kinect_head_pose_db", "kinect_head_pose_db/hpdb", "faces_0")
"""Places of the sequences below the given folder; the first one that has sequences is read."""

SEQUENCES = tuple(f"{number:02d}" for number in range(1, 25))
SAME_PERSON = {"15": "03", "18": "05", "21": "02", "22": "07"}
"""Sequences of people who were recorded twice, with the earlier sequence of the same person."""

HEAD_SIZE = 300.0
"""Side of the box, mm at the distance of the centre of the head. It contains the head in any pose."""

CENTRE = ("centre_x", "centre_y", "centre_z")
"""Columns of the centre of the head in the frame of the colour camera, mm."""

PUBLISHED = tuple(f"depth_{name}" for name in (*ANGLES, "x", "y", "z"))
"""Columns of the published label: angles in the frame of the depth camera, degrees, and centre of the head, mm."""

_PICTURE = r"(?i)frame_\d+_rgb\.(png|jpe?g)"
_POSE = r"(?i)frame_\d+_pose\.txt"


def read_biwi(
    folder: str | os.PathLike[str],
    targets: Sequence[str] | None = None,
    *,
    frame: CameraFrame = "rgb",
    boxes: str | os.PathLike[str] | None = None,
    skip_broken: bool = False,
) -> Manifest:
    """Read Biwi: 24 sequences of 20 people, with pitch, yaw and roll in degrees in the convention of this package.

    Additional columns: `number` of the frame; tilt, pan, neck_roll; `CENTRE`; `PUBLISHED`. People who were recorded
    twice have one subject (03 is also 15; 05, 18; 02, 21; 07, 22).

    Args:
        folder: the folder of 01, …, 24, or of hpdb, kinect_head_pose_db or faces_0 with these in it. A part of the
            database is accepted; see `missing_sequences`.
        targets: names of the targets; None for pitch, yaw and roll.
        frame: the camera whose frame the angles refer to: "rgb" for the rotation in the image, R_ext · R; "depth" for
            the published labels, R.
        boxes: a table of boxes, as a detector finds them (CSV or Parquet: path, x0, y0, x1, y1; a path ends in
            01/frame_00003_rgb.png); None for a square of `HEAD_SIZE` around the centre of the head in the label.
        skip_broken: leave out frames that cannot be used instead of raising an error.

    Raises:
        DataError: the folder is not Biwi, a frame cannot be used, or the table of boxes cannot be read.
        ValueError: `frame` is unknown.
    """
    return manifest_from_survey(
        survey_biwi(folder, frame=frame, boxes=boxes), Path(folder), targets, skip_broken=skip_broken
    )


def survey_biwi(
    folder: str | os.PathLike[str], *, frame: CameraFrame = "rgb", boxes: str | os.PathLike[str] | None = None
) -> Survey:
    """Return the usable frames of the database as a table, and the causes why others cannot be used.

    A frame is unusable if its image, pose or calibration is missing or cannot be read, if the image has another size
    than `rgb.cal` states, if the head is outside the image, or if `boxes` has no box of it. Notes name the sequences
    without a row. Pixels are not decoded (`check_images` does this) and depth is not read.

    Args:
        folder, frame, boxes: as for `read_biwi`.

    Raises:
        DataError: the folder is not Biwi, or the table of boxes cannot be read.
        ValueError: `frame` is unknown.
    """
    if frame not in get_args(CameraFrame):
        raise ValueError(f"frame is {frame!r}; the choices are 'rgb' and 'depth'")
    known = None if boxes is None else _Boxes.read(boxes)
    sequences, unusable = read_rows(_sequences(Path(folder).absolute()), _frames)
    poses, broken = read_rows((each for frames in sequences for each in frames), partial(_usable_frame, boxes=known))
    table = _table(poses, frame)
    missing = missing_sequences(table)
    notes = [f"sequences without usable frames: {', '.join(missing)}"] if missing else []
    return Survey(table, [*unusable, *broken], notes=notes)


def missing_sequences(frame: pd.DataFrame) -> list[str]:
    """Return the folders among 01 to 24 of which the table has no row.

    Example:
        >>> missing_sequences(pd.DataFrame({"sequence": [f"{number:02d}" for number in range(1, 23)]}))
        ['23', '24']
    """
    return sorted(set(SEQUENCES) - set(frame["sequence"]))


class _Frame(NamedTuple):
    """The files of a frame, and the camera of its sequence."""

    folder: Path
    number: int
    picture: Path | None
    pose: Path | None
    camera: CameraCalibration


class _UsableFrame(NamedTuple):
    """A frame that can be used."""

    picture: Path
    number: int
    box: Box
    published: RigidPose  # in the frame of the depth camera
    seen: RigidPose  # in the frame of the colour camera


class _Boxes(NamedTuple):
    """Boxes by sequence and name of the image without suffix, and the file they were read from."""

    origin: str
    boxes: Mapping[tuple[str, str], Box]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "_Boxes":
        table = read_manifest(path, targets=())
        keys = [_frame_key(picture) for picture in table.paths]
        (most, times), *_ = Counter(keys).most_common(1)
        if times > 1:
            raise DataError(f"{path}: {'/'.join(most)} has {times} boxes; keep one row per frame")
        if np.isnan(table.boxes).all():
            raise DataError(f"{path}: no row has a box; give the columns path, {', '.join(BOX_COLUMNS)}")
        rows = zip(keys, table.boxes.tolist(), strict=True)  # a detector that found no face leaves the box blank
        return cls(str(path), {key: (x0, y0, x1, y1) for key, (x0, y0, x1, y1) in rows if not np.isnan(x0)})

    def __call__(self, picture: Path) -> Box:
        box = self.boxes.get(_frame_key(picture))
        if box is None:
            raise BrokenFileError(picture, f"{self.origin} has no box for it; add one")
        return box


def _frame_key(picture: Path) -> tuple[str, str]:
    return picture.parent.name, picture.stem


def _sequences(root: Path) -> list[Path]:
    """Return the folders of the sequences, in order."""
    for name in ROOTS:
        places = sorted(place for place in (root / name).glob("[0-9][0-9]") if place.is_dir())
        if any(_numbered(place, _PICTURE) or _numbered(place, _POSE) for place in places):
            return places
    expected = "folders 01 … 24 of frame_00003_rgb.png, frame_00003_pose.txt, …, in it or in its hpdb"
    raise DataError(f"{root}: not a Biwi folder; expected {expected}, kinect_head_pose_db or faces_0")


def _numbered(folder: Path, pattern: str) -> dict[int, Path]:
    """Return the files of a kind by frame number, in order; of two images of a frame, the .png."""
    names = sorted(matching_names(folder, pattern), key=lambda name: Path(name).suffix.lower())  # .png comes last
    found = {int(name.split("_")[1]): folder / name for name in names}
    return dict(sorted(found.items()))


def _frames(folder: Path) -> list[_Frame]:
    """Return the frames of a sequence that have an image or a pose."""
    pictures = _numbered(folder, _PICTURE)
    beside = _numbered(folder, _POSE)
    poses = (
        _numbered(folder.parent.parent / "db_annotations" / folder.name, _POSE) | beside
    )  # some copies have another folder for the poses
    numbers = sorted(pictures.keys() | beside.keys())
    if not pictures:
        raise BrokenFileError(folder, f"it has no frame_NNNNN_rgb.png; {COPY_AGAIN}")
    try:
        camera = read_calibration(folder / "rgb.cal")
    except BrokenFileError as error:
        raise BrokenFileError(error.path, f"{error.cause} (needed by {len(numbers)} frames)") from error
    return [_Frame(folder, number, pictures.get(number), poses.get(number), camera) for number in numbers]


def _usable_frame(frame: _Frame, boxes: _Boxes | None) -> _UsableFrame:
    folder, number, picture, pose, camera = frame
    if picture is None or pose is None:
        missing = f"frame_{number:05d}_{'rgb.png' if picture is None else 'pose.txt'}"
        raise BrokenFileError(picture or pose or folder, f"{missing} is missing; {COPY_AGAIN}")
    published = read_pose(pose)
    check_size(picture, camera.resolution, "rgb.cal says")
    seen = camera.move(published)
    box = boxes(picture) if boxes is not None else _head_box(seen, camera, picture)
    return _UsableFrame(picture, number, box, published, seen)


def _head_box(pose: RigidPose, camera: CameraCalibration, picture: Path) -> Box:
    """Return the square of `HEAD_SIZE` around the centre of the head, which must be in the image."""
    centre = camera.project(pose.centre) if pose.centre[2] > 0 else np.array([-1.0, -1.0])
    if (centre < 0).any() or (centre > camera.resolution).any():
        raise BrokenFileError(
            picture, "by its pose, the head is outside it; check whether its pose.txt and rgb.cal belong to it"
        )
    half = np.diag(camera.intrinsics)[:2] * HEAD_SIZE / 2 / pose.centre[2]
    x0, y0, x1, y1 = (float(edge) for edge in (*(centre - half), *(centre + half)))
    return x0, y0, x1, y1


def _table(poses: list[_UsableFrame], frame: CameraFrame) -> pd.DataFrame:
    """Return the columns of `read_biwi`, also for no frames."""
    names = [pose.picture.parent.name for pose in poses]
    published, seen = _stacked([pose.published for pose in poses]), _stacked([pose.seen for pose in poses])
    rotation = published.rotation if frame == "depth" else seen.rotation
    numbers = {
        **_columns(BOX_COLUMNS, np.array([pose.box for pose in poses])),
        **_columns(ANGLES, angles_from_rotation(rotation)),
        **_columns(NECK_ANGLES, pan_tilt_from_rotation(rotation)),
        **_columns(CENTRE, seen.centre),
        **_columns(PUBLISHED, np.concatenate([angles_from_rotation(published.rotation), published.centre], axis=1)),
    }
    texts = {"path": [str(pose.picture) for pose in poses], "subject": [SAME_PERSON.get(name, name) for name in names]}
    more = {"sequence": names, "source": ["biwi"] * len(names), "number": [pose.number for pose in poses]}
    return pd.DataFrame({**texts, **more, **numbers})


def _stacked(poses: Sequence[RigidPose]) -> RigidPose:
    """Return rotations (N, 3, 3) and centres (N, 3)."""
    rotations, centres = np.array([pose.rotation for pose in poses]), np.array([pose.centre for pose in poses])
    return RigidPose(rotations.reshape(-1, 3, 3), centres.reshape(-1, 3))


def _columns(names: Sequence[str], values: Array) -> dict[str, Array]:
    return dict(zip(names, values.reshape(-1, len(names)).T, strict=True))
