"""Random people: the shape of the head and the appearance, which are the same in all pictures of a person."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from deepgllim.synthetic.heads import HeadModel, Identity

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1], sRGB."""

Name = TypeVar("Name", bound=str)
HairStyle = Literal["bald", "shaved", "short", "full", "medium", "long"]
Beard = Literal["none", "stubble", "moustache", "goatee", "full"]

SKIN_TONES: tuple[Colour, ...] = (
    (0.96, 0.84, 0.77),
    (0.90, 0.74, 0.64),
    (0.83, 0.63, 0.51),
    (0.71, 0.50, 0.37),
    (0.55, 0.36, 0.25),
    (0.37, 0.24, 0.17),
    (0.22, 0.15, 0.11),
)
"""Colours of skin from the lightest to the darkest, which are interpolated."""

HAIR_COLOURS: tuple[tuple[Colour, float], ...] = (
    ((0.06, 0.05, 0.05), 0.36),
    ((0.16, 0.10, 0.07), 0.22),
    ((0.28, 0.18, 0.11), 0.16),
    ((0.42, 0.29, 0.17), 0.08),
    ((0.66, 0.52, 0.32), 0.09),
    ((0.45, 0.20, 0.10), 0.05),
    ((0.35, 0.10, 0.30), 0.02),
    ((0.20, 0.25, 0.45), 0.02),
)
EYE_COLOURS: tuple[tuple[Colour, float], ...] = (
    ((0.20, 0.11, 0.06), 0.55),
    ((0.33, 0.20, 0.10), 0.20),
    ((0.38, 0.36, 0.20), 0.09),
    ((0.33, 0.45, 0.56), 0.10),
    ((0.45, 0.50, 0.50), 0.06),
)
GREY: Colour = (0.75, 0.74, 0.72)
_STYLES: dict[str, dict[HairStyle, float]] = {
    "man": {"bald": 0.08, "shaved": 0.17, "short": 0.42, "full": 0.21, "medium": 0.06, "long": 0.06},
    "woman": {"bald": 0.01, "shaved": 0.03, "short": 0.14, "full": 0.14, "medium": 0.26, "long": 0.42},
}
_BEARDS: dict[Beard, float] = {"none": 0.45, "stubble": 0.2, "moustache": 0.08, "goatee": 0.09, "full": 0.18}


@dataclass(frozen=True)
class Appearance:
    """The appearance of a person apart from the shape of the head.

    Attributes:
        skin: colour of the skin.
        tone: from 0, the lightest skin, to 1, the darkest.
        lips, iris, hair, beard_colour: colours.
        freckles, blush, wrinkles, blotches: strength, 0 to 1.
        shine: strength of the specular highlights of the skin, 0 to 1.
        brows: strength of the eyebrows, 0.3 to 1.
        hair_style: bald; shaved (a tint of the scalp); short (close to the scalp); full (thick, down to the nape);
            medium and long (hanging beside and behind the head).
        hair_volume: thickness of the hair on the scalp, metres.
        hair_length: length of hanging hair, from 0 (down to the ears) to 1 (over the shoulders).
        hairline: shift of the hairline on the forehead, metres: positive is lower (a fringe), negative is receding.
        curls: unevenness of the surface of the hair, 0 to 1.
        beard: shape of the beard.
        beard_length: metres.
        pattern_seed: seed of freckles, strands and blotches.
    """

    skin: Colour
    tone: float
    lips: Colour
    iris: Colour
    hair: Colour
    beard_colour: Colour
    freckles: float
    blush: float
    wrinkles: float
    blotches: float
    shine: float
    brows: float
    hair_style: HairStyle
    hair_volume: float
    hair_length: float
    hairline: float
    curls: float
    beard: Beard
    beard_length: float
    pattern_seed: int


@dataclass(frozen=True, eq=False)  # equality of arrays is not a truth value
class Person:
    """A person.

    Attributes:
        seed: `random_person(model, seed)` returns the same person.
        identity: shape of the head.
        appearance: skin, eyes, hair.
    """

    seed: int
    identity: Identity
    appearance: Appearance


def random_person(model: HeadModel, seed: int) -> Person:
    """Return the person of a seed, the same on every machine. The skin tone is independent of the ancestry.

    Args:
        model: head model.
        seed: non-negative integer.

    Example:
        >>> from deepgllim.synthetic import load_head_model
        >>> person = random_person(load_head_model(), 3)
        >>> person.appearance == random_person(load_head_model(), 3).appearance, 0 <= person.appearance.tone <= 1
        (True, True)
    """
    identity = model.random_identity(seed)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
    age, woman = identity.attributes["age"], identity.attributes["gender"] > 0.5
    tone = float(rng.uniform())
    skin = _vary(_interpolate(SKIN_TONES, tone), rng, 0.03)
    grey, hair = _sample_hair_colour(age, rng)
    shape = _sample_hair(woman, rng) | _sample_beard(woman, rng)
    appearance = Appearance(
        skin=skin,
        tone=tone,
        lips=_sample_lips(skin, tone, woman, rng),
        iris=_vary(_pick(EYE_COLOURS, rng), rng, 0.04),
        hair=hair,
        beard_colour=_mix(hair, GREY, float(rng.uniform(0, 0.5)) if grey else 0.0),
        freckles=float(rng.uniform(0.2, 1.0)) * float(rng.uniform() < 0.15 * (1.3 - tone)),
        blush=float(rng.uniform(0.1, 0.9)),
        wrinkles=float(np.clip((age - 30) / 45 + rng.normal(0, 0.1), 0, 1)),
        blotches=float(rng.uniform(0.1, 1.0)),
        shine=float(rng.uniform(0.1, 0.9)),
        brows=float(rng.uniform(0.35, 1.0)),
        **shape,
        pattern_seed=int(rng.integers(1 << 16)),
    )
    return Person(seed, identity, appearance)


def _sample_hair_colour(age: float, rng: np.random.Generator) -> tuple[bool, Colour]:
    """Return whether the hair is grey, and its colour."""
    grey = bool(rng.uniform() < np.clip((age - 40) / 35, 0.02, 0.9))
    hair = _vary(_pick(HAIR_COLOURS, rng), rng, 0.03)
    return grey, _mix(hair, GREY, float(rng.uniform(0.4, 1.0))) if grey else hair


def _sample_hair(woman: bool, rng: np.random.Generator) -> dict[str, Any]:
    style = _choose(_STYLES["woman" if woman else "man"], rng)
    curls = float(rng.uniform() ** 2)
    # every style takes the same random numbers
    short, full, other = rng.uniform(0.003, 0.012), rng.uniform(0.012, 0.035), rng.uniform(0.006, 0.018)
    volume = {"bald": 0.0, "shaved": 0.0, "short": short, "full": full}.get(style, other)
    medium, long = rng.uniform(0.1, 0.5), rng.uniform(0.5, 1.0)
    shift = rng.uniform(0.0, 0.028) if rng.uniform() < 0.3 else -abs(rng.normal(0, 0.007 if woman else 0.012))
    return {
        "hair_style": style,
        "hair_volume": float(volume),
        "hair_length": float({"medium": medium, "long": long}.get(style, 0.0)),
        "hairline": float(shift),
        "curls": curls,
    }


def _sample_beard(woman: bool, rng: np.random.Generator) -> dict[str, Any]:
    beard: Beard = "none" if woman else _choose(_BEARDS, rng)
    lengths = {"full": rng.uniform(0.003, 0.014), "goatee": rng.uniform(0.002, 0.006), "moustache": 0.003}
    return {"beard": beard, "beard_length": float(lengths.get(beard, 0.0))}


def _sample_lips(skin: Colour, tone: float, woman: bool, rng: np.random.Generator) -> Colour:
    lips = _mix(skin, (0.72, 0.26, 0.27), float(rng.uniform(0.25, 0.6)) * (1 - 0.4 * tone))
    if woman and rng.uniform() < 0.3:
        red, blue = float(rng.uniform(0.4, 0.8)), float(rng.uniform(0.12, 0.3))
        lips = _mix(lips, (red, 0.1, blue), float(rng.uniform(0.4, 0.9)))
    return lips


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    r, g, b = ((1 - share) * x + share * y for x, y in zip(first, second, strict=True))
    return r, g, b


def _vary(colour: Colour, rng: np.random.Generator, amount: float) -> Colour:
    """Change the brightness of a colour by about twice the amount, and its hue a little."""
    warm, green = rng.normal(0, 0.5 * amount), rng.normal(0, 0.2 * amount)
    tint = np.array([1.0, 0.0, -1.0]) * warm + np.array([0.0, 1.0, 0.0]) * green
    r, g, b = (float(x) for x in np.clip(np.array(colour) * (1 + 2 * rng.normal(0, amount) + tint), 0.0, 1.0))
    return r, g, b


def _interpolate(colours: tuple[Colour, ...], share: float) -> Colour:
    at = share * (len(colours) - 1)
    low = min(int(at), len(colours) - 2)
    return _mix(colours[low], colours[low + 1], at - low)


def _pick(table: tuple[tuple[Colour, float], ...], rng: np.random.Generator) -> Colour:
    weights = np.array([weight for _, weight in table])
    return table[int(rng.choice(len(table), p=weights / weights.sum()))][0]


def _choose(table: dict[Name, float], rng: np.random.Generator) -> Name:
    weights = np.array(list(table.values()))
    return list(table)[int(rng.choice(len(table), p=weights / weights.sum()))]
