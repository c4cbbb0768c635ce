"""Random values of a scene except the pose: lights, expression, gaze, torso, clothes, background, capture."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from deepgllim.geometry.rotations import pan_tilt_from_rotation, rotation_from_pan_tilt
from deepgllim.synthetic.head_file import load_head_model
from deepgllim.synthetic.people import Colour
from deepgllim.synthetic.scene import Array, Background, Capture, Light, Triple, Wear
from deepgllim.synthetic.sets import Rng

FIXED_LIGHT = (Light((-0.6, -0.9, -0.3), (0.75, 0.75, 0.75)),)
FIXED_AMBIENT: tuple[Triple, Triple] = ((0.35, 0.35, 0.35), (0.25, 0.25, 0.25))
FIXED_CAPTURE = Capture(1.0, 1.0, 1.0, 0.0, (0.0, 0.0), 0.0, 1.0, 0, 92, 0)

_NECK = (45.0, 60.0, 25.0)  # largest tilt, pan and roll of the head relative to the torso, degrees
_EXPRESSIONS = (
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
)  # name, probability, largest weight


def sample_distance(rng: Rng) -> float:
    """Sample the distance of the camera, log-uniform from 0.4 m to 4 m."""
    return float(np.exp(rng.uniform(np.log(0.4), np.log(4.0))))


def sample_torso(rotation: Array, rng: Rng) -> Array:
    """Sample the rotation of the torso, (3, 3).

    It has 0 to 60 % of the pan of the head and 0 to 30 % of its tilt and roll, but at least what exceeds the range of
    the neck.
    """
    angles = pan_tilt_from_rotation(rotation)
    torso = []
    for angle, share, limit in zip(angles, (0.3, 0.6, 0.3), _NECK, strict=True):
        own = angle * rng.uniform(0, share)
        torso.append(float(np.clip(own, angle - limit, angle + limit)) + rng.normal(0, 3))
    tilt, pan, neck_roll = torso
    return rotation_from_pan_tilt(pan, tilt, neck_roll)


def sample_expression(rng: Rng) -> dict[str, float]:
    """Sample the weights of the expressions: a slight smile, and others with a small probability each."""
    weights = {"mouthSmile": 0.4 * rng.uniform() ** 1.5}
    if rng.uniform() < 0.25:
        weights["mouthSmile"] = rng.uniform(0.4, 1.0)
        weights["cheekSquint"] = rng.uniform(0, 0.6)
    if rng.uniform() < 0.3:
        weights["jawOpen"] = rng.uniform() ** 2 * 0.9
    if rng.uniform() < 0.12:
        weights["eyeBlink"] = rng.uniform(0.3, 1.0)
    for name, chance, largest in _EXPRESSIONS:
        if rng.uniform() < chance:
            weights[name] = rng.uniform(0, largest)
    known = load_head_model().expression_names
    return {name: round(w, 4) for name, w in _add_sides(weights, known, rng).items() if name in known}


def _add_sides(weights: Mapping[str, float], known: Collection[str], rng: Rng) -> dict[str, float]:
    """Replace each unknown name by those of its left and right expression, with slightly different weights."""
    sided = {}
    for name, weight in weights.items():
        if name in known:
            sided[name] = float(weight)
            continue
        for side in ("Left", "Right"):
            sided[name + side] = float(np.clip(weight * (1 + rng.normal(0, 0.12)), 0, 1))
    return sided


def sample_gaze(rng: Rng) -> tuple[float, float]:
    """Sample yaw and pitch of the eyes relative to the head, degrees, within ±30 and [−25, 15]."""
    yaw, pitch = rng.normal(0, 11), rng.normal(-2, 7)
    return float(np.clip(yaw, -30, 30)), float(np.clip(pitch, -25, 15))


def sample_lights(rng: Rng, place: Triple = (0.0, 0.0, 0.0)) -> tuple[Light, ...]:
    """Sample one to three lights, 0.6 to 3 m in front of or beside the head at `place`, the brightest first."""
    count = int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    total = float(rng.uniform(0.5, 1.15))
    shares = rng.dirichlet(np.full(count, 1.5))
    lights = []
    for share in np.sort(shares)[::-1]:
        azimuth, height = np.radians(rng.uniform(-110, 110)), np.radians(rng.normal(25, 30))
        distance = rng.uniform(0.6, 3.0)
        direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
        colour = total * share * _light_colour(rng)
        lights.append(Light(_triple(place + distance * direction), _triple(colour)))
    return tuple(lights)


def sample_ambient(rng: Rng) -> tuple[Triple, Triple]:
    """Sample the ambient light from above and from below."""
    above = rng.uniform(0.12, 0.6) * _light_colour(rng)
    below = above * rng.uniform(0.3, 0.95) * (1 + rng.normal(0, 0.08, size=3))
    return _triple(above), _triple(np.maximum(below, 0.02))


def sample_wear(rng: Rng, *, plain: bool = False) -> Wear:
    """Sample clothes, glasses (32 % of the scenes) and hats (13 %); with `plain`, neither glasses nor hats."""
    glasses = str(rng.choice(["none", "round", "square", "sun"], p=[0.68, 0.12, 0.15, 0.05]))
    hat = str(rng.choice(["none", "beanie", "cap", "scarf"], p=[0.87, 0.05, 0.05, 0.03]))
    return Wear(
        cloth=_colour(rng),
        cloth_second=_colour(rng),
        pattern=rng.choice(["plain", "stripes", "checks"], p=[0.65, 0.22, 0.13]).item(),
        neckline=float(rng.uniform(-0.03, 0.05)),
        glasses="none" if plain else glasses,  # type: ignore[arg-type]
        glasses_colour=_colour(rng, value=(0.02, 0.5)),
        glasses_size=float(rng.uniform(0.85, 1.2)),
        hat="none" if plain else hat,  # type: ignore[arg-type]
        hat_colour=_colour(rng),
    )


def sample_background(rng: Rng, pictures: Sequence[str] = ()) -> Background:
    """Sample a procedural background, or one of the given images."""
    seed = int(rng.integers(1 << 31))
    if pictures:
        return Background("picture", seed, pictures[int(rng.integers(len(pictures)))])
    kinds = ("plain", "gradient", "noise", "shapes", "room")
    return Background(rng.choice(kinds, p=[0.12, 0.16, 0.17, 0.25, 0.3]).item(), seed)


def sample_capture(rng: Rng) -> Capture:
    """Sample the properties of camera and file, without occlusions."""
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


def sample_occlusions(rng: Rng) -> int:
    """Sample the number of patches over the image, 0 for 85 % of the scenes."""
    return int(rng.choice([0, 1, 2], p=[0.85, 0.12, 0.03]))


def _triple(values: Array) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _light_colour(rng: Rng) -> Array:
    """Sample a colour of mean 1: 90 % between warm and cold white, 10 % any hue."""
    if rng.uniform() < 0.1:
        colour = rng.uniform(0.4, 1.0, size=3)
    else:
        warm = rng.normal(0, 0.13)
        colour = np.clip(np.array([1 + warm, 1.0, 1 - warm]) * (1 + rng.normal(0, 0.03, size=3)), 0.2, 2.0)
    return np.asarray(colour / colour.mean())


def _colour(rng: Rng, value: tuple[float, float] = (0.05, 0.9)) -> Colour:
    """Sample a colour, mostly of low saturation."""
    grey, tint = rng.uniform(*value), rng.uniform() ** 2
    r, g, b = (float(c) for c in np.clip(grey * (1 + tint * rng.uniform(-1, 1, size=3)), 0, 1))
    return r, g, b
