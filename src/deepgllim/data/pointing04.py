"""Reader of Pointing'04: 15 people, looking in 93 directions."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.data.manifest import Manifest
from deepgllim.data.survey import (
    COPY_AGAIN,
    BrokenFileError,
    ManifestRow,
    Survey,
    check_regular,
    manifest_from_survey,
    read_rows,
)
from deepgllim.errors import DataError
from deepgllim.geometry.rotations import angles_from_rotation, rotation_from_pan_tilt

_NAME = re.compile(r"person(\d\d)([12])\d\d([+-]\d{1,2})([+-]\d{1,2})\.jpg", re.IGNORECASE)

Labels = Literal["asked", "head"]

ASKED_TILT = (-60.0, -30.0, -15.0, 0.0, 15.0, 30.0, 60.0)
"""The published labels of tilt, degrees: the directions in which people were asked to look."""

HEAD_TILT = (-30.0, -20.0, -10.0, -1.5, 9.5, 21.0, 43.0)
"""Mean tilt of the head for each label, degrees: people move their eyes for the rest (experiments/pretrained)."""

HEAD_TILT_DEVIATION = 7.0
"""Standard deviation of the tilt of a person's head about the mean of the label, degrees."""


def read_pointing04(
    folder: str | os.PathLike[str],
    targets: Sequence[str] | None = None,
    *,
    labels: Labels = "asked",
    skip_broken: bool = False,
) -> Manifest:
    """Read Pointing'04: pitch and yaw, or tilt and pan, in degrees, without roll.

    The published labels are the directions in which people were asked to look. Pan is that of the head, but the tilt of
    the head is only half to three quarters of the label. Subjects are "01" to "15", sequences "1" and "2". The boxes
    are those of the `.txt` file of each image.

    Args:
        folder: the folder of `Person01`, …, `Person15`.
        targets: some of pitch, yaw, tilt, pan; None for pitch and yaw.
        labels: "asked": the published labels, with pitch = tilt and yaw = pan, as in publications; "head": the mean
            tilt of the head for each label, its standard deviation in the column `tilt_deviation`, and pitch and yaw of
            a head with this tilt and pan and a neck roll of 0. Faces with |tilt| labels over 60° are left out.
        skip_broken: leave out files that cannot be used instead of raising an error.

    Raises:
        DataError: there are no such folders or images, the name of an image is not one of the data set, an image has
            no `.txt` file or the reverse, a `.txt` file has no box, or `labels` is unknown.
    """
    survey = survey_pointing04(folder)
    if labels == "head":
        survey = survey._replace(frame=head_labels(survey.frame))
    elif labels != "asked":
        raise DataError(f"labels is {labels!r}: choose 'asked' or 'head'")
    return manifest_from_survey(survey, Path(folder), targets, skip_broken=skip_broken)


def head_tilt(asked: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the mean tilt of the head for labels of tilt, degrees, by linear interpolation.

    Example:
        >>> head_tilt([-30, 0, 15])
        array([-20. ,  -1.5,   9.5])
    """
    return np.interp(np.asarray(asked, np.float64), ASKED_TILT, HEAD_TILT)


def head_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a survey whose |tilt| label is at most 60°, with the angles of the head."""
    kept = frame[frame["tilt"].abs() <= max(ASKED_TILT)]
    tilt, pan = head_tilt(kept["tilt"]), kept["pan"].to_numpy(np.float64)
    pitch, yaw, _ = angles_from_rotation(rotation_from_pan_tilt(pan, tilt, 0.0)).T
    return kept.assign(tilt=tilt, tilt_deviation=HEAD_TILT_DEVIATION, pitch=pitch, yaw=yaw)


def survey_pointing04(folder: str | os.PathLike[str]) -> Survey:
    """Return the survey of a folder of Pointing'04.

    Raises:
        DataError: the folder is not Pointing'04.
    """
    root = Path(folder)
    persons = sorted(place for place in root.glob("Person[0-9][0-9]") if place.is_dir())
    pictures = [path for place in persons for path in sorted(place.glob("person*.jpg")) if not _repeated(path)]
    if not pictures:
        expected = "folders Person01 … Person15 of pictures such as person01146+0+0.jpg"
        raise DataError(f"{root}: not a Pointing'04 folder; expected {expected}")
    sidecars = (path for place in persons for path in sorted(place.glob("person*.txt")) if not _repeated(path))
    alone = [path for path in sidecars if not path.with_suffix(".jpg").exists()]
    lost = [(path, f"its picture {path.stem}.jpg is missing; {COPY_AGAIN}") for path in alone]
    rows, broken = read_rows(pictures, _row)
    return Survey(pd.DataFrame(rows), lost + broken)


def _repeated(path: Path) -> bool:
    """Return whether a file is one of the frontal images that the data set has twice, `personne…`."""
    return path.name.lower().startswith("personne")


def _row(picture: Path) -> ManifestRow:
    match = _NAME.fullmatch(picture.name)
    if match is None:
        cause = "not a name of Pointing'04, such as person01146+0+0.jpg; remove it from the folder"
        raise BrokenFileError(picture, cause)
    tilt, pan = float(match[3]), float(match[4])
    row: ManifestRow = {
        "path": str(picture.absolute()),
        "subject": match[1],
        "sequence": match[2],
        "source": "pointing04",
    }
    return row | _box(picture.with_suffix(".txt")) | {"pitch": tilt, "yaw": pan, "tilt": tilt, "pan": pan}


def _box(sidecar: Path) -> ManifestRow:
    """Read the box of a sidecar: lines of file name, blank, "Face", centre x, centre y, width, height."""
    check_regular(sidecar)
    try:
        lines = sidecar.read_text(encoding="utf-8").split()
        x, y, width, height = (float(number) for number in lines[lines.index("Face") + 1 :])
    except OSError as error:
        cause = f"the box of the face cannot be read ({error.strerror}); {COPY_AGAIN}"
        raise BrokenFileError(sidecar, cause) from error
    except ValueError as error:
        expected = "lines of the file name, a blank, Face, centre x, centre y, width, height"
        raise BrokenFileError(sidecar, f"it has no box ({error}); expected {expected}") from error
    if not (0 < width < math.inf and 0 < height < math.inf):
        cause = f"the box of {width:g} × {height:g} pixels is empty or infinite; {COPY_AGAIN}"
        raise BrokenFileError(sidecar, cause)
    return {"x0": x - width / 2, "y0": y - height / 2, "x1": x + width / 2, "y1": y + height / 2}
