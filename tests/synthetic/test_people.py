"""Random people: reproducible, within all ranges, of every kind, with a skin tone independent of the ancestry."""

from dataclasses import asdict
from typing import get_args

import numpy as np
import pytest

from deepgllim.synthetic import Person, load_head_model, random_person
from deepgllim.synthetic.people import SKIN_TONES, Beard, Colour, HairStyle
from tests.synthetic.scenes import assert_same

SHARES = ("african", "asian", "caucasian")
IN_UNIT = ("tone", "freckles", "blush", "wrinkles", "blotches", "shine", "hair_length", "curls")


@pytest.fixture(scope="module")
def people() -> list[Person]:
    model = load_head_model()
    return [random_person(model, seed) for seed in range(500)]


def is_woman(person: Person) -> bool:
    return person.identity.attributes["gender"] > 0.5


def colours(person: Person) -> list[Colour]:
    look = person.appearance
    return [look.skin, look.lips, look.iris, look.hair, look.beard_colour]


def test_the_same_seed_is_the_same_person(people: list[Person]) -> None:
    for seed in (499, 3, 0):  # in another order
        assert_same(random_person(load_head_model(), seed), people[seed])
    assert [person.seed for person in people] == list(range(500))


def test_no_two_seeds_are_the_same_person(people: list[Person]) -> None:
    z = np.stack([person.identity.coefficients for person in people])
    squared = (z**2).sum(axis=1)
    apart = np.sqrt((squared[:, None] + squared[None] - 2 * z @ z.T).clip(0)) + 1e3 * np.eye(len(z))
    assert apart.min() > 4.0  # of 14, which two of N(0, I) of 100 components are apart; a bank's twins share 0.8
    assert len({tuple(np.ravel(colours(person))) for person in people}) == len(people)
    assert len({person.appearance.pattern_seed for person in people}) > 490  # of 65,536


def test_every_value_is_within_its_range(people: list[Person]) -> None:
    for person in people:
        look = asdict(person.appearance)
        assert all(0 <= look[name] <= 1 for name in IN_UNIT)
        assert 0.3 <= look["brows"] <= 1
        assert np.min(colours(person)) >= 0 and np.max(colours(person)) <= 1  # noqa: PT018
        assert look["hair_style"] in get_args(HairStyle)
        assert look["beard"] in get_args(Beard)
        assert 0 <= look["hair_volume"] <= 0.035
        assert -0.06 < look["hairline"] <= 0.028  # a receding one is |N(0, 0.012)|, 5 standard deviations at most
        assert 0 <= look["beard_length"] <= 0.014
        assert 0 <= look["pattern_seed"] < 1 << 16


def test_hair_is_as_its_style_says(people: list[Person]) -> None:
    for look in (person.appearance for person in people):
        assert (look.hair_volume > 0) == (look.hair_style not in ("bald", "shaved"))
        assert (look.hair_length > 0) == (look.hair_style in ("medium", "long"))
    volume = {
        style: [p.appearance.hair_volume for p in people if p.appearance.hair_style == style]
        for style in ("short", "full")
    }
    assert max(volume["short"]) <= min(volume["full"])
    length = {
        style: [p.appearance.hair_length for p in people if p.appearance.hair_style == style]
        for style in ("medium", "long")
    }
    assert max(length["medium"]) <= min(length["long"])


def test_women_have_no_beards_and_men_have_all(people: list[Person]) -> None:
    women = [person.appearance for person in people if is_woman(person)]
    men = [person.appearance for person in people if not is_woman(person)]
    assert min(len(women), len(men)) > 150
    assert {look.beard for look in women} == {"none"}
    assert {look.beard for look in men} == set(get_args(Beard))
    for look in women + men:
        assert (look.beard_length > 0) == (look.beard in ("moustache", "goatee", "full"))


def test_men_and_women_wear_every_style(people: list[Person]) -> None:
    for woman in (True, False):
        styles = {person.appearance.hair_style for person in people if is_woman(person) == woman}
        assert styles == set(get_args(HairStyle))


def test_the_skin_tone_is_independent_of_the_ancestry(people: list[Person]) -> None:
    tone = [person.appearance.tone for person in people]
    for name in SHARES:
        share = [person.identity.attributes[name] for person in people]
        assert abs(np.corrcoef(tone, share)[0, 1]) < 0.13  # 3 / √500


def test_tones_cover_the_range_and_darken_the_skin(people: list[Person]) -> None:
    tone = np.array([person.appearance.tone for person in people])
    light = np.array([np.mean(person.appearance.skin) for person in people])
    np.testing.assert_allclose(np.quantile(tone, [0, 0.25, 0.5, 0.75, 1]), [0, 0.25, 0.5, 0.75, 1], atol=0.06)
    assert np.corrcoef(tone, light)[0, 1] < -0.95
    # about that of the ramp's ends: a person is up to 6 % lighter or darker
    assert np.mean(SKIN_TONES[0]) == pytest.approx(light[tone < 0.03].mean(), rel=0.1)
    assert np.mean(SKIN_TONES[-1]) == pytest.approx(light[tone > 0.97].mean(), rel=0.2)


def test_the_old_are_grey_and_wrinkled(people: list[Person]) -> None:
    age = np.array([person.identity.attributes["age"] for person in people])
    light = np.array([np.mean(person.appearance.hair) for person in people])
    wrinkles = np.array([person.appearance.wrinkles for person in people])
    young, old = age < 35, age > 65
    assert min(young.sum(), old.sum()) > 40
    assert light[old].mean() > light[young].mean() + 0.15
    assert wrinkles[old].min() > wrinkles[young].mean()
