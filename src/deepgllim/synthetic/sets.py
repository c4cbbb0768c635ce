"""Kinds of sets of scenes: the distribution of poses, and the size and place of the face in the image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deepgllim.geometry.rotations import rotation_from_angles, rotation_from_pan_tilt
from deepgllim.synthetic.scene import Array

Rng = np.random.Generator

POSE_LIMITS = (60.0, 75.0, 20.0)
"""Largest absolute pitch, yaw and roll of the paper's synthetic heads and of Biwi, degrees."""

S2G_CENTRES = ((35.0, 60.0, 0.0), (-35.0, -60.0, 0.0))
"""Means of the Gaussians of the set S2G, degrees."""

S2G_SPREAD, SSV_SPREAD = 20.0, 30.0
"""Standard deviations per angle, degrees; the paper does not state them. With 20, S2G accepts 16 % of uniform poses."""


def _uniform(rng: Rng) -> Array:
    return rotation_from_angles(*(rng.uniform(-limit, limit) for limit in POSE_LIMITS))


def _rejection_sampler(acceptance: Callable[[Array], float]) -> Callable[[Rng], Array]:
    """Return a sampler of uniform poses, each of which is accepted with a probability that depends on its angles."""

    def sample(rng: Rng) -> Array:
        """Return the first accepted rotation."""
        while True:
            angles = rng.uniform(-1, 1, size=3) * POSE_LIMITS
            if rng.uniform() < acceptance(angles):
                return rotation_from_angles(*angles)

    return sample


def _gaussian(angles: Array, centre: Sequence[float], spread: float) -> float:
    """Return the value of an unnormalised Gaussian with maximum 1."""
    return float(np.exp(-0.5 * np.sum(((angles - np.array(centre)) / spread) ** 2)))


def _natural(rng: Rng) -> Array:
    """Sample a pose similar to Biwi's: frontal heads are the most frequent, and the whole range occurs."""
    while True:
        angles = rng.standard_t(8, size=3) * (18.0, 27.0, 7.0) + (-2.0, 0.0, 0.0)
        if (np.abs(angles) <= POSE_LIMITS).all():
            return rotation_from_angles(*angles)


def _wide(rng: Rng) -> Array:
    """Sample a uniform pan, tilt and neck roll, which have no singularity at profile."""
    return rotation_from_pan_tilt(rng.uniform(-100, 100), rng.uniform(-75, 75), rng.uniform(-45, 45))


@dataclass(frozen=True)
class SetSpec:
    """A kind of set.

    Attributes:
        pose: samples a rotation, (3, 3).
        margin: range of the ratio of the side of the image to the longer side of the box of the face.
        offset: largest distance between the centres of box and image, as a share of the side of the image.
        description: a description in one line.
    """

    pose: Callable[[Rng], Array]
    margin: tuple[float, float]
    offset: float
    description: str


SETS: dict[str, SetSpec] = {
    "uniform": SetSpec(_uniform, (1.4, 1.8), 0.06, "pitch ±60, yaw ±75, roll ±20, uniform, as in the paper"),
    "s2g": SetSpec(
        _rejection_sampler(lambda a: max(_gaussian(a, c, S2G_SPREAD) for c in S2G_CENTRES)),
        (1.4, 1.8),
        0.06,
        "S2G of the paper: two Gaussians at (35, 60, 0) and (−35, −60, 0), truncated to the range of the set uniform",
    ),
    "ssv": SetSpec(
        _rejection_sampler(lambda a: 1 - _gaussian(a, (0, 0, 0), SSV_SPREAD)),
        (1.4, 1.8),
        0.06,
        "SSV of the paper: the set uniform minus a Gaussian at (0, 0, 0)",
    ),
    "natural": SetSpec(_natural, (1.4, 1.8), 0.06, "poses similar to Biwi's: most heads are nearly frontal"),
    "wide": SetSpec(_wide, (1.0, 2.2), 0.12, "pan ±100, tilt ±75, neck roll ±45, uniform; margins 1.0 to 2.2"),
}
"""Kinds of sets by name."""
