"""Geometry of a scene: vertices in the camera's frame, the neck bent between head and torso, a picture's labels."""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgllim.imaging.images import Box
from deepgllim.synthetic.heads import Floats, HeadModel
from deepgllim.synthetic.scene import HEAD_TO_CAMERA, Array, Scene

FOREHEAD = 0.05
"""The face's box reaches up to this height of the mean head above the eyes, metres: the middle of the forehead."""


@dataclass(frozen=True)
class Labels:
    """What is true of a rendered picture.

    Attributes:
        box: of the face, from mid-forehead to chin without ears and hair, (x0, y0, x1, y1), pixels; it may reach
            beyond the picture.
        landmarks: (L, 2), pixels, the points `HeadModel.landmark_numbers` of iBUG's 68, hidden ones too.
    """

    box: Box
    landmarks: Array


def head_vertices(model: HeadModel, scene: Scene) -> Floats:
    """Vertices in the head's frame, (V, 3), with the neck bent and the torso turned against the head.

    A vertex that follows the head by a share s of its turn is turned by (1 − s) of the rotation from head to torso,
    first about the pivot of the head, then about that of the neck; s = 1 on the head itself, which stays exact.
    """
    key = (model, scene.person, scene.expression, scene.gaze, scene.rotation, scene.torso)
    if _last.key is None or any(old is not new for old, new in zip(_last.key, key, strict=True)):
        _last.key, _last.vertices = key, _bent(model, scene)
    return _last.vertices


class _Last(threading.local):
    """The vertices asked for last: framing, labels and drawing of a scene ask one after the other."""

    key: tuple[object, ...] | None = None
    vertices: Floats


_last = _Last()


def _bent(model: HeadModel, scene: Scene) -> Floats:
    v = model.vertices(scene.person.identity, scene.expression, scene.gaze)
    v.flags.writeable = False
    turn = HEAD_TO_CAMERA @ scene.rotation.T @ scene.torso @ HEAD_TO_CAMERA  # torso's axes in the head's frame
    axis, angle = _axis_angle(turn)
    if angle < 1e-6:
        return v
    v = v.copy()
    moved = np.flatnonzero(model.follow < 1)
    share = 1 - model.follow[moved].astype(np.float64)
    pivots = model.pivots(scene.person.identity)
    neck, head = (pivots[name].astype(np.float64) for name in ("neck", "head"))
    half = _turned(v[moved] - head, axis, 0.5 * angle * share) + head
    base = _turned(neck - head, axis, np.array([0.5 * angle]))[0] + head  # where the head's joint takes the neck's
    v[moved] = _turned(half - base, axis, 0.5 * angle * share) + base
    v.flags.writeable = False
    return v


def to_camera(vertices: npt.ArrayLike, scene: Scene) -> Array:
    """Points of the head's frame, (..., 3), in the camera's: R · diag(1, −1, −1) · v + t."""
    turn = scene.rotation @ HEAD_TO_CAMERA
    return np.asarray(np.asarray(vertices, dtype=np.float64) @ turn.T + np.array(scene.camera.translation))


def face_points(model: HeadModel) -> npt.NDArray[np.int64]:
    """The vertices whose projections span the face's box: none of the neck, which the torso turns too."""
    return np.flatnonzero((model.masks["face"] > 0.5) & (model.mean[:, 1] < FOREHEAD) & (model.follow == 1))


def label(model: HeadModel, scene: Scene, vertices: Floats | None = None) -> Labels:
    """The labels of a scene.

    Args:
        model: the head model.
        scene: the picture to be.
        vertices: of the head, where `head_vertices` has made them already.
    """
    v = head_vertices(model, scene) if vertices is None else vertices
    face = scene.camera.project(to_camera(v[face_points(model)], scene))
    (x0, y0), (x1, y1) = face.min(axis=0), face.max(axis=0)
    landmarks = scene.camera.project(to_camera(model.landmarks(v), scene))
    return Labels((float(x0), float(y0), float(x1), float(y1)), landmarks)


def _axis_angle(rotation: Array) -> tuple[Array, float]:
    """The unit axis and the angle, radians, of a rotation by less than a half turn."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = float(np.linalg.norm(skew))
    angle = float(np.arctan2(sine, np.trace(rotation) - 1))
    return skew / max(sine, 1e-12), angle


def _turned(points: npt.ArrayLike, axis: Array, angles: Array) -> Array:
    """Each point, (N, 3), turned about an axis through the origin by its own angle, (N,) (Rodrigues)."""
    p = np.atleast_2d(np.asarray(points, dtype=np.float64))
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.asarray(p * c + np.cross(axis, p) * s + np.outer(p @ axis, axis) * (1 - c))
