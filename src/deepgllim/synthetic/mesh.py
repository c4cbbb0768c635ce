"""The drawn mesh of the head: materials of the triangles, normals, and curves for the shaders."""

import functools
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from deepgllim.synthetic.head_file import load_head_model
from deepgllim.synthetic.heads import Floats, HeadModel, Indices


class Material(IntEnum):
    """Material of a triangle; the shaders use the names."""

    SKIN = 0
    MOUTH = 1
    TEETH = 2
    EYE = 3
    LASHES = 4
    HAIR = 5
    BEARD = 6
    HAT = 7
    CURTAIN = 8
    SCARF = 9
    PROP = 10
    LENS = 11


BEARD_TOP = (
    (0, 8, 14, 20, 34, 50, 62, 74, 180),
    (-0.054, -0.055, -0.060, -0.077, -0.073, -0.053, -0.030, -0.014, -0.6),
)
"""Upper edge of a beard on the mean head: azimuths, degrees, and heights y, metres."""


class HeadMesh:
    """The drawn mesh of a head model, with U vertices.

    Attributes:
        model: head model.
        rest: positions on the mean head, (U, 3), metres; those of an eyeball are relative to its centre.
        uv: (U, 2).
        lips: mask of the lips, (U,), in [0, 1].
        triangles: material → (T, 3), indices of the U vertices.
        curves: tables for the shaders, (2, 256, 2), metres: hairline and upper edge of the beard by azimuth / 180,
            mid-line and half height of the brow by |x| / 0.06.
    """

    def __init__(self, model: HeadModel) -> None:
        self.model = model
        rest = model.mean.copy()
        for centre, ball in zip(model.eyes[0], model.eye_vertices, strict=True):
            rest[ball] -= centre
        self.rest: Floats = rest[model.source]
        self.uv = model.uv
        self.lips: Floats = model.masks["lips"][model.source]
        self.curves = _curves(model)
        self.triangles = self._materials()
        corner = model.triangles.reshape(-1)
        order = np.argsort(corner, kind="stable")
        self._corners = np.ascontiguousarray(model.triangles.T)
        self._faces = order // 3  # the triangles at each vertex, vertex by vertex
        self._first = np.searchsorted(corner[order], np.arange(len(model.mean)))

    def normals(self, vertices: npt.ArrayLike) -> Floats:
        """Return unit normals for vertices of the model, (V, 3), weighted by the areas of the triangles."""
        v = np.asarray(vertices, dtype=np.float32).T  # contiguous rows are faster
        (ax, ay, az), (bx, by, bz) = (v[:, self._corners[k]] - v[:, self._corners[0]] for k in (1, 2))
        faces = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])  # (3, T), twice the areas
        n = np.add.reduceat(faces[:, self._faces], self._first, axis=1)
        return np.ascontiguousarray((n / np.sqrt((n * n).sum(axis=0) + 1e-24)).T)

    def _materials(self) -> dict[Material, Indices]:
        model, corners = self.model, self.model.corners
        place = model.mean[model.triangles]  # (T, 3, 3)
        azimuth = np.degrees(np.arctan2(np.abs(place[..., 0]), place[..., 2] - model.metadata["curves"]["axis_z"]))
        scalp = np.zeros(len(corners), dtype=bool)
        scalp[model.part("skin", "scalp", "brow")] = True
        above = (model.hairline(place) > -0.032).any(axis=1)
        chin = ((place[..., 1] < np.interp(azimuth, *BEARD_TOP) + 0.008) & (place[..., 1] > -0.16)).any(axis=1)
        skull = place[..., 1] > 0.03 + 0.32 * (place[..., 2] - 0.03)
        groups = {
            Material.SKIN: model.part("skin", "scalp", "brow", "lips", "ear", "cloth"),
            Material.MOUTH: model.part("mouth", "tongue"),
            Material.TEETH: model.part("teeth"),
            Material.EYE: model.part("eye_left", "eye_right"),
            Material.LASHES: model.part("lashes_upper"),
            Material.CURTAIN: model.part("hair_curtain"),
            Material.SCARF: model.part("hair_hull"),
            Material.HAIR: np.flatnonzero(scalp & above),
            Material.BEARD: np.flatnonzero(scalp & chin & (azimuth < 86).any(axis=1)),
            Material.HAT: np.flatnonzero(scalp & skull.any(axis=1)),
        }
        return {material: corners[rows] for material, rows in groups.items()}


@functools.lru_cache(maxsize=1)
def head_mesh() -> HeadMesh:
    """Return the mesh of the head model of the package; it is computed once."""
    return HeadMesh(load_head_model())


def _curves(model: HeadModel) -> Floats:
    at = (np.arange(256) + 0.5) / 256
    curves = model.metadata["curves"]
    brow_at, arch, half = curves["brow"]
    by_azimuth = np.stack([np.interp(180 * at, *curves["hairline"]), np.interp(180 * at, *BEARD_TOP)], axis=1)
    by_width = np.stack([np.interp(0.06 * at, brow_at, arch), np.interp(0.06 * at, brow_at, half)], axis=1)
    return np.stack([by_azimuth, by_width]).astype(np.float32)
