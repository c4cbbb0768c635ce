"""Sets of scenes: distributions of poses by name, and everything else drawn at random around them.

Randomness is addressed: picture n of a set is drawn from (seed, n) alone, each aspect (pose, light, …) from its own
stream, so that pictures can be made in any order, and leaving one aspect out changes nothing else.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import pan_tilt_from_rotation, rotation_from_angles, rotation_from_pan_tilt
from deepgllim.synthetic.heads import HeadModel, load_head_model
from deepgllim.synthetic.people import Colour, Person, random_person
from deepgllim.synthetic.posing import face_points, head_vertices, to_camera
from deepgllim.synthetic.scene import Array, Background, Camera, Capture, Light, Scene, Triple, Wear

Rng = np.random.Generator
Aspect = Literal["light", "background", "capture", "accessories", "expression", "torso"]

ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
"""What can be left out of the randomisation, for ablations."""

POSE_LIMITS = (60.0, 75.0, 20.0)
"""Half the ranges of pitch, yaw and roll of the paper's synthetic heads, which are Biwi's, degrees."""

SMALLEST_SIDE, LARGEST_SIDE = 16, 4096
"""Sides of a picture, pixels."""

S2G_CENTRES = ((35.0, 60.0, 0.0), (-35.0, -60.0, 0.0))
"""Centres of the S2G set, degrees."""

S2G_SPREAD, SSV_SPREAD = 20.0, 30.0
"""Standard deviations per angle, degrees; the paper does not tell them. 20 keeps 16 % of a uniform pool."""

_NECK = (45.0, 60.0, 25.0)  # the most by which a head turns against its torso: pitch, yaw, roll, degrees


def _uniform(rng: Rng) -> Array:
    return rotation_from_angles(*(rng.uniform(-limit, limit) for limit in POSE_LIMITS))


def _from_pool(accept: Callable[[Array], float]) -> Callable[[Rng], Array]:
    """Uniform poses of which each is kept with a probability."""

    def sample(rng: Rng) -> Array:
        while True:
            angles = rng.uniform(-1, 1, size=3) * POSE_LIMITS
            if rng.uniform() < accept(angles):
                return rotation_from_angles(*angles)

    return sample


def _bell(angles: Array, centre: Sequence[float], spread: float) -> float:
    return float(np.exp(-0.5 * np.sum(((angles - np.array(centre)) / spread) ** 2)))


def _natural(rng: Rng) -> Array:
    """Near Biwi's poses: frontal heads are the most common, all of its range occurs."""
    while True:
        angles = rng.standard_t(8, size=3) * (18.0, 27.0, 7.0) + (-2.0, 0.0, 0.0)
        if (np.abs(angles) <= POSE_LIMITS).all():
            return rotation_from_angles(*angles)


def _wide(rng: Rng) -> Array:
    """Pan, tilt and roll of a neck, uniform: as `rotation_from_pan_tilt` has them, without a gimbal at profile."""
    return rotation_from_pan_tilt(rng.uniform(-100, 100), rng.uniform(-75, 75), rng.uniform(-45, 45))


@dataclass(frozen=True)
class SetSpec:
    """A kind of set.

    Attributes:
        pose: draws a rotation.
        margin: range of the picture's side over the longer side of the face's box.
        offset: largest distance of the box's centre from the picture's, share of the picture's side.
        description: in a line.
    """

    pose: Callable[[Rng], Array]
    margin: tuple[float, float]
    offset: float
    description: str


SETS: dict[str, SetSpec] = {
    "uniform": SetSpec(_uniform, (1.4, 1.8), 0.06, "pitch ±60, yaw ±75, roll ±20, uniform, as in the paper"),
    "s2g": SetSpec(
        _from_pool(lambda a: max(_bell(a, c, S2G_SPREAD) for c in S2G_CENTRES)),
        (1.4, 1.8),
        0.06,
        "the paper's S2G: of the uniform pool, two Gaussians at (35, 60, 0) and (−35, −60, 0)",
    ),
    "ssv": SetSpec(
        _from_pool(lambda a: 1 - _bell(a, (0, 0, 0), SSV_SPREAD)),
        (1.4, 1.8),
        0.06,
        "the paper's SSV: the uniform pool without a Gaussian at (0, 0, 0)",
    ),
    "natural": SetSpec(_natural, (1.4, 1.8), 0.06, "poses near Biwi's: most heads look ahead"),
    "wide": SetSpec(_wide, (1.0, 2.2), 0.12, "pan ±100, tilt ±75, neck roll ±45, uniform; margins 1.0 to 2.2"),
}
"""Kinds of set by name."""


@dataclass(frozen=True)
class SceneSampler:
    """Scene n of a set, for any n.

    Args:
        name: a key of `SETS`.
        identities: how many people; picture n shows person n mod `identities`.
        size: side of the pictures, pixels.
        seed: of everything; person i of the set is `random_person(seed · 1,000,003 + i)`.
        leave_out: aspects (`ASPECTS`) that are not randomised: one fixed light, a plain grey background, a sharp
            picture without noise, no glasses, hats or patches, a neutral face, a torso turned with the head.
        pictures: files for the backgrounds; procedural ones where there are none.

    Raises:
        ConfigurationError: an unknown set or aspect, or a number out of range.

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
        """The person that picture `index` shows."""
        return _person(self.seed * 1_000_003 + index % self.identities)

    def __call__(self, index: int) -> Scene:
        """The scene of picture `index`.

        Raises:
            ConfigurationError: a negative index.
        """
        if index < 0:
            raise ConfigurationError(f"picture {index}: give a number that is not negative")
        spec, person, model = SETS[self.name], self.person(index), load_head_model()
        streams = np.random.SeedSequence([self.seed, index, *self.name.encode()]).spawn(8)
        pose, body, face, light, back, capture, wear, camera = map(_generator, streams)
        rotation, place = spec.pose(pose), (0.0, 0.0, draw_distance(camera))
        drawn = draw_capture(capture)
        scene = Scene(
            person=person,
            expression={} if "expression" in self.leave_out else draw_expression(face),
            gaze=(0.0, 0.0) if "expression" in self.leave_out else draw_gaze(face),
            rotation=rotation,
            torso=rotation if "torso" in self.leave_out else draw_torso(rotation, body),
            camera=Camera(self.size, self.size, 1.0, (0.0, 0.0), place),
            lights=FIXED_LIGHT if "light" in self.leave_out else draw_lights(light, place),
            ambient=FIXED_AMBIENT if "light" in self.leave_out else draw_ambient(light),
            wear=draw_wear(wear, plain="accessories" in self.leave_out),
            background=Background("plain", 0)
            if "background" in self.leave_out
            else draw_background(back, self.pictures),
            capture=replace(FIXED_CAPTURE, seed=drawn.seed) if "capture" in self.leave_out else drawn,
        )
        occlusions = 0 if "accessories" in self.leave_out else draw_occlusions(wear)
        return fit_camera(
            with_occlusions(scene, occlusions),
            model,
            margin=camera.uniform(*spec.margin),
            offset=(camera.uniform(-1, 1) * spec.offset, camera.uniform(-1, 1) * spec.offset),
        )


def fit_camera(scene: Scene, model: HeadModel, margin: float, offset: tuple[float, float] = (0.0, 0.0)) -> Scene:
    """The scene with focal length and principal point such that the face fills its picture.

    Args:
        scene: whose camera tells the picture's size and the head's place.
        model: the head model.
        margin: the picture's shorter side over the longer side of the face's box.
        offset: of the box's centre from the picture's, shares of its shorter side, right and down.
    """
    camera, side = scene.camera, min(scene.camera.width, scene.camera.height)
    ray = Camera(0, 0, 1.0, (0.0, 0.0), camera.translation)
    seen = ray.project(to_camera(head_vertices(model, scene)[face_points(model)], scene))
    low, high = seen.min(axis=0), seen.max(axis=0)
    focal = side / (margin * float((high - low).max()))
    middle = np.array([camera.width, camera.height]) / 2 + side * np.array(offset)
    x, y = (float(c) for c in middle - focal * (low + high) / 2)
    return replace(scene, camera=replace(camera, focal=focal, centre=(x, y)))


FIXED_LIGHT = (Light((-0.6, -0.9, -0.3), (0.75, 0.75, 0.75)),)
FIXED_AMBIENT: tuple[Triple, Triple] = ((0.35, 0.35, 0.35), (0.25, 0.25, 0.25))
FIXED_CAPTURE = Capture(1.0, 1.0, 1.0, 0.0, (0.0, 0.0), 0.0, 1.0, 0, 92, 0)


def draw_distance(rng: Rng) -> float:
    """Metres from 0.4, a phone at arm's length, to 4."""
    return float(np.exp(rng.uniform(np.log(0.4), np.log(4.0))))


def draw_torso(rotation: Array, rng: Rng) -> Array:
    """The torso takes 0 to 60 % of the head's pan, 0 to 30 % of its tilt and roll, and more beyond a neck's reach."""
    angles = pan_tilt_from_rotation(rotation)
    rest = []
    for angle, share, reach in zip(angles, (0.3, 0.6, 0.3), _NECK, strict=True):
        own = angle * rng.uniform(0, share)
        rest.append(float(np.clip(own, angle - reach, angle + reach)) + rng.normal(0, 3))
    return rotation_from_pan_tilt(rest[1], rest[0], rest[2])


def draw_expression(rng: Rng) -> dict[str, float]:
    """A little of everything; a smile, an open mouth, closed eyes or lifted brows now and then."""
    weights = {"mouthSmile": 0.4 * rng.uniform() ** 1.5}
    if rng.uniform() < 0.25:
        weights["mouthSmile"] = rng.uniform(0.4, 1.0)
        weights["cheekSquint"] = rng.uniform(0, 0.6)
    if rng.uniform() < 0.3:
        weights["jawOpen"] = rng.uniform() ** 2 * 0.9
    if rng.uniform() < 0.12:
        weights["eyeBlink"] = rng.uniform(0.3, 1.0)
    for name, chance, most in (
        ("browInnerUp", 0.2, 0.8),
        ("browOuterUp", 0.15, 0.8),
        ("browDown", 0.2, 0.8),
        ("eyeSquint", 0.2, 0.7),
        ("eyeWide", 0.1, 0.6),
        ("mouthPucker", 0.08, 0.8),
        ("mouthFunnel", 0.06, 0.6),
        ("mouthFrown", 0.1, 0.5),
        ("mouthPress", 0.1, 0.6),
        ("cheekPuff", 0.03, 0.7),
        ("noseSneer", 0.05, 0.6),
    ):
        if rng.uniform() < chance:
            weights[name] = rng.uniform(0, most)
    known = load_head_model().expression_names
    sided = {}
    for name, weight in weights.items():
        if name in known:
            sided[name] = float(weight)
            continue
        for side in ("Left", "Right"):
            sided[name + side] = float(np.clip(weight * (1 + rng.normal(0, 0.12)), 0, 1))
    return {name: round(weight, 4) for name, weight in sided.items() if name in known}


def draw_gaze(rng: Rng) -> tuple[float, float]:
    """Not tied to the head: most look ahead, all of ±30, −25 to 15 occurs."""
    yaw, pitch = rng.normal(0, 11), rng.normal(-2, 7)
    return float(np.clip(yaw, -30, 30)), float(np.clip(pitch, -25, 15))


def draw_lights(rng: Rng, place: Triple = (0.0, 0.0, 0.0)) -> tuple[Light, ...]:
    """One to three lights, 0.6 to 3 m before or beside the head at `place`, white, warm, cold or coloured."""
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    total = float(rng.uniform(0.5, 1.15))
    shares = rng.dirichlet(np.full(count, 1.5))
    lights = []
    for share in np.sort(shares)[::-1]:
        azimuth, height = np.radians(rng.uniform(-110, 110)), np.radians(rng.normal(25, 30))
        far = rng.uniform(0.6, 3.0)
        towards = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
        colour = total * share * _light_colour(rng)
        lights.append(Light(_triple(place + far * towards), _triple(colour)))
    return tuple(lights)


def draw_ambient(rng: Rng) -> tuple[Triple, Triple]:
    """Light from everywhere, brighter from above."""
    above = rng.uniform(0.12, 0.6) * _light_colour(rng)
    below = above * rng.uniform(0.3, 0.95) * (1 + rng.normal(0, 0.08, size=3))
    return _triple(above), _triple(np.maximum(below, 0.02))


def draw_wear(rng: Rng, *, plain: bool = False) -> Wear:
    """Clothes; glasses on a third of the pictures, something on the head of one in eight, neither where `plain`."""
    glasses = str(rng.choice(["none", "round", "square", "sun"], p=[0.68, 0.12, 0.15, 0.05]))
    hat = str(rng.choice(["none", "beanie", "cap", "scarf"], p=[0.87, 0.05, 0.05, 0.03]))
    return Wear(
        cloth=_any_colour(rng),
        cloth_second=_any_colour(rng),
        pattern=rng.choice(["plain", "stripes", "checks"], p=[0.65, 0.22, 0.13]).item(),
        neckline=float(rng.uniform(-0.03, 0.05)),
        glasses="none" if plain else glasses,  # type: ignore[arg-type]
        glasses_colour=_any_colour(rng, value=(0.02, 0.5)),
        glasses_size=float(rng.uniform(0.85, 1.2)),
        hat="none" if plain else hat,  # type: ignore[arg-type]
        hat_colour=_any_colour(rng),
    )


def draw_background(rng: Rng, pictures: Sequence[str] = ()) -> Background:
    """One of the procedural kinds, or of the given pictures."""
    seed = int(rng.integers(1 << 31))
    if pictures:
        return Background("picture", seed, pictures[int(rng.integers(len(pictures)))])
    kinds = ("plain", "gradient", "noise", "shapes", "room")
    return Background(rng.choice(kinds, p=[0.12, 0.16, 0.17, 0.25, 0.3]).item(), seed)


def draw_capture(rng: Rng) -> Capture:
    """From a good camera to a poor one."""
    blur = rng.uniform(0.001, 0.015) if rng.uniform() < 0.45 else 0.0
    motion = (rng.uniform(0.01, 0.06), rng.uniform(0, 180)) if rng.uniform() < 0.1 else (0.0, 0.0)
    return Capture(
        exposure=float(np.exp(rng.normal(0, 0.3))),
        contrast=float(rng.uniform(0.65, 1.35)),
        saturation=0.0 if rng.uniform() < 0.06 else float(rng.uniform(0.4, 1.3)),
        blur=float(blur),
        motion=(float(motion[0]), float(motion[1])),
        noise=float(rng.uniform(0, 4) if rng.uniform() < 0.6 else rng.uniform(4, 14)),
        resolution=float(rng.uniform(0.3, 0.9)) if rng.uniform() < 0.25 else 1.0,
        occlusions=0,
        jpeg_quality=int(rng.integers(45, 96)),
        seed=int(rng.integers(1 << 31)),
    )


def draw_occlusions(rng: Rng) -> int:
    """Patches over the picture: none on 85 % of the pictures."""
    return int(rng.choice([0, 1, 2], p=[0.85, 0.12, 0.03]))


def with_occlusions(scene: Scene, count: int) -> Scene:
    """The scene with so many patches."""
    return replace(scene, capture=replace(scene.capture, occlusions=count))


@functools.lru_cache(maxsize=4096)
def _person(seed: int) -> Person:
    return random_person(load_head_model(), seed)


def _generator(stream: np.random.SeedSequence) -> Rng:
    return np.random.Generator(np.random.PCG64(stream))


def _triple(values: Array) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _light_colour(rng: Rng) -> Array:
    """Of mean 1: near white, along the line from warm to cold, or any."""
    if rng.uniform() < 0.1:
        colour = rng.uniform(0.4, 1.0, size=3)
    else:
        warm = rng.normal(0, 0.13)
        colour = np.clip(np.array([1 + warm, 1.0, 1 - warm]) * (1 + rng.normal(0, 0.03, size=3)), 0.2, 2.0)
    return np.asarray(colour / colour.mean())


def _any_colour(rng: Rng, value: tuple[float, float] = (0.05, 0.9)) -> Colour:
    """Mostly muted."""
    grey, tint = rng.uniform(*value), rng.uniform() ** 2
    r, g, b = (float(c) for c in np.clip(grey * (1 + tint * rng.uniform(-1, 1, size=3)), 0, 1))
    return r, g, b
