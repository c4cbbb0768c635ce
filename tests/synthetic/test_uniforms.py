"""The uniforms of the shaders: all that they declare, with colours in linear light."""

import re
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.synthetic import Light, Wear
from deepgllim.synthetic.gl import _SHADERS
from deepgllim.synthetic.people import Beard, HairStyle
from deepgllim.synthetic.uniforms import scene_uniforms, srgb_to_linear
from tests.synthetic.scenes import PLAIN_WEAR, frontal, mean_person, properties

# what the renderer sets itself: textures' places, matrices, a shell's layer, a prop's colour
RENDERER = {
    "curves", "shadow_map", "picture", "noise_volume", "surface_position", "surface_rest", "surface_normal",
    "projection", "shadow_projection", "volume", "layer", "prop_colour", "opacity",
}  # fmt: skip


def declared() -> set[str]:
    source = "\n".join(path.read_text(encoding="utf-8") for path in _SHADERS.iterdir())
    lists = re.findall(r"^\s*uniform\s+\w+\s+([^;]+);", source, flags=re.MULTILINE)
    return {re.sub(r"\[.*", "", name).strip() for names in lists for name in names.split(",")}


def test_the_values_are_those_of_all_declared_uniforms() -> None:
    assert declared() == set(scene_uniforms(frontal())) | RENDERER


@properties
@given(st.floats(0, 1), st.floats(0, 1))
def test_light_is_monotone_in_a_stored_level(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert 0 <= srgb_to_linear((low, 0, 0))[0] <= srgb_to_linear((high, 0, 0))[0] <= 1
    assert srgb_to_linear((low, high, first))[1] ** (1 / 2.2) == pytest.approx(high)  # as the shaders store it


def test_lights_are_padded_to_three_dark_ones() -> None:
    lamp = Light((1.0, 2.0, 3.0), (0.4, 0.5, 0.6))
    for count in (1, 2, 3):
        values = scene_uniforms(frontal(lights=(lamp,) * count))
        assert values["light_count"] == count
        assert np.shape(values["light_position"]) == np.shape(values["light_colour"]) == (3, 3)
        assert values["light_colour"] == [lamp.colour] * count + [(0.0, 0.0, 0.0)] * (3 - count)
        assert values["light_position"][:count] == [lamp.position] * count


@pytest.mark.parametrize("beard", get_args(Beard))
def test_every_beard_has_a_form_or_stubble(beard: Beard) -> None:
    values = scene_uniforms(frontal(person=mean_person(beard=beard)))
    assert (values["beard_form"] > 0 or values["stubble"] > 0) == (beard != "none")
    assert values["beard_form"] == {"none": 0, "stubble": 0, "moustache": 1, "goatee": 2, "full": 3}[beard]


def test_the_scalp_is_tinted_unless_it_is_bald_or_under_a_scarf() -> None:
    tint = {
        style: scene_uniforms(frontal(person=mean_person(hair_style=style)))["shaved"] for style in get_args(HairStyle)
    }
    assert tint["bald"] == 0 < tint["shaved"] < tint["short"] == tint["long"]
    scarf = frontal(person=mean_person(hair_style="full"), wear=replace(PLAIN_WEAR, hat="scarf"))
    assert scene_uniforms(scarf)["shaved"] == 0


def test_every_pattern_has_a_number() -> None:
    patterns = get_args(get_type_hints(Wear)["pattern"])
    numbers = [
        scene_uniforms(frontal(wear=replace(PLAIN_WEAR, pattern=pattern)))["cloth_pattern"] for pattern in patterns
    ]
    assert sorted(numbers) == [0, 1, 2]
    assert numbers[patterns.index("plain")] == 0
