"""Predictions of an exported model for the faces of a data set, with their labels."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from deepgllim.data import Manifest
from deepgllim.errors import DataError, ImageError
from deepgllim.geometry.rotations import (
    ANGLES,
    NECK_ANGLES,
    angles_from_rotation,
    pan_tilt_from_rotation,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from deepgllim.imaging.images import Box, crop_face, open_image
from deepgllim.pose.network import NetworkOutputs, PoseNetwork

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

BATCH = 64


class LabelledPredictions(NamedTuple):
    """Predictions and true values of the L targets of a model for N faces.

    Attributes:
        names: names of the targets.
        truth: true values, degrees, (N, L); NaN without a label.
        mean: predicted means, (N, L).
        covariance: predicted covariances, (N, L, L).
        log_density: log p(x), (N,); NaN if the model does not provide it.
        subjects: name of the person, (N,).
    """

    names: tuple[str, ...]
    truth: Array
    mean: Array
    covariance: Array
    log_density: Array
    subjects: npt.NDArray[np.str_]

    @property
    def residuals(self) -> Array:
        """Differences truth − mean in [−180, 180), degrees, (N, L)."""
        return (self.truth - self.mean + 180.0) % 360.0 - 180.0

    def subset(self, rows: npt.ArrayLike) -> "LabelledPredictions":
        """Return some of the faces, by index or mask."""
        chosen = np.asarray(rows)
        return LabelledPredictions(self.names, *(np.asarray(column)[chosen] for column in self[1:]))


def predict_faces(network: PoseNetwork, faces: Manifest) -> LabelledPredictions:
    """Predict all faces of a data set.

    Raises:
        DataError: if the data has none of the angles of the model, or no subjects.
        ImageError: if a picture cannot be read.
    """
    crops = (
        crop_face(picture, box, network.spec.margin, network.spec.image_size) for picture, box in open_faces(faces)
    )
    outputs = predict_crops(network, crops)
    unknown = np.full(len(faces), np.nan)
    density = unknown if outputs.log_density is None else outputs.log_density
    truth = target_labels(faces, network.spec.targets)
    if any(subject is None for subject in faces.subjects):
        raise DataError("the data has no column 'subject': add the name of the person, since whole people are held out")
    return LabelledPredictions(
        network.spec.targets, truth, outputs.mean, outputs.covariance, density, faces.subjects.astype(np.str_)
    )


def open_faces(faces: Manifest) -> Iterator[tuple[Image.Image, Box | None]]:
    """Yield each picture with the box of its face, or None for the whole picture.

    Raises:
        ImageError: if a picture cannot be read; the message has its path.
    """
    for path, box in zip(faces.paths, faces.boxes, strict=True):
        whole = not np.isfinite(box).all()
        try:
            x0, y0, x1, y1 = (float(edge) for edge in box)
            yield open_image(path), None if whole else (x0, y0, x1, y1)
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from None


def predict_crops(network: PoseNetwork, crops: Iterable[Pixels]) -> NetworkOutputs:
    """Return the outputs of a network for crops, in batches."""
    found: list[NetworkOutputs] = []
    batch: list[Pixels] = []
    for crop in crops:
        batch.append(crop)
        if len(batch) == BATCH:
            found.append(network(np.stack(batch)))
            batch = []
    if batch:
        found.append(network(np.stack(batch)))
    densities = [part.log_density for part in found if part.log_density is not None]
    return NetworkOutputs(
        np.concatenate([part.weights for part in found]),
        np.concatenate([part.means for part in found]),
        np.concatenate([part.covariances for part in found]),
        np.concatenate([part.mean for part in found]),
        np.concatenate([part.covariance for part in found]),
        np.concatenate(densities) if densities else None,
    )


def target_labels(faces: Manifest, targets: tuple[str, ...]) -> Array:
    """Return the labels of faces for the targets of a model, (N, L), degrees; NaN without a label.

    Columns with the names of the targets are used unchanged. If there are none, the three angles of the other kind
    (pitch, yaw, roll or tilt, pan, neck_roll) are converted.

    Raises:
        DataError: if the data has neither, or a label is not a number.
    """
    frame = faces.frame
    here = [name for name in targets if name in frame.columns]
    other = NECK_ANGLES if set(targets) <= set(ANGLES) else ANGLES
    if not here and set(other) <= set(frame.columns):
        values = _converted(_numbers(frame, other), other)
        names = ANGLES if other == NECK_ANGLES else NECK_ANGLES
        return np.stack([values[:, names.index(name)] for name in targets], axis=1)
    if not here:
        raise DataError(
            f"the model predicts {', '.join(targets)}: the data has none of these columns, and not all of "
            f"{', '.join(other)}; its columns are {', '.join(map(str, frame.columns))}: {_way_out(targets, other)}"
        )
    known = dict(zip(here, _numbers(frame, here).T, strict=True))
    return np.stack([known.get(name, np.full(len(frame), np.nan)) for name in targets], axis=1)


def _way_out(targets: tuple[str, ...], other: tuple[str, ...]) -> str:
    """Return the remedy for labels that are incomplete."""
    if "pan" in targets:
        return "add the missing angles, or, if only the azimuth of the nose was measured, name its column pan"
    return f"add one of {', '.join(targets)}, or all of {', '.join(other)}"


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> Array:
    """Return columns as numbers, (N, number of names); NaN for a blank."""
    values = np.full((len(frame), len(names)), np.nan)
    for i, name in enumerate(names):
        for row, value in enumerate(frame[name].astype(object)):
            try:
                values[row, i] = np.nan if value is None or value == "" else float(value)
            except (TypeError, ValueError):
                raise DataError(f"row {row + 1}, column {name!r}: {value!r} is not a number; correct it") from None
    return values


def _converted(values: Array, names: tuple[str, ...]) -> Array:
    if names == ANGLES:
        return pan_tilt_from_rotation(rotation_from_angles(*values.T))
    tilt, pan, neck_roll = values.T
    return angles_from_rotation(rotation_from_pan_tilt(pan, tilt, neck_roll))
