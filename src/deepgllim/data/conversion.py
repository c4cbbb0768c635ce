"""Conversion of the labels of a manifest from another convention to ours."""

import numpy as np

from deepgllim.data.columns import read_labels
from deepgllim.data.manifest import Manifest
from deepgllim.errors import DataError
from deepgllim.geometry.conventions import convention, from_convention
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, pan_tilt_from_rotation, rotation_from_angles


def convert_labels(manifest: Manifest, name: str) -> Manifest:
    """Convert the labels of a convention to ours, with its zero.

    The columns pitch, yaw and roll hold the labels as they are published. All three are converted, since another zero
    changes all three; so are the columns tilt, pan and neck_roll if they exist. The targets remain the same.

    Args:
        manifest: faces with the columns pitch, yaw and roll, degrees, such as those of `read_300w_lp`.
        name: a key of `CONVENTIONS` whose angles are named pitch, yaw and roll, such as "300w-lp".

    Raises:
        ValueError: the convention is unknown.
        DataError: the angles of the convention have other names, or a label is missing.

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
        >>> labels = pd.DataFrame({"path": ["a.jpg"], "pitch": [-7.0], "yaw": [0.0], "roll": [0.0]})
        >>> convert_labels(make_manifest(labels), "300w-lp").target_values.round(6) + 0.0
        array([[0., 0., 0.]])
    """
    names, frame = convention(name).names, manifest.frame
    if names is None or set(names) != set(ANGLES):
        raise DataError(f"convention {name!r} has no pitch, yaw and roll; convert its angles with from_convention")
    missing = [angle for angle in names if angle not in frame]
    if missing:
        raise DataError(f"column {missing[0]!r} is missing; the conversion needs pitch, yaw and roll")
    published = np.column_stack([read_labels(frame[angle], "the manifest") for angle in names])  # (N, 3)
    ours = from_convention(published, name)
    neck = pan_tilt_from_rotation(rotation_from_angles(*ours.T))
    columns = dict(zip(ANGLES, ours.T, strict=True)) | {
        angle: values for angle, values in zip(NECK_ANGLES, neck.T, strict=True) if angle in frame
    }
    return Manifest(frame.assign(**columns), manifest.targets)
