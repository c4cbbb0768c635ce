"""Errors of a model of rendered heads on Pointing'04, for two interpretations of its labels.

A label is the azimuth (pan) and elevation (tilt) of the marker that a person was asked to look at. As directions,
R = Ry(pan) · Rx(−tilt), labels are compared with the azimuth and elevation of the predicted nose. As angles of the
convention of the package, pitch = tilt and yaw = pan, they are compared with the predicted angles. The interpretations
agree on the axes and differ elsewhere (pan 75, tilt 30 is yaw 57, pitch 66). Nothing is fitted or aligned.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.geometry import NECK_ANGLES, angles_from_rotation, rotation_from_pan_tilt
from deepgllim.nn import AugmentationConfig, DataConfig, DeepRegression, predict_inputs
from deepgllim.runs import face_inputs, picture_size

Array = NDArray[np.float64]

INNER = (30.0, 60.0)
"""Largest |tilt| and |pan| of the inner poses, degrees."""


def judge(model: DeepRegression, photographs: Manifest, margin: float = 1.4) -> dict[str, Any]:
    """Return mean absolute errors in degrees over all poses and over the inner poses, for both interpretations.

    Args:
        model: a model with the targets tilt, pan and neck_roll.
        photographs: the faces of Pointing'04.
        margin: margin of the crop around the annotated box.
    """
    size, _ = picture_size(model)
    faces = Manifest(photographs.frame.assign(neck_roll=0.0), model.spec.targets)
    inputs = face_inputs(faces, DataConfig(image_size=size, margin=margin), AugmentationConfig.off())
    tilt, pan, neck_roll = (
        predict_inputs(model, inputs).mean[:, [model.spec.targets.index(name) for name in NECK_ANGLES]].T
    )
    pitch, yaw = angles_from_rotation(rotation_from_pan_tilt(pan, tilt, neck_roll))[:, :2].T
    labels = photographs.frame[["tilt", "pan"]].to_numpy(dtype=np.float64)
    inner = (np.abs(labels) <= INNER).all(axis=1)
    read = {"direction": np.stack([tilt, pan], axis=1), "angles": np.stack([pitch, yaw], axis=1)}
    return {
        f"{part}_{reading}_{name}": value
        for reading, predicted in read.items()
        for part, rows in (("all", np.full(len(labels), True)), ("inner", inner))
        for name, value in errors(labels[rows], predicted[rows]).items()
    }


def errors(labels: Array, predicted: Array) -> dict[str, float]:
    """Return the mean absolute errors of tilt (or pitch) and pan (or yaw), and their mean, degrees.

    Example:
        >>> errors(np.zeros((2, 2)), np.array([[1.0, 4.0], [-3.0, 4.0]]))
        {'tilt': 2.0, 'pan': 4.0, 'mean': 3.0}
    """
    tilt, pan = (float(error) for error in np.abs(labels - predicted).mean(axis=0))
    return {"tilt": tilt, "pan": pan, "mean": (tilt + pan) / 2}
