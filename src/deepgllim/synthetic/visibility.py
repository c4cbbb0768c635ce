"""Ambient visibility of the mean head, of which the shaders darken hollows."""

from collections.abc import Callable

import numpy as np

from deepgllim.synthetic.gl import view_axes
from deepgllim.synthetic.heads import Floats
from deepgllim.synthetic.mesh import HeadMesh
from deepgllim.synthetic.scene import Array

DIRECTIONS = 40
SIZE = 160
"""Side of the depth maps, pixels."""

_HALF_SIDE = 0.32  # of a cube about the head, metres
_MIDDLE = (0.0, -0.06, -0.07)
_BIAS = 0.012  # of the depth buffer


def ambient_visibility(mesh: HeadMesh, depth_map: Callable[[Array], Floats]) -> Floats:
    """Return the cosine-weighted share of directions that each drawn vertex of the mean head sees, (U,), in [0, 1].

    Args:
        mesh: mesh of the head.
        depth_map: renders the skin of the mean head with a clip matrix, (4, 4), to depths, (SIZE, SIZE), in [0, 1].
    """
    v = mesh.model.mean.astype(np.float64)
    normals = mesh.normals(v).astype(np.float64)
    visible, total = np.zeros(len(v)), np.zeros(len(v))
    for direction in _sphere(DIRECTIONS):
        clip = np.eye(4)
        clip[:3, :3] = view_axes(-direction) / _HALF_SIDE
        clip[:3, 3] = -clip[:3, :3] @ _MIDDLE
        depth = depth_map(clip)
        place = (v @ clip[:3, :3].T + clip[:3, 3]) * 0.5 + 0.5
        x, y = (place[:, :2] * SIZE).astype(int).clip(0, SIZE - 1).T
        cosine = (normals @ direction).clip(0)
        visible += cosine * (depth[y, x] + _BIAS > place[:, 2])
        total += cosine
    return np.asarray((visible / total.clip(1e-6))[mesh.model.source], dtype=np.float32)


def _sphere(count: int) -> Array:
    """Return evenly distributed directions, (N, 3)."""
    k = np.arange(count) + 0.5
    height, azimuth = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - height * height)
    return np.stack([np.cos(azimuth) * radius, np.sin(azimuth) * radius, height], axis=1)
