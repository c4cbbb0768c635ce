"""A linear model of head and shoulders with identities, expressions and gaze: `HeadModel`.

    v(z, e, g) = μ + Σₖ zₖ Bₖ + Σⱼ eⱼ Eⱼ, then each eyeball is rotated about its centre by the gaze g

The head frame, in metres: the origin lies midway between the centres of the eyeballs, x points to the image's right
as seen by a camera in front of the face, y up, z out of the face. z ~ N(0, I) by construction.
`tools/distil_head.py` fits the model to samples of `anny`.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, DataError

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_BANK_SHARE = 0.8  # share of the bank in a random identity; that of the noise is √(1 − 0.8²)
_LID_DEGREES = (10.0, 17.0)  # gaze up and down at which the blendshapes of the lids reach weight 1
_BOUNDS = {"age": (18.0, 85.0)}  # of the attributes; [0, 1] for the others
_ANCESTRIES = ("african", "asian", "caucasian")


@dataclass(frozen=True)
class Identity:
    """The shape of a person's head.

    Attributes:
        coefficients: z, (K,), float32, in [−clip, clip].
        attributes: linear regression on z: age in years, gender (0 man, 1 woman), muscle, weight, and the shares
            african, asian and caucasian, which sum to 1.
    """

    coefficients: Floats
    attributes: Mapping[str, float]


@dataclass(frozen=True)
class HeadModel:
    """A linear head model: V vertices, U drawn vertices (split at UV seams), T triangles, K components.

    Attributes:
        mean: μ, (V, 3), metres.
        basis: B, (K, V, 3), metres per standard deviation.
        expressions: E, (J, V, 3), metres at weight 1.
        expression_names: J names of ARKit blendshapes; left and right are the person's.
        triangles: (T, 3), indices of the V vertices, anticlockwise from outside.
        corners: (T, 3), indices of the U drawn vertices; `triangles` is `source[corners]`.
        source: (U,), the vertex of each drawn vertex.
        uv: (U, 2), in [0, 1], v up, in MakeHuman's layout.
        parts: (T,), indices of `part_names`.
        masks: name → (V,), in [0, 1]: scalp, brow (0.5 at the border), lips, ear, eyelid, face, cloth.
        head_weights: skinning weights of the head, (V,), in [0, 1]: 1 head, 0 torso, between them the neck.
        landmark_vertices: (L, 3), the triangle of each landmark.
        landmark_weights: (L, 3), its barycentric weights.
        landmark_numbers: number of each landmark among the 68 of iBUG, counted from 0.
        eyes: (1 + K, 2, 3), centres of the eyeballs, linear in (1, z); the image's left eye first.
        eye_radius: (1 + K, 2), metres, linear in (1, z).
        joints: (1 + K, 2, 3), pivots of `joint_names`, linear in (1, z).
        attributes: (1 + K, A), values of `attribute_names`, linear in (1, z).
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
    head_weights: Floats
    landmark_vertices: Indices
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
        """Return the indices of the triangles of the named parts, ascending.

        Raises:
            ConfigurationError: a part does not exist.
        """
        unknown = [name for name in names if name not in self.part_names]
        if unknown:
            raise ConfigurationError(f"unknown part {unknown[0]!r}: use some of {', '.join(self.part_names)}")
        return np.flatnonzero(np.isin(self.parts, [self.part_names.index(name) for name in names]))

    @functools.cached_property
    def eye_vertices(self) -> tuple[Indices, Indices]:
        """The indices of the vertices of the eyeballs, the image's left eye (the person's right) first."""
        right, left = (np.unique(self.triangles[self.part(p)]) for p in ("eye_right", "eye_left"))
        return right, left

    def identity(self, coefficients: npt.ArrayLike) -> Identity:
        """Return the identity of z, (K,), clipped to [−clip, clip], with its attributes clipped to their ranges.

        Raises:
            DataError: the shape is not (K,), or a coefficient is not finite.
        """
        z = np.asarray(coefficients, dtype=np.float64)
        if z.shape != (len(self.basis),) or not np.isfinite(z).all():
            raise DataError(f"coefficients of shape {z.shape}: give {len(self.basis)} finite numbers")
        clip = float(self.metadata["clip"])
        z = z.clip(-clip, clip)
        values = self.attributes[0] + z @ self.attributes[1:].astype(np.float64)
        return Identity(z.astype(np.float32), _clip_attributes(zip(self.attribute_names, values.tolist(), strict=True)))

    def random_identity(self, seed: int) -> Identity:
        """Return the identity of a seed, the same on every machine: z = s b + √(1 − s²) ε with s = 0.8, clipped.

        b is a random row of the bank and ε ~ N(0, I). The bank preserves attributes such as gender and age, which are
        not Gaussian in z; the noise makes the identities of different seeds differ.

        Args:
            seed: non-negative integer.

        Example:
            >>> from deepgllim.synthetic import load_head_model
            >>> model = load_head_model()
            >>> a, b = model.random_identity(7), model.random_identity(7)
            >>> bool((a.coefficients == b.coefficients).all()), 18 <= a.attributes["age"] <= 85
            (True, True)
        """
        rng = np.random.Generator(np.random.PCG64(seed))
        b = self.bank[rng.integers(len(self.bank))].astype(np.float64)
        return self.identity(_BANK_SHARE * b + (1 - _BANK_SHARE**2) ** 0.5 * rng.standard_normal(len(self.basis)))

    def vertices(
        self,
        identity: Identity,
        expression: Mapping[str, float] | None = None,
        gaze: tuple[float, float] = (0.0, 0.0),
    ) -> Floats:
        """Return v(z, e, g), (V, 3), metres, in the head frame.

        Args:
            identity: shape of the head.
            expression: weights by name of the expression, each about in [0, 1].
            gaze: yaw and pitch of both eyes relative to the head, degrees: +yaw to the image's left, +pitch up. The
                model is valid from −30 to 30 and from −25 to 15. The lids follow the pitch.

        Raises:
            ConfigurationError: the model does not have an expression.

        Example:
            >>> from deepgllim.synthetic import load_head_model
            >>> model = load_head_model()
            >>> v = model.vertices(model.random_identity(0), {"jawOpen": 0.5}, gaze=(10, -5))
            >>> v.shape == model.mean.shape, v.dtype
            (True, dtype('float32'))
        """
        weights = dict(expression or {})
        unknown = sorted(set(weights) - set(self.expression_names))
        if unknown:
            raise ConfigurationError(
                f"unknown expression {unknown[0]!r}: use some of {', '.join(self.expression_names)}"
            )
        _add_lids(weights, gaze[1])
        size = self.mean.size
        v = self.mean.reshape(-1) + identity.coefficients @ self.basis.reshape(-1, size)
        rows = [self.expression_names.index(name) for name, w in weights.items() if w]
        if rows:
            e = np.array([w for w in weights.values() if w], dtype=np.float32)
            v += e @ self.expressions[rows].reshape(-1, size)
        v = v.reshape(-1, 3)
        if any(gaze):
            centres, rotation = self.eye_centres(identity), _gaze_rotation(*gaze)
            for centre, eye in zip(centres, self.eye_vertices, strict=True):
                v[eye] = (v[eye] - centre) @ rotation.T + centre
        return np.asarray(v, dtype=np.float32)

    def landmarks(self, vertices: npt.ArrayLike) -> Floats:
        """Return the landmarks `landmark_numbers` of vertices (..., V, 3), (..., L, 3)."""
        corners = np.asarray(vertices, dtype=np.float32)[..., self.landmark_vertices, :]  # (..., L, 3, 3)
        return np.asarray((corners * self.landmark_weights[:, :, None]).sum(axis=-2), dtype=np.float32)

    def hairline(self, rest: npt.ArrayLike) -> Floats:
        """Return the height above the hairline, (...), metres, of points (..., 3) of the mean head."""
        x, y, z = np.moveaxis(np.asarray(rest, dtype=np.float64), -1, 0)
        curves = self.metadata["curves"]
        azimuth = np.degrees(np.arctan2(np.abs(x), z - curves["axis_z"]))
        return np.asarray(y - np.interp(azimuth, *curves["hairline"]), dtype=np.float32)

    def brow(self, rest: npt.ArrayLike) -> Floats:
        """Return the depth within a brow, (...), of points (..., 3) of the mean head: 1 mid-line, 0 border, −1 far."""
        x, y, z = np.moveaxis(np.asarray(rest, dtype=np.float64), -1, 0)
        at, arch, half = self.metadata["curves"]["brow"]
        depth = 1 - np.abs(y - np.interp(np.abs(x), at, arch)) / np.interp(np.abs(x), at, half)
        outside = (np.abs(x) < at[0]) | (np.abs(x) > at[-1]) | (z < -0.03)
        return np.asarray(np.where(outside, -1.0, depth).clip(-1, 1), dtype=np.float32)

    def neckline(self, rest: npt.ArrayLike) -> Floats:
        """Return the depth below the edge of a round-necked shirt, (...), metres, of points (..., 3) of the mean."""
        _, y, z = np.moveaxis(np.asarray(rest, dtype=np.float64), -1, 0)
        level, slope = self.metadata["curves"]["neckline"]
        return np.asarray(level - slope * (z + 0.06).clip(-0.06, 0.05) - y, dtype=np.float32)

    def eye_centres(self, identity: Identity) -> Floats:
        """Return the centres of the eyeballs, (2, 3), metres, the image's left eye first."""
        return self._linear(self.eyes, identity)

    def eye_radii(self, identity: Identity) -> Floats:
        """Return the radii of the eyeballs, (2,), metres, the image's left eye first."""
        return self._linear(self.eye_radius, identity)

    def pivots(self, identity: Identity) -> dict[str, Floats]:
        """Return the pivots of the neck and the head, name → (3,), metres."""
        return dict(zip(self.joint_names, self._linear(self.joints, identity), strict=True))

    def _linear(self, table: Floats, identity: Identity) -> Floats:
        return np.asarray(table[0] + np.tensordot(identity.coefficients, table[1:], 1), dtype=np.float32)


def _clip_attributes(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Clip attributes to their ranges and normalise the shares of ancestry."""
    clipped = {}
    for name, value in values:
        low, high = _BOUNDS.get(name, (0.0, 1.0))
        clipped[name] = min(max(value, low), high)
    shares = [name for name in _ANCESTRIES if name in clipped]
    total = sum(clipped[name] for name in shares) or 1.0
    return clipped | {name: clipped[name] / total for name in shares}


def _add_lids(weights: dict[str, float], pitch: float) -> None:
    """Add the blendshapes of the lids for a gaze up or down."""
    if not pitch:
        return
    name = "eyeLookUp" if pitch > 0 else "eyeLookDown"
    lid = pitch / _LID_DEGREES[0] if pitch > 0 else -pitch / _LID_DEGREES[1]
    for side in ("Left", "Right"):
        weights[name + side] = weights.get(name + side, 0.0) + min(lid, 1.0)


def _gaze_rotation(yaw: float, pitch: float) -> Floats:
    """Return the rotation of (0, 0, 1) to (−sin yaw · cos pitch, sin pitch, cos yaw · cos pitch); degrees."""
    y, p = np.radians(-yaw), np.radians(-pitch)
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return np.asarray(ry @ rx, dtype=np.float32)
