"""Reading of 300W-LP and AFLW2000-3D: images of 450 × 450 pixels, with poses and 68 landmarks in MATLAB files.

X. Zhu, Z. Lei, X. Liu, H. Shi, S. Z. Li, Face Alignment Across Large Poses: A 3D Solution, CVPR 2016.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.data.columns import BOX_COLUMNS, LARGEST_ANGLE
from deepgllim.data.manifest import Manifest
from deepgllim.data.survey import (
    COPY_AGAIN,
    BrokenFile,
    BrokenFileError,
    ManifestRow,
    Survey,
    check_regular,
    check_size,
    manifest_from_survey,
    matching_names,
    read_rows,
)
from deepgllim.errors import DataError
from deepgllim.geometry.conventions import from_convention
from deepgllim.geometry.rotations import ANGLES
from deepgllim.imaging.images import Box

Array = npt.NDArray[np.float64]

LIMIT = 99.0
"""Largest absolute value of the three angles in the usual protocol, degrees."""

SIDE = 450
"""Width and height of each image, pixels."""

SETS_300W_LP = ("AFW", "HELEN", "IBUG", "LFPW")

_POINTS = 68
_MISSING = -1.0


class _Face(NamedTuple):
    """The files of a face, and further columns of its row."""

    picture: Path
    points: Path  # the .mat file of the landmarks
    field: str  # the name of the landmarks in it
    mirrored: bool  # whether the landmarks are those of the image before its flip
    known: ManifestRow


def read_300w_lp(
    folder: str | os.PathLike[str],
    targets: Sequence[str] | None = None,
    *,
    flips: bool = True,
    limit: float = LIMIT,
    skip_broken: bool = False,
) -> Manifest:
    """Read 300W-LP: pitch, yaw and roll in degrees and the usual box; the subject is the original photograph.

    The labels are the published ones: a head that is level in our convention has a pitch of about −7.
    `convert_labels(manifest, "300w-lp")` converts them to our zero.

    Args:
        folder: the folder of `AFW`, `HELEN`, `IBUG`, `LFPW`, their `…_Flip` and `landmarks`.
        targets: some of pitch, yaw, roll; None for all three.
        flips: whether to read the folders `…_Flip` too; a network trained with mirroring does not need them.
        limit: largest absolute value of the three angles, degrees; rows beyond it are left out.
        skip_broken: leave out files that cannot be used instead of raising an error.

    Raises:
        DataError: the folder is another data set, or a file cannot be used: an image or .mat file without its
            counterpart, a .mat file that is damaged or lacks its field, missing landmarks, an image of another size.
    """
    survey = survey_300w_lp(folder, flips=flips, limit=limit)
    return manifest_from_survey(survey, Path(folder), targets, skip_broken=skip_broken)


def read_aflw2000(
    folder: str | os.PathLike[str],
    targets: Sequence[str] | None = None,
    *,
    limit: float = LIMIT,
    skip_broken: bool = False,
) -> Manifest:
    """Read AFLW2000-3D: pitch, yaw and roll in degrees and the usual box; each image is a subject of its own.

    The labels are the published ones, whose zero is that of `read_300w_lp`.

    Args:
        folder: the folder of `image00002.jpg`, `image00002.mat`, ….
        targets, limit, skip_broken: as for `read_300w_lp`. The limit of 99° keeps 1,969 of the 2,000 faces.

    Raises:
        DataError: as `read_300w_lp`.
    """
    return manifest_from_survey(survey_aflw2000(folder, limit=limit), Path(folder), targets, skip_broken=skip_broken)


def survey_300w_lp(folder: str | os.PathLike[str], *, flips: bool = True, limit: float = LIMIT) -> Survey:
    """Return the survey of a folder of 300W-LP; arguments as for `read_300w_lp`.

    Raises:
        DataError: the folder is not 300W-LP.
    """
    root = Path(folder)
    names = [f"{name}{flip}" for name in SETS_300W_LP for flip in ("", "_Flip") if flips or not flip]
    names = [name for name in names if (root / name).is_dir()]
    pictures = {name: matching_names(root / name, rf"{name.removesuffix('_Flip')}_.+_\d+\.jpg") for name in names}
    if not any(pictures.values()) or not (root / "landmarks").is_dir():
        expected = "folders AFW, HELEN, IBUG, LFPW of pictures such as AFW_134212_1_0.jpg, and the folder landmarks"
        raise DataError(f"{root}: not a 300W-LP folder; expected {expected}")
    broken: list[BrokenFile] = []
    for name, there in pictures.items():
        broken += _without_picture(root / name, r".+_\d+\.mat", ".mat", there)
        broken += _without_picture(root / "landmarks" / name, r".+_pts\.mat", "_pts.mat", there)
    return _survey((face for name in names for face in _faces_300w_lp(root, name, pictures[name])), broken, limit)


def survey_aflw2000(folder: str | os.PathLike[str], *, limit: float = LIMIT) -> Survey:
    """Return the survey of a folder of AFLW2000-3D; arguments as for `read_aflw2000`.

    Raises:
        DataError: the folder is not AFLW2000-3D.
    """
    root = Path(folder)
    pictures = matching_names(root, r"image\d+\.jpg")
    if not pictures:
        expected = "pictures such as image00002.jpg, each with image00002.mat beside it"
        raise DataError(f"{root}: not an AFLW2000-3D folder; expected {expected}")
    faces = (
        _Face(
            root / name,
            (root / name).with_suffix(".mat"),
            "pt3d_68",
            False,
            {"subject": name[:-4], "source": "aflw2000"},
        )
        for name in pictures
    )
    return _survey(faces, _without_picture(root, r"image\d+\.mat", ".mat", pictures), limit)


def landmark_box(points: npt.ArrayLike, k: float = 0.2) -> Box:
    """Return the usual box of these data sets.

    It is the box of the points, w × h, enlarged by 0.6 k w at the left and right, 2 k h at the top, for the forehead,
    and 0.6 k h at the bottom.

    Args:
        points: landmarks, (n, 2), pixels.
        k: the enlargement; usually 0.2 in evaluation, and drawn from 0.2 to 0.4 in training.

    Returns:
        (x0, y0, x1, y1); the box may extend beyond the image.

    Raises:
        ValueError: the points have another shape.

    Example:
        >>> landmark_box([(100, 100), (200, 150), (150, 200)], k=0.5)
        (70.0, 0.0, 230.0, 230.0)
    """
    p = np.asarray(points, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != 2 or len(p) == 0:
        raise ValueError(f"points have shape {p.shape}; give (n, 2), x and y in pixels")
    (x0, y0), (x1, y1) = p.min(axis=0), p.max(axis=0)
    w, h = x1 - x0, y1 - y0
    return float(x0 - 0.6 * k * w), float(y0 - 2 * k * h), float(x1 + 0.6 * k * w), float(y1 + 0.6 * k * h)


def _faces_300w_lp(root: Path, name: str, pictures: Sequence[str]) -> Iterator[_Face]:
    """Yield the faces of one of the folders.

    A flip has the file name of the original image. If the flip has no landmarks, those of the original are mirrored.
    """
    plain = name.removesuffix("_Flip")
    for file in pictures:
        stem = file[:-4]
        own = root / "landmarks" / name / f"{stem}_pts.mat"
        borrowed = plain != name and not own.is_file()
        points = root / "landmarks" / plain / own.name if borrowed else own
        known: ManifestRow = {"subject": stem.rpartition("_")[0], "source": f"300w-lp:{name}"}
        yield _Face(root / name / file, points, "pts_2d", borrowed, known)


def _survey(faces: Iterator[_Face], broken: list[BrokenFile], limit: float) -> Survey:
    rows, unusable = read_rows(faces, _row)
    frame = pd.DataFrame(rows, columns=["path", "subject", "source", *BOX_COLUMNS, *ANGLES])
    kept = (frame[list(ANGLES)].abs() <= limit).all(axis=1)
    return Survey(frame[kept].reset_index(drop=True), [*broken, *unusable], left_out=int((~kept).sum()))


def _row(face: _Face) -> ManifestRow:
    angles = _angles(face.picture.with_suffix(".mat"))
    points = _landmarks(face.points, face.field)
    check_size(face.picture, (SIDE, SIDE), "those of the data set have")
    if face.mirrored:
        points = points * (-1, 1) + (SIDE, 0)
    x0, y0, x1, y1 = box = landmark_box(points)
    if x1 <= x0 or y1 <= y0:
        raise BrokenFileError(face.points, f"the box of the points of {face.field} is empty; {COPY_AGAIN}")
    edges = zip(BOX_COLUMNS, box, strict=True)
    return {"path": str(face.picture.absolute())} | face.known | dict(edges) | dict(zip(ANGLES, angles, strict=True))


def _angles(path: Path) -> list[float]:
    """Return pitch, yaw and roll as published, degrees; the file has radians, before translation and scale."""
    pose = _matrix(path, "Pose_Para").ravel()
    if len(pose) < 3 or not np.isfinite(pose[:3]).all():
        raise BrokenFileError(path, f"Pose_Para starts with {pose[:3]}, not with three angles in radians; {COPY_AGAIN}")
    angles = np.degrees(pose[:3])
    if np.abs(angles).max() > LARGEST_ANGLE:
        raise BrokenFileError(path, f"Pose_Para starts with {pose[:3]}, beyond ±2π, but is in radians; {COPY_AGAIN}")
    return list(from_convention(angles, "300w-lp", zero=False))


def _landmarks(path: Path, field: str) -> Array:
    """Return the points, (68, 2). The files have one row per point, or one row per coordinate including depth."""
    values = _matrix(path, field)
    values = values if values.shape[0] == _POINTS else values.T
    if values.ndim != 2 or values.shape[0] != _POINTS or values.shape[1] < 2:
        raise BrokenFileError(path, f"{field} has shape {values.shape}, not that of {_POINTS} points; {COPY_AGAIN}")
    points = values[:, :2]
    absent = int((~np.isfinite(points) | (points == _MISSING)).all(axis=1).sum())
    if absent or not np.isfinite(points).all():
        raise BrokenFileError(path, f"{absent or 'some'} of the {_POINTS} points of {field} are missing; {COPY_AGAIN}")
    return points


def _matrix(path: Path, field: str) -> Array:
    from scipy.io import loadmat

    check_regular(path)
    if not path.is_file():
        raise BrokenFileError(path, f"the file is missing; {COPY_AGAIN}")
    try:
        content = loadmat(path, variable_names=[field])
    except Exception as error:  # damaged files raise anything from ValueError to zlib.error
        cause = " ".join(str(error).split())
        raise BrokenFileError(
            path, f"not a readable .mat file ({cause or type(error).__name__}); {COPY_AGAIN}"
        ) from error
    if field not in content or not np.issubdtype(content[field].dtype, np.number):
        raise BrokenFileError(path, f"has no numbers {field!r}; {COPY_AGAIN}")
    return np.atleast_2d(np.asarray(content[field], dtype=np.float64))


def _without_picture(folder: Path, pattern: str, ending: str, pictures: Sequence[str]) -> list[BrokenFile]:
    there = set(pictures)
    expected = ((name, f"{name.removesuffix(ending)}.jpg") for name in matching_names(folder, pattern))
    return [
        (folder / name, f"its picture {jpg} is missing; {COPY_AGAIN}") for name, jpg in expected if jpg not in there
    ]
