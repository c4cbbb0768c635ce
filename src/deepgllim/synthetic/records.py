"""Records: the complete truth of one picture as plain values, for JSON; and its row of a manifest."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.names import present_names
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, angles_from_rotation, pan_tilt_from_rotation
from deepgllim.synthetic.heads import load_head_model
from deepgllim.synthetic.posing import Labels
from deepgllim.synthetic.scene import Array, Camera, Scene
from deepgllim.synthetic.sets import SceneSampler

Record = dict[str, Any]

FINE, METRES, MATRIX = 4, 6, 8
"""Decimals that are written: of degrees and pixels; of metres, colours and shares; of rotation matrices."""

BOX = ("x0", "y0", "x1", "y1")
COLUMNS = ("path", "subject", "sequence", *BOX, *ANGLES, *NECK_ANGLES, "source")
"""Columns of a manifest of rendered pictures."""


def record(sampler: SceneSampler, index: int, scene: Scene, labels: Labels) -> Record:
    """All that is known of picture `index`: what was asked for, what was drawn at random, and its labels.

    Args:
        sampler: of the set.
        index: of the picture.
        scene: as it was rendered; the sampler's, or that with another camera.
        labels: of that scene.

    Returns:
        Values that `json.dumps` writes: index, set, seed, subject ("p0007"), rotation (9 numbers, row by row), pitch,
        yaw, roll, tilt, pan, neck_roll (degrees), torso (9 numbers), box (x0, y0, x1, y1), landmarks ([x, y] each,
        pixels) with `landmark_numbers` of iBUG's 68 counted from 0, camera, person, expression, gaze, lights, ambient,
        wear, background, capture. Rounded, so that they are the same everywhere: degrees and pixels to 4 decimals,
        metres, colours and shares to 6, matrices to 8.

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
        "rotation": rounded(scene.rotation.ravel(), MATRIX),
        **dict(zip(ANGLES, rounded(head_angles(scene.rotation), FINE), strict=True)),
        **dict(zip(NECK_ANGLES, rounded(pan_tilt_from_rotation(scene.rotation), FINE), strict=True)),
        "torso": rounded(scene.torso.ravel(), MATRIX),
        "box": rounded(labels.box, FINE),
        "landmarks": rounded(labels.landmarks, FINE),
        "landmark_numbers": list(load_head_model().landmark_numbers),
        "camera": _camera(scene.camera),
        "person": {
            "seed": person.seed,
            "attributes": rounded(person.identity.attributes, METRES),
            "appearance": rounded(asdict(person.appearance), METRES),
        },
        "expression": rounded(scene.expression, METRES),
        "gaze": rounded(scene.gaze, FINE),
        "lights": [rounded(asdict(light), METRES) for light in scene.lights],
        "ambient": rounded(scene.ambient, METRES),
        "wear": rounded(asdict(scene.wear), METRES),
        "background": asdict(scene.background),
        "capture": rounded(asdict(scene.capture), METRES),
    }


def manifest_row(known: Mapping[str, Any]) -> list[object]:
    """The values of `COLUMNS` of a record with its picture's path."""
    named = dict(zip(present_names(known), known.values(), strict=True))
    angles = [named[name] for name in (*ANGLES, *NECK_ANGLES)]
    return [known["path"], known["subject"], known["set"], *known["box"], *angles, f"rendered:{known['set']}"]


def head_angles(rotation: npt.ArrayLike) -> Array:
    """Pitch, yaw and roll, with a yaw beyond 90 degrees where the face is turned away from the camera.

    Every rotation has two triples: (p, y, r) with |y| ≤ 90, and (p ± 180, ±180 − y, r ± 180). The second is taken where
    |pan| > 90 and its |pitch| + |roll| is smaller, so that a head that has turned by 95° has yaw 95.

    Args:
        rotation: (3, 3).

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


def rounded(values: Any, decimals: int) -> Any:
    """Numbers, arrays, mappings and sequences of them as plain values with so many decimals, without negative zeros.

    Example:
        >>> rounded({"a": (0.123456, -0.00001), "b": "text", "c": 3}, 4)
        {'a': [0.1235, 0.0], 'b': 'text', 'c': 3}
    """
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, float):
        return round(float(values), decimals) + 0.0
    if isinstance(values, Mapping):
        return {name: rounded(value, decimals) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [rounded(value, decimals) for value in values]
    return values


def _camera(camera: Camera) -> Record:
    pixels = {"focal": rounded(camera.focal, FINE), "centre": rounded(camera.centre, FINE)}
    return {
        "width": camera.width,
        "height": camera.height,
        **pixels,
        "translation": rounded(camera.translation, METRES),
    }


def _half_turn(angle: float) -> float:
    """The angle and 180 degrees, in [−180, 180]."""
    return angle - 180 if angle > 0 else angle + 180
