"""What is drawn of the head's mesh in a scene: materials, and the shells that stand for hair, beards and hats."""

from typing import NamedTuple

from deepgllim.synthetic.mesh import Material
from deepgllim.synthetic.scene import Scene


class Shell(NamedTuple):
    """One material, drawn once for each of its layers.

    Attributes:
        material: which triangles and shader.
        layers: from 1, the outermost, to 0, on the skin.
        thickness: of the outermost layer, metres.
    """

    material: Material
    layers: tuple[float, ...] = (0.0,)
    thickness: float = 0.0


BODY = tuple(map(Shell, (Material.SKIN, Material.MOUTH, Material.TEETH, Material.EYE, Material.LASHES)))
OPEN = {Material.CURTAIN, Material.SCARF, Material.MOUTH, Material.LASHES}
"""Surfaces whose inside can be seen."""

_PRESSED = 0.007  # metres of hair under a hat


def shells(scene: Scene) -> list[Shell]:
    """What is drawn, from the outside to the inside: what is hidden then costs little."""
    look, wear = scene.person.appearance, scene.wear
    beard = [Shell(Material.BEARD, (1.0, 0.7, 0.4), look.beard_length)] if look.beard_length > 0 else []
    if wear.hat == "scarf":
        return [Shell(Material.SCARF), Shell(Material.HAT, (1.0,), 0.012), *beard, *BODY]
    drawn = []
    volume = look.hair_volume if wear.hat == "none" else min(look.hair_volume, _PRESSED)
    if wear.hat != "none":
        drawn.append(Shell(Material.HAT, (1.0,), hat_thickness(scene)))
    if look.hair_style in ("medium", "long"):
        drawn.append(Shell(Material.CURTAIN, (0.0,), volume))
    if volume > 0:
        fine = look.curls > 0.3 or volume > 0.015
        drawn.append(Shell(Material.HAIR, (1.0, 0.75, 0.45) if fine else (1.0, 0.6), volume))
    return [*drawn, *beard, *BODY]


def hat_thickness(scene: Scene) -> float:
    """Metres from the skin to the hat."""
    below = 1.4 * min(scene.person.appearance.hair_volume, _PRESSED)
    return 0.006 + below + (0.008 if scene.wear.hat == "beanie" else 0.0)
