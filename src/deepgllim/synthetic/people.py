"""People: who a head is and what it looks like, from a seed; `scene` holds what changes between two pictures."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from deepgllim.synthetic.heads import HeadModel, Identity

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1], as a picture stores them (sRGB)."""

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
"""From the lightest to the darkest; a person's tone lies between two of them."""

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
_STYLES: dict[str, dict[HairStyle, float]] = {
    "man": {"bald": 0.08, "shaved": 0.17, "short": 0.42, "full": 0.21, "medium": 0.06, "long": 0.06},
    "woman": {"bald": 0.01, "shaved": 0.03, "short": 0.14, "full": 0.14, "medium": 0.26, "long": 0.42},
}
_BEARDS: dict[Beard, float] = {"none": 0.45, "stubble": 0.2, "moustache": 0.08, "goatee": 0.09, "full": 0.18}


@dataclass(frozen=True)
class Appearance:
    """What a person looks like apart from the shape of the head.

    Attributes:
        skin: colour of the skin.
        tone: from 0, the lightest skin, to 1, the darkest.
        lips, iris, hair, beard_colour: colours.
        freckles, blush, wrinkles, blotches: strength, 0 to 1.
        shine: strength of the skin's highlights, 0 to 1.
        brows: strength of the eyebrows, 0.3 to 1.
        hair_style: bald; shaved (a tint of the scalp); short (close to the scalp); full (thick, ends at the nape);
            medium and long (hanging beside and behind the head).
        hair_volume: thickness of the hair on the scalp, metres.
        hair_length: of the hanging hair, 0 (to the ears) to 1 (over the shoulders).
        hairline: metres by which the hair starts lower (+: a fringe) or higher (−: receding) on the forehead.
        curls: how uneven the hair's surface is, 0 to 1.
        beard: its form.
        beard_length: metres.
        pattern_seed: of freckles, strands and blotches.
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


@dataclass(frozen=True, eq=False)  # arrays in it have no truth value
class Person:
    """One of a set's people.

    Attributes:
        seed: from which `random_person` makes the same person again.
        identity: the shape of the head.
        appearance: skin, eyes, hair.
    """

    seed: int
    identity: Identity
    appearance: Appearance


def random_person(model: HeadModel, seed: int) -> Person:
    """The person of a seed, the same everywhere. Skin tone does not depend on the shares of ancestry.

    Args:
        model: the head model.
        seed: any non-negative integer.

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
    skin = _varied(_ramp(SKIN_TONES, tone), rng, 0.03)
    grey = rng.uniform() < np.clip((age - 40) / 35, 0.02, 0.9)
    hair = _varied(_pick(HAIR_COLOURS, rng), rng, 0.03)
    if grey:
        hair = _mix(hair, (0.75, 0.74, 0.72), float(rng.uniform(0.4, 1.0)))
    styles = _STYLES["woman" if woman else "man"]
    style = _choose(styles, rng)
    curls = float(rng.uniform() ** 2)
    volume = {"bald": 0.0, "shaved": 0.0, "short": rng.uniform(0.003, 0.012), "full": rng.uniform(0.012, 0.035)}.get(
        style, rng.uniform(0.006, 0.018)
    )
    length = float({"medium": rng.uniform(0.1, 0.5), "long": rng.uniform(0.5, 1.0)}.get(style, 0.0))
    shift = rng.uniform(0.0, 0.028) if rng.uniform() < 0.3 else -abs(rng.normal(0, 0.007 if woman else 0.012))
    beard: Beard = "none" if woman else _choose(_BEARDS, rng)
    long_beard = {"full": rng.uniform(0.003, 0.014), "goatee": rng.uniform(0.002, 0.006), "moustache": 0.003}
    lips = _mix(skin, (0.72, 0.26, 0.27), float(rng.uniform(0.25, 0.6)) * (1 - 0.4 * tone))
    if woman and rng.uniform() < 0.3:
        lips = _mix(
            lips, (float(rng.uniform(0.4, 0.8)), 0.1, float(rng.uniform(0.12, 0.3))), float(rng.uniform(0.4, 0.9))
        )
    appearance = Appearance(
        skin=skin,
        tone=tone,
        lips=lips,
        iris=_varied(_pick(EYE_COLOURS, rng), rng, 0.04),
        hair=hair,
        beard_colour=_mix(hair, (0.75, 0.74, 0.72), float(rng.uniform(0, 0.5)) if grey else 0.0),
        freckles=float(rng.uniform(0.2, 1.0)) * float(rng.uniform() < 0.15 * (1.3 - tone)),
        blush=float(rng.uniform(0.1, 0.9)),
        wrinkles=float(np.clip((age - 30) / 45 + rng.normal(0, 0.1), 0, 1)),
        blotches=float(rng.uniform(0.1, 1.0)),
        shine=float(rng.uniform(0.1, 0.9)),
        brows=float(rng.uniform(0.35, 1.0)),
        hair_style=style,
        hair_volume=float(volume),
        hair_length=length,
        hairline=float(shift),
        curls=curls,
        beard=beard,
        beard_length=float(long_beard.get(beard, 0.0)),
        pattern_seed=int(rng.integers(1 << 16)),
    )
    return Person(seed, identity, appearance)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    r, g, b = ((1 - share) * x + share * y for x, y in zip(first, second, strict=True))
    return r, g, b


def _varied(colour: Colour, rng: np.random.Generator, amount: float) -> Colour:
    """Lighter or darker by about twice the amount, a little redder or yellower."""
    tint = np.array([1.0, 0.0, -1.0]) * rng.normal(0, 0.5 * amount) + np.array([0.0, 1.0, 0.0]) * rng.normal(
        0, 0.2 * amount
    )
    r, g, b = (float(x) for x in np.clip(np.array(colour) * (1 + 2 * rng.normal(0, amount) + tint), 0.0, 1.0))
    return r, g, b


def _ramp(colours: tuple[Colour, ...], share: float) -> Colour:
    at = share * (len(colours) - 1)
    low = min(int(at), len(colours) - 2)
    return _mix(colours[low], colours[low + 1], at - low)


def _pick(table: tuple[tuple[Colour, float], ...], rng: np.random.Generator) -> Colour:
    weights = np.array([weight for _, weight in table])
    return table[int(rng.choice(len(table), p=weights / weights.sum()))][0]


def _choose(table: dict[Name, float], rng: np.random.Generator) -> Name:
    weights = np.array(list(table.values()))
    return list(table)[int(rng.choice(len(table), p=weights / weights.sum()))]
