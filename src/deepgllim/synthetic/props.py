"""Meshes of glasses and of the brim of a cap, in the head frame, metres."""

from typing import NamedTuple

import numpy as np

from deepgllim.synthetic.heads import Floats, HeadModel, Indices
from deepgllim.synthetic.layers import hat_thickness
from deepgllim.synthetic.mesh import Material
from deepgllim.synthetic.scene import Array, Scene, Wear
from deepgllim.synthetic.uniforms import Uniforms, srgb_to_linear


class Mesh(NamedTuple):
    """Vertices (V, 3), unit normals (V, 3), triangles (T, 3)."""

    vertices: Floats
    normals: Floats
    triangles: Indices


class Prop(NamedTuple):
    """A mesh with its material and the values of its uniforms."""

    material: Material
    mesh: Mesh
    uniforms: Uniforms


_FRAME = 0.0014  # radius of a rim, metres


def worn_props(model: HeadModel, scene: Scene, vertices: Floats, normals: Floats) -> list[Prop]:
    """Return the props that the person wears, from vertices and normals of the head, (V, 3), in the head frame."""
    wear, props = scene.wear, []
    if wear.hat == "cap":
        brim = cap_brim(model, vertices, normals, hat_thickness(scene))
        props.append(Prop(Material.PROP, brim, {"prop_colour": srgb_to_linear(wear.hat_colour)}))
    if wear.glasses != "none":
        frames, lenses = glasses(model, vertices, model.eye_centres(scene.person.identity), wear)
        opacity = 0.88 if wear.glasses == "sun" else 0.05
        props.append(Prop(Material.PROP, frames, {"prop_colour": srgb_to_linear(wear.glasses_colour)}))
        props.append(Prop(Material.LENS, lenses, {"prop_colour": (0.03, 0.03, 0.035), "opacity": opacity}))
    return props


def glasses(model: HeadModel, vertices: Floats, centres: Floats, wear: Wear) -> tuple[Mesh, Mesh]:
    """Return frames and lenses for the vertices of a head, (V, 3), and the centres of its eyes, (2, 3), left first."""
    bridge = model.landmarks(vertices)[model.landmark_numbers.index(27)]
    square = 4.5 if wear.glasses in ("square", "sun") else 2.0
    width, height = 0.0235 * wear.glasses_size, (0.017 if square > 2 else 0.021) * wear.glasses_size
    front = float(max(bridge[2], centres[:, 2].max() + 0.017)) + 0.006
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    rims, frames, lenses = [], [], []
    for centre in centres.astype(np.float64):
        x = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** (2 / square) * width + 1.06 * centre[0]
        y = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** (2 / square) * height + centre[1] - 0.003
        rim = np.stack([x, y, front - 3.0 * x**2], axis=1)
        rims.append(rim)
        frames.append(_tube(rim, _FRAME if wear.glasses != "sun" else 1.6 * _FRAME, closed=True))
        lenses.append(_disc(rim))
    left, right = rims
    inner_left, inner_right = left[left[:, 0].argmax()], right[right[:, 0].argmin()]
    middle = np.add((inner_left + inner_right) / 2, (0, 0.004, 0.002))
    frames.append(_tube(np.stack([inner_left, middle, inner_right]), _FRAME, closed=False))
    for rim, side, ear in ((left, _outermost(left, -1), -1), (right, _outermost(right, 1), 1)):
        hinge = np.add(rim[side], (0, 0.004, 0))
        above = np.add(vertices[_ear_top(model, ear)], (0.001 * ear, 0.002, 0.004))
        bend = np.add(hinge, (0.003 * ear, 0, -0.006))
        temple = np.stack([hinge, bend, above, np.add(above, (-0.004 * ear, -0.015, -0.018))])
        frames.append(_tube(temple, 0.9 * _FRAME, closed=False))
    return _join(frames), _join(lenses)


def _outermost(rim: Array, side: int) -> int:
    """Return the index of the outermost point of a rim, (N, 3), on the left (−1) or the right (1)."""
    return int((side * rim[:, 0]).argmax())


def cap_brim(model: HeadModel, vertices: Floats, normals: Floats, thickness: float) -> Mesh:
    """Return the brim of a cap, from the edge of the hat on the forehead forward."""
    rest = model.mean
    azimuth = np.degrees(np.arctan2(rest[:, 0], rest[:, 2] + 0.095))
    scalp = np.unique(model.triangles[model.part("skin", "scalp", "brow")])
    edge = rest[scalp, 1] - (0.05 + 0.32 * (rest[scalp, 2] - 0.03))
    inner, outer = [], []
    for at in np.linspace(-48, 48, 13):
        near = scalp[
            (np.abs(edge - 0.004) / 0.01 + np.abs(azimuth[scalp] - at) / 4 + 9 * (rest[scalp, 2] < -0.1)).argmin()
        ]
        place = vertices[near].astype(np.float64) + thickness * normals[near].astype(np.float64)
        reach = np.cos(np.radians(at) * 90 / 50)
        inner.append(np.add(place, (0, -0.002, -0.002)))
        outer.append(np.add(place, (0.012 * np.sin(np.radians(at)), -0.022 * reach, 0.004 + 0.068 * reach)))
    points = np.concatenate([inner, outer])
    n = len(inner)
    k = np.arange(n - 1)
    triangles = np.concatenate([np.stack([k, k + 1, k + n], axis=1), np.stack([k + 1, k + n + 1, k + n], axis=1)])
    up = np.tile(np.array([0, 0.95, 0.3]), (2 * n, 1))
    return Mesh(points.astype(np.float32), up.astype(np.float32), triangles)


def _ear_top(model: HeadModel, side: int) -> int:
    """Return the vertex at the top of the left (−1) or right (1) ear, as seen in the image."""
    target = np.array([side * 0.081, 0.003, -0.072])
    return int(np.linalg.norm(model.mean - target, axis=1).argmin())


def _tube(path: Array, radius: float, *, closed: bool, sides: int = 6) -> Mesh:
    """Return a tube around a polyline, (N, 3)."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    first = np.cross(ahead, (0.1, 0.3, 1.0))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(ahead, first)
    turn = 2 * np.pi * np.arange(sides) / sides
    around = np.cos(turn)[None, :, None] * first[:, None] + np.sin(turn)[None, :, None] * second[:, None]  # (N, S, 3)
    n = len(path)
    i, j = np.meshgrid(np.arange(n if closed else n - 1), np.arange(sides), indexing="ij")
    a, b = i * sides + j, i * sides + (j + 1) % sides
    c, d = (i + 1) % n * sides + j, (i + 1) % n * sides + (j + 1) % sides
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    points = (path[:, None] + radius * around).reshape(-1, 3)
    return Mesh(points.astype(np.float32), around.reshape(-1, 3).astype(np.float32), triangles)


def _disc(rim: Array) -> Mesh:
    """Return the surface inside a closed curve, (N, 3), with normals of a slightly curved surface."""
    n = len(rim)
    k = np.arange(n)
    points = np.concatenate([rim, np.add(rim.mean(axis=0, keepdims=True), (0, 0, 0.0008))])
    normals = np.tile(np.array([0.0, 0.0, 1.0]), (n + 1, 1))
    normals[:n, :2] = 12 * (rim - rim.mean(axis=0))[:, :2]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.stack([k, (k + 1) % n, np.full(n, n)], axis=1)
    return Mesh(points.astype(np.float32), normals.astype(np.float32), triangles)


def _join(meshes: list[Mesh]) -> Mesh:
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.triangles + offset for mesh, offset in zip(meshes, offsets, strict=True)]),
    )
