"""Shells of a scene."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from deepgllim.synthetic import Scene
from deepgllim.synthetic.layers import BODY, Shell, hat_thickness, shells
from deepgllim.synthetic.mesh import Material
from tests.synthetic.scenes import PLAIN_WEAR, frontal, mean_person

Hat = Literal["none", "beanie", "cap", "scarf"]
LONG: dict[str, Any] = {"hair_style": "long", "hair_volume": 0.012, "hair_length": 0.8}
THICK: dict[str, Any] = {"hair_style": "full", "hair_volume": 0.03}
BEARDED: dict[str, Any] = {"beard": "full", "beard_length": 0.01}


def dressed(hat: Hat = "none", **look: Any) -> Scene:
    return frontal(person=mean_person(**look), wear=replace(PLAIN_WEAR, hat=hat))


def materials(scene: Scene) -> list[Material]:
    return [shell.material for shell in shells(scene)]


def shell_of(scene: Scene, material: Material) -> Shell:
    return next(shell for shell in shells(scene) if shell.material == material)


def test_a_bald_head_is_its_body() -> None:
    assert tuple(shells(dressed())) == BODY
    assert BODY[0].material == Material.SKIN


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (THICK, [Material.HAIR]),
        (LONG, [Material.CURTAIN, Material.HAIR]),
        (BEARDED, [Material.BEARD]),
        (LONG | BEARDED, [Material.CURTAIN, Material.HAIR, Material.BEARD]),
    ],
)
def test_hair_and_beard_are_drawn_before_the_skin_they_hide(look: dict[str, Any], expected: list[Material]) -> None:
    drawn = shells(dressed(**look))
    assert [shell.material for shell in drawn[: -len(BODY)]] == expected
    assert tuple(drawn[-len(BODY) :]) == BODY


def test_shells_begin_outermost_and_have_their_thickness() -> None:
    scene = dressed(**THICK | BEARDED)
    for material, thickness in ((Material.HAIR, 0.03), (Material.BEARD, 0.01)):
        shell = shell_of(scene, material)
        assert shell.thickness == thickness
        assert shell.layers[0] == 1
        assert list(shell.layers) == sorted(set(shell.layers), reverse=True)
        assert shell.layers[-1] > 0


def test_thick_or_curly_hair_has_more_layers_than_flat_hair() -> None:
    flat = dressed(hair_style="short", hair_volume=0.005)
    curly = dressed(hair_style="short", hair_volume=0.005, curls=0.8)
    layers = [len(shell_of(scene, Material.HAIR).layers) for scene in (flat, curly, dressed(**THICK))]
    assert layers[0] < layers[1] == layers[2]


@pytest.mark.parametrize("hat", ["beanie", "cap"])
@pytest.mark.parametrize("volume", [0.0, 0.004, 0.03])
def test_hats_cover_the_hair_that_they_press(hat: Hat, volume: float) -> None:
    scene = dressed(hat, hair_style="full", hair_volume=volume)
    assert materials(scene)[0] == Material.HAT
    pressed = shell_of(scene, Material.HAIR).thickness if volume else 0.0
    assert pressed <= min(volume, 0.007)
    assert hat_thickness(scene) > 1.35 * pressed + 0.005  # the crown's hair is 1.35 as thick (head.vert)


def test_a_beanie_is_thicker_than_a_cap() -> None:
    assert hat_thickness(dressed("beanie")) > hat_thickness(dressed("cap"))


def test_a_scarf_hides_the_hair() -> None:
    drawn = materials(dressed("scarf", **LONG))
    assert drawn[:2] == [Material.SCARF, Material.HAT]
    assert not {Material.HAIR, Material.CURTAIN} & set(drawn)
    assert set(drawn) > {shell.material for shell in BODY}
