"""The Biwi Kinect head pose database, as its owners distribute it and as copies of it lie about.

    01/frame_00003_rgb.png, frame_00003_depth.bin, frame_00003_pose.txt, …, rgb.cal, depth.cal; 02/ …; 24/

Poses are published in the depth camera's frame. The extrinsic of `rgb.cal` takes a point from there to the colour
camera's frame, x_rgb = R_ext · x + t_ext, so that the head's rotation in the picture is R_ext · R. The matrix of
`pose.txt` is R = Rx(−pitch) · Ry(yaw) · Rz(roll) of `deepgllim.geometry.rotations` as it stands.

G. Fanelli, M. Dantone, J. Gall, A. Fossati, L. Van Gool: Random Forests for Real Time 3D Face Analysis, International
Journal of Computer Vision 101, 2013. For research and education; the data cannot be passed on.
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
from deepgllim.data.manifest import BOX_COLUMNS, Manifest, read_manifest
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
Frame = Literal["rgb", "depth"]

ROOTS = (".", "hpdb", "kinect_head_pose_db", "kinect_head_pose_db/hpdb", "faces_0")
"""Where the sequences lie below the folder given; the first that holds some is read."""

SEQUENCES = tuple(f"{number:02d}" for number in range(1, 25))
SAME_PERSON = {"15": "03", "18": "05", "21": "02", "22": "07"}
"""Sequences of people who were recorded before, with the earlier sequence."""

HEAD_SIZE = 300.0
"""Side of the box, mm at the distance of the head's centre: a head turned anyhow, and little around it."""

CENTRE = ("centre_x", "centre_y", "centre_z")
"""Columns of the head's centre in the colour camera's frame, mm."""

PUBLISHED = tuple(f"depth_{name}" for name in (*ANGLES, "x", "y", "z"))
"""Columns of what `pose.txt` tells: the angles in the depth camera's frame, degrees, and the head's centre, mm."""

_PICTURE = r"(?i)frame_\d+_rgb\.(png|jpe?g)"
_POSE = r"(?i)frame_\d+_pose\.txt"


def read_biwi(
    folder: str | os.PathLike[str],
    targets: Sequence[str] | None = None,
    *,
    frame: Frame = "rgb",
    boxes: str | os.PathLike[str] | None = None,
    skip_broken: bool = False,
) -> Manifest:
    """Biwi: 24 sequences of 20 people, pitch, yaw and roll in degrees, in our convention.

    Columns beside those of every manifest: `number` of the frame; tilt, pan, neck_roll; `CENTRE`; `PUBLISHED`. People
    who were recorded twice have one subject (03 is also 15; 05, 18; 02, 21; 07, 22).

    Args:
        folder: the one that holds 01, …, 24, or hpdb, kinect_head_pose_db or faces_0 with these in it. Parts of the
            database will do; see `missing_sequences`.
        targets: by default pitch, yaw and roll.
        frame: the camera in whose frame the angles are: "rgb", R_ext · R, what the picture shows; or "depth", R, the
            labels as published.
        boxes: a table of boxes, a detector's say (CSV or Parquet: path, x0, y0, x1, y1; a path ends in
            01/frame_00003_rgb.png); by default a square of `HEAD_SIZE` around the head's centre, which the label tells.
        skip_broken: whether to go on without frames that cannot be used.

    Raises:
        DataError: a folder that is not Biwi, a frame that cannot be used, or a table of boxes that cannot be read.
        ValueError: another `frame`.
    """
    return manifest_from_survey(
        survey_biwi(folder, frame=frame, boxes=boxes), Path(folder), targets, skip_broken=skip_broken
    )


def survey_biwi(
    folder: str | os.PathLike[str], *, frame: Frame = "rgb", boxes: str | os.PathLike[str] | None = None
) -> Survey:
    """Every frame of the database: those that can be used as a table, and what is wrong with the others.

    Looked for: a picture without pose or the reverse, a pose or calibration that cannot be read, a picture whose header
    cannot be read or whose size is not that of `rgb.cal`, a head outside its picture, a frame that `boxes` lacks,
    a sequence without frames. Notes name the sequences without a row. Pixels are not decoded (`check_images` does)
    and depth is not read.

    Args:
        folder, frame, boxes: as for `read_biwi`.

    Raises:
        DataError: a folder that is not Biwi, or a table of boxes that cannot be read.
        ValueError: another `frame`.
    """
    if frame not in get_args(Frame):
        raise ValueError(f"frame is {frame!r}; the choices are 'rgb' and 'depth'")
    known = None if boxes is None else _Boxes.read(boxes)
    sequences, unusable = read_rows(_sequences(Path(folder).absolute()), _frames)
    poses, broken = read_rows((each for frames in sequences for each in frames), partial(_usable_frame, boxes=known))
    table = _table(poses, frame)
    missing = missing_sequences(table)
    notes = [f"sequences of which no frame can be used: {', '.join(missing)}"] if missing else []
    return Survey(table, [*unusable, *broken], notes=notes)


def missing_sequences(frame: pd.DataFrame) -> list[str]:
    """The folders among 01 to 24 of which the table has no row. A part of the database is no error.

    Example:
        >>> missing_sequences(pd.DataFrame({"sequence": [f"{number:02d}" for number in range(1, 23)]}))
        ['23', '24']
    """
    return sorted(set(SEQUENCES) - set(frame["sequence"]))


class _Frame(NamedTuple):
    """A frame's files; the camera is that of its sequence."""

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
    published: RigidPose  # in the depth camera's frame
    seen: RigidPose  # in the colour camera's


class _Boxes(NamedTuple):
    """Boxes by sequence and name of the picture without suffix, and where they are from."""

    origin: str
    boxes: Mapping[tuple[str, str], Box]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "_Boxes":
        table = read_manifest(path, targets=())
        keys = [_key(picture) for picture in table.paths]
        (most, times), *_ = Counter(keys).most_common(1)
        if times > 1:
            raise DataError(f"{path}: {'/'.join(most)} has {times} boxes; leave one row a frame")
        if np.isnan(table.boxes).all():
            raise DataError(f"{path}: no row has a box; give the columns path, {', '.join(BOX_COLUMNS)}")
        rows = zip(keys, table.boxes.tolist(), strict=True)  # a blank box: the detector found no face
        return cls(str(path), {key: (x0, y0, x1, y1) for key, (x0, y0, x1, y1) in rows if not np.isnan(x0)})

    def __call__(self, picture: Path) -> Box:
        box = self.boxes.get(_key(picture))
        if box is None:
            raise BrokenFileError(picture, f"{self.origin} has no box of it; add one")
        return box


def _key(picture: Path) -> tuple[str, str]:
    return picture.parent.name, picture.stem


def _sequences(root: Path) -> list[Path]:
    """The folders of the sequences, in order."""
    for name in ROOTS:
        places = sorted(place for place in (root / name).glob("[0-9][0-9]") if place.is_dir())
        if any(_numbered(place, _PICTURE) or _numbered(place, _POSE) for place in places):
            return places
    expected = "folders 01 … 24 of frame_00003_rgb.png, frame_00003_pose.txt, …, in it or in its hpdb"
    raise DataError(f"{root}: not a Biwi folder; expected {expected}, kinect_head_pose_db or faces_0")


def _numbered(folder: Path, pattern: str) -> dict[int, Path]:
    """The files of a kind by frame number, in order; of two pictures of a frame, the .png."""
    names = sorted(matching_names(folder, pattern), key=lambda name: Path(name).suffix.lower())  # .png comes last
    found = {int(name.split("_")[1]): folder / name for name in names}
    return dict(sorted(found.items()))


def _frames(folder: Path) -> list[_Frame]:
    """The frames of a sequence of which a picture or a pose is there."""
    pictures = _numbered(folder, _PICTURE)
    beside = _numbered(folder, _POSE)
    poses = _numbered(folder.parent.parent / "db_annotations" / folder.name, _POSE) | beside  # apart in some copies
    numbers = sorted(pictures.keys() | beside.keys())
    if not pictures:
        raise BrokenFileError(folder, f"no frame_NNNNN_rgb.png is in it; {COPY_AGAIN}")
    try:
        camera = read_calibration(folder / "rgb.cal")
    except BrokenFileError as error:
        raise BrokenFileError(error.path, f"{error.cause} ({len(numbers)} frames depend on it)") from error
    return [_Frame(folder, number, pictures.get(number), poses.get(number), camera) for number in numbers]


def _usable_frame(frame: _Frame, boxes: _Boxes | None) -> _UsableFrame:
    folder, number, picture, pose, camera = frame
    if picture is None or pose is None:
        missing = f"frame_{number:05d}_{'rgb.png' if picture is None else 'pose.txt'}"
        raise BrokenFileError(picture or pose or folder, f"{missing} is missing beside it; {COPY_AGAIN}")
    published = read_pose(pose)
    check_size(picture, camera.resolution, "rgb.cal says")
    seen = camera.move(published)
    box = boxes(picture) if boxes is not None else _head_box(seen, camera, picture)
    return _UsableFrame(picture, number, box, published, seen)


def _head_box(pose: RigidPose, camera: CameraCalibration, picture: Path) -> Box:
    """The square of `HEAD_SIZE` around the head's centre, or BrokenFileError where that is not in the picture."""
    centre = camera.project(pose.centre) if pose.centre[2] > 0 else np.array([-1.0, -1.0])
    if (centre < 0).any() or (centre > camera.resolution).any():
        raise BrokenFileError(
            picture, "its pose puts the head outside it; its pose.txt or rgb.cal is another's: compare"
        )
    half = np.diag(camera.intrinsics)[:2] * HEAD_SIZE / 2 / pose.centre[2]
    x0, y0, x1, y1 = (float(edge) for edge in (*(centre - half), *(centre + half)))
    return x0, y0, x1, y1


def _table(poses: list[_UsableFrame], frame: Frame) -> pd.DataFrame:
    """The columns of `read_biwi`, also of no frame at all."""
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
    """Rotations (N, 3, 3) and centres (N, 3)."""
    rotations, centres = np.array([pose.rotation for pose in poses]), np.array([pose.centre for pose in poses])
    return RigidPose(rotations.reshape(-1, 3, 3), centres.reshape(-1, 3))


def _columns(names: Sequence[str], values: Array) -> dict[str, Array]:
    return dict(zip(names, values.reshape(-1, len(names)).T, strict=True))
