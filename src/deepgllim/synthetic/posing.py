"""Geometry of a scene: posed vertices, the camera frame, the framing of the face and the labels."""

import threading
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deepgllim.imaging.images import Box
from deepgllim.synthetic.heads import Floats, HeadModel
from deepgllim.synthetic.scene import HEAD_TO_CAMERA, Array, Camera, Scene

FOREHEAD = 0.05
"""Upper edge of the face on the mean head, metres above the eyes: the middle of the forehead."""


@dataclass(frozen=True)
class Labels:
    """Labels of a rendered image.

    Attributes:
        box: box of the face from mid-forehead to chin without ears and hair, (x0, y0, x1, y1), pixels; it may exceed
            the image.
        landmarks: (L, 2), pixels, the points `HeadModel.landmark_numbers` of iBUG's 68, including hidden ones.
    """

    box: Box
    landmarks: Array


def head_vertices(model: HeadModel, scene: Scene) -> Floats:
    """Return the vertices in the head frame, (V, 3), metres, with the torso rotated relative to the head.

    A vertex of head weight s is rotated by (1 − s) of the rotation from head to torso, half about the pivot of the
    head and half about that of the neck. The head itself (s = 1) is not moved.
    """
    key = (model, scene.person, scene.expression, scene.gaze, scene.rotation, scene.torso)
    if _last.key is None or any(old is not new for old, new in zip(_last.key, key, strict=True)):
        _last.key, _last.vertices = key, _bend_neck(model, scene)
    return _last.vertices


class _Last(threading.local):
    """Cache of the last result: framing, labels and rendering of a scene request the same vertices."""

    key: tuple[object, ...] | None = None
    vertices: Floats


_last = _Last()


def _bend_neck(model: HeadModel, scene: Scene) -> Floats:
    v = model.vertices(scene.person.identity, scene.expression, scene.gaze)
    v.flags.writeable = False
    rotation = HEAD_TO_CAMERA @ scene.rotation.T @ scene.torso @ HEAD_TO_CAMERA  # axes of the torso in the head frame
    axis, angle = _axis_angle(rotation)
    if angle < 1e-6:
        return v
    v = v.copy()
    moved = np.flatnonzero(model.head_weights < 1)
    share = 1 - model.head_weights[moved].astype(np.float64)
    pivots = model.pivots(scene.person.identity)
    neck, head = (pivots[name].astype(np.float64) for name in ("neck", "head"))
    half = _rotate(v[moved] - head, axis, 0.5 * angle * share) + head
    base = _rotate(neck - head, axis, np.array([0.5 * angle]))[0] + head  # the rotated pivot of the neck
    v[moved] = _rotate(half - base, axis, 0.5 * angle * share) + base
    v.flags.writeable = False
    return v


def to_camera(vertices: npt.ArrayLike, scene: Scene) -> Array:
    """Return points of the head frame, (..., 3), in the camera frame: R · diag(1, −1, −1) · v + t, metres."""
    rotation = scene.rotation @ HEAD_TO_CAMERA
    return np.asarray(np.asarray(vertices, dtype=np.float64) @ rotation.T + np.array(scene.camera.translation))


def face_points(model: HeadModel) -> npt.NDArray[np.int64]:
    """Return the indices of the vertices whose projections span the box of the face, none of them of the neck."""
    return np.flatnonzero((model.masks["face"] > 0.5) & (model.mean[:, 1] < FOREHEAD) & (model.head_weights == 1))


def label(model: HeadModel, scene: Scene, vertices: Floats | None = None) -> Labels:
    """Return the labels of a scene.

    Args:
        model: head model.
        scene: scene.
        vertices: vertices in the head frame, (V, 3); by default those of `head_vertices`.
    """
    v = head_vertices(model, scene) if vertices is None else vertices
    face = scene.camera.project(to_camera(v[face_points(model)], scene))
    (x0, y0), (x1, y1) = face.min(axis=0), face.max(axis=0)
    landmarks = scene.camera.project(to_camera(model.landmarks(v), scene))
    return Labels((float(x0), float(y0), float(x1), float(y1)), landmarks)


def fit_camera(scene: Scene, model: HeadModel, margin: float, offset: tuple[float, float] = (0.0, 0.0)) -> Scene:
    """Return the scene with the focal length and principal point that frame the face.

    Args:
        scene: scene whose camera has the size of the image and the position of the head.
        model: head model.
        margin: shorter side of the image over the longer side of the box of the face.
        offset: offset of the centre of the box from that of the image, right and down, as shares of the shorter side.
    """
    camera, side = scene.camera, min(scene.camera.width, scene.camera.height)
    ray = Camera(0, 0, 1.0, (0.0, 0.0), camera.translation)
    points = ray.project(to_camera(head_vertices(model, scene)[face_points(model)], scene))
    low, high = points.min(axis=0), points.max(axis=0)
    focal = side / (margin * float((high - low).max()))
    middle = np.array([camera.width, camera.height]) / 2 + side * np.array(offset)
    x, y = (float(c) for c in middle - focal * (low + high) / 2)
    return replace(scene, camera=replace(camera, focal=focal, centre=(x, y)))


def _axis_angle(rotation: Array) -> tuple[Array, float]:
    """Return the unit axis and the angle, radians, of a rotation by less than 180 degrees."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = float(np.linalg.norm(skew))
    angle = float(np.arctan2(sine, np.trace(rotation) - 1))
    return skew / max(sine, 1e-12), angle


def _rotate(points: npt.ArrayLike, axis: Array, angles: Array) -> Array:
    """Rotate each point, (N, 3), about an axis through the origin by its own angle, (N,), radians (Rodrigues)."""
    p = np.atleast_2d(np.asarray(points, dtype=np.float64))
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.asarray(p * c + np.cross(axis, p) * s + np.outer(p @ axis, axis) * (1 - c))
