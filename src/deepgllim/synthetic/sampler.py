"""`SceneSampler`: scene n of a set, for any n.

Scene n depends on (seed, n) only, and each aspect (pose, light, …) has its own random stream. Scenes can be sampled
in any order, and fixing one aspect does not change the others.
"""

import functools
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from deepgllim.errors import ConfigurationError
from deepgllim.synthetic.head_file import load_head_model
from deepgllim.synthetic.people import Person, random_person
from deepgllim.synthetic.posing import fit_camera
from deepgllim.synthetic.randomisation import (
    FIXED_AMBIENT,
    FIXED_CAPTURE,
    FIXED_LIGHT,
    sample_ambient,
    sample_background,
    sample_capture,
    sample_distance,
    sample_expression,
    sample_gaze,
    sample_lights,
    sample_occlusions,
    sample_torso,
    sample_wear,
)
from deepgllim.synthetic.scene import Background, Camera, Capture, Scene
from deepgllim.synthetic.sets import SETS, Rng

Aspect = Literal["light", "background", "capture", "accessories", "expression", "torso"]

ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
"""Aspects whose randomisation can be left out, for ablations."""

SMALLEST_SIDE, LARGEST_SIDE = 16, 4096
"""Limits of the side of an image, pixels."""


@dataclass(frozen=True)
class SceneSampler:
    """Sample scene n of a set, for any n.

    Args:
        name: a key of `SETS`.
        identities: number of people; scene n shows person n mod `identities`.
        size: side of the images, pixels.
        seed: random seed; person i of the set is `random_person(model, seed · 1,000,003 + i)`.
        leave_out: aspects (`ASPECTS`) that are not randomised, but fixed: one light, a plain grey background, no blur
            or noise, no glasses, hats or patches, a neutral face, a torso with the rotation of the head.
        pictures: paths of images for the backgrounds; procedural backgrounds if there are none.

    Raises:
        ConfigurationError: the set or an aspect is unknown, or a number is out of range.

    Example:
        >>> sampler = SceneSampler("uniform", identities=50, size=96, seed=7)
        >>> scene = sampler(3)
        >>> scene.camera.width, bool((scene.rotation == sampler(3).rotation).all())
        (96, True)
    """

    name: str
    identities: int = 50
    size: int = 224
    seed: int = 0
    leave_out: tuple[Aspect, ...] = ()
    pictures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in SETS:
            raise ConfigurationError(f"unknown set {self.name!r}: use one of {', '.join(SETS)}")
        if not 1 <= self.identities <= 1_000_000:
            raise ConfigurationError(f"{self.identities} identities: give a number from 1 to 1,000,000")
        if not SMALLEST_SIDE <= self.size <= LARGEST_SIDE:
            raise ConfigurationError(
                f"pictures of {self.size} pixels: give a side from {SMALLEST_SIDE} to {LARGEST_SIDE}"
            )
        if self.seed < 0:
            raise ConfigurationError(f"seed {self.seed}: give a number that is not negative")
        unknown = sorted(set(self.leave_out) - set(ASPECTS))
        if unknown:
            raise ConfigurationError(f"unknown aspect {unknown[0]!r} to leave out: use some of {', '.join(ASPECTS)}")

    def person(self, index: int) -> Person:
        """Return the person of scene `index`."""
        return _person(self.seed * 1_000_003 + index % self.identities)

    def __call__(self, index: int) -> Scene:
        """Return scene `index`.

        Raises:
            ConfigurationError: the index is negative.
        """
        if index < 0:
            raise ConfigurationError(f"picture {index}: give a number that is not negative")
        spec, fixed = SETS[self.name], self.leave_out
        streams = np.random.SeedSequence([self.seed, index, *self.name.encode()]).spawn(8)
        pose, body, face, light, back, capture, wear, camera = map(_generator, streams)
        rotation, place = spec.pose(pose), (0.0, 0.0, sample_distance(camera))
        clothes = sample_wear(wear, plain="accessories" in fixed)
        occlusions = 0 if "accessories" in fixed else sample_occlusions(wear)
        scene = Scene(
            person=self.person(index),
            expression={} if "expression" in fixed else sample_expression(face),
            gaze=(0.0, 0.0) if "expression" in fixed else sample_gaze(face),
            rotation=rotation,
            torso=rotation if "torso" in fixed else sample_torso(rotation, body),
            camera=Camera(self.size, self.size, 1.0, (0.0, 0.0), place),
            lights=FIXED_LIGHT if "light" in fixed else sample_lights(light, place),
            ambient=FIXED_AMBIENT if "light" in fixed else sample_ambient(light),
            wear=clothes,
            background=_PLAIN if "background" in fixed else sample_background(back, self.pictures),
            capture=replace(self._capture(capture), occlusions=occlusions),
        )
        margin = camera.uniform(*spec.margin)
        offset = (camera.uniform(-1, 1) * spec.offset, camera.uniform(-1, 1) * spec.offset)
        return fit_camera(scene, load_head_model(), margin, offset)

    def _capture(self, rng: Rng) -> Capture:
        sampled = sample_capture(rng)
        return replace(FIXED_CAPTURE, seed=sampled.seed) if "capture" in self.leave_out else sampled


_PLAIN = Background("plain", 0)


@functools.lru_cache(maxsize=4096)
def _person(seed: int) -> Person:
    return random_person(load_head_model(), seed)


def _generator(stream: np.random.SeedSequence) -> Rng:
    return np.random.Generator(np.random.PCG64(stream))
