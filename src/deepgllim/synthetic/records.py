"""Records: all values and labels of a rendered image as JSON values, and its row of the manifest."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.names import present_names
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, angles_from_rotation, pan_tilt_from_rotation
from deepgllim.synthetic.head_file import load_head_model
from deepgllim.synthetic.posing import Labels
from deepgllim.synthetic.sampler import SceneSampler
from deepgllim.synthetic.scene import Array, Camera, Scene

Record = dict[str, Any]

FINE, METRES, MATRIX = 4, 6, 8
"""Decimals of degrees and pixels; of metres, colours and shares; of rotation matrices."""

BOX = ("x0", "y0", "x1", "y1")
COLUMNS = ("path", "subject", "sequence", *BOX, *ANGLES, *NECK_ANGLES, "source")
"""Columns of the manifest of a rendered set."""


def record(sampler: SceneSampler, index: int, scene: Scene, labels: Labels) -> Record:
    """Return the record of image `index`: its configuration, its random values and its labels.

    Args:
        sampler: sampler of the set.
        index: index of the image.
        scene: rendered scene: that of the sampler, or the same with another camera.
        labels: labels of the scene.

    Returns:
        JSON values: index, set, seed, subject ("p0007"), rotation (9 numbers, row by row), pitch, yaw, roll, tilt, pan,
        neck_roll (degrees), torso (9 numbers), box (x0, y0, x1, y1), landmarks ([x, y] each, pixels) with
        `landmark_numbers` of iBUG's 68 counted from 0, camera, person, expression, gaze, lights, ambient, wear,
        background, capture. They are rounded, so that they are the same on every machine: degrees and pixels to 4
        decimals, metres, colours and shares to 6, matrices to 8.

    Example:
        >>> from deepgllim.synthetic.posing import label
        >>> sampler = SceneSampler("wide", identities=5, size=96)
        >>> known = record(sampler, 7, sampler(7), label(load_head_model(), sampler(7)))
        >>> known["subject"], known["set"], len(known["landmarks"]), known["camera"]["width"]
        ('p0002', 'wide', 52, 96)
    """
    person = scene.person
    return {
        "index": index,
        "set": sampler.name,
        "seed": sampler.seed,
        "subject": f"p{index % sampler.identities:04d}",
        "rotation": round_values(scene.rotation.ravel(), MATRIX),
        **dict(zip(ANGLES, round_values(head_angles(scene.rotation), FINE), strict=True)),
        **dict(zip(NECK_ANGLES, round_values(pan_tilt_from_rotation(scene.rotation), FINE), strict=True)),
        "torso": round_values(scene.torso.ravel(), MATRIX),
        "box": round_values(labels.box, FINE),
        "landmarks": round_values(labels.landmarks, FINE),
        "landmark_numbers": list(load_head_model().landmark_numbers),
        "camera": _camera(scene.camera),
        "person": {
            "seed": person.seed,
            "attributes": round_values(person.identity.attributes, METRES),
            "appearance": round_values(asdict(person.appearance), METRES),
        },
        "expression": round_values(scene.expression, METRES),
        "gaze": round_values(scene.gaze, FINE),
        "lights": [round_values(asdict(light), METRES) for light in scene.lights],
        "ambient": round_values(scene.ambient, METRES),
        "wear": round_values(asdict(scene.wear), METRES),
        "background": asdict(scene.background),
        "capture": round_values(asdict(scene.capture), METRES),
    }


def manifest_row(known: Mapping[str, Any]) -> list[object]:
    """Return the values of `COLUMNS` of a record with the path of its image."""
    named = dict(zip(present_names(known), known.values(), strict=True))
    angles = [named[name] for name in (*ANGLES, *NECK_ANGLES)]
    return [known["path"], known["subject"], known["set"], *known["box"], *angles, f"rendered:{known['set']}"]


def head_angles(rotation: npt.ArrayLike) -> Array:
    """Return pitch, yaw and roll, with |yaw| > 90 for a face that points away from the camera.

    Each rotation has two representations: (p, y, r) with |y| ≤ 90, and (p ± 180, ±180 − y, r ± 180). The second is
    chosen if |pan| > 90 and its |pitch| + |roll| is smaller.

    Args:
        rotation: rotation matrix, (3, 3).

    Returns:
        (3,), degrees, pitch and roll in [−180, 180].

    Example:
        >>> from deepgllim.geometry.rotations import rotation_from_angles
        >>> head_angles(rotation_from_angles(10, -95, 5)).round(6)
        array([ 10., -95.,   5.])
    """
    angles = angles_from_rotation(rotation)
    if abs(pan_tilt_from_rotation(rotation)[1]) <= 90:
        return angles
    pitch, yaw, roll = angles
    other = np.array([_half_turn(pitch), np.copysign(180.0, yaw) - yaw, _half_turn(roll)])
    return other if np.abs(other[::2]).sum() < np.abs(angles[::2]).sum() else angles


def round_values(values: Any, decimals: int) -> Any:
    """Round numbers, arrays, mappings and sequences to plain values, without negative zeros.

    Example:
        >>> round_values({"a": (0.123456, -0.00001), "b": "text", "c": 3}, 4)
        {'a': [0.1235, 0.0], 'b': 'text', 'c': 3}
    """
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, float):
        return round(float(values), decimals) + 0.0
    if isinstance(values, Mapping):
        return {name: round_values(value, decimals) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [round_values(value, decimals) for value in values]
    return values


def _camera(camera: Camera) -> Record:
    pixels = {"focal": round_values(camera.focal, FINE), "centre": round_values(camera.centre, FINE)}
    return {
        "width": camera.width,
        "height": camera.height,
        **pixels,
        "translation": round_values(camera.translation, METRES),
    }


def _half_turn(angle: float) -> float:
    """Return the angle ± 180 degrees, in [−180, 180]."""
    return angle - 180 if angle > 0 else angle + 180
