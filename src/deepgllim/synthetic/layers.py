"""The parts of the head mesh that a scene shows: surfaces, and shells for hair, beards and hats."""

from typing import NamedTuple

from deepgllim.synthetic.mesh import Material
from deepgllim.synthetic.scene import Scene


class Shell(NamedTuple):
    """A material that is drawn once for each of its layers.

    Attributes:
        material: material, which selects triangles and shader.
        layers: heights of the layers, from 1, the outermost, to 0, on the skin.
        thickness: height of the outermost layer above the skin, metres.
    """

    material: Material
    layers: tuple[float, ...] = (0.0,)
    thickness: float = 0.0


BODY = tuple(map(Shell, (Material.SKIN, Material.MOUTH, Material.TEETH, Material.EYE, Material.LASHES)))
TWO_SIDED = {Material.CURTAIN, Material.SCARF, Material.MOUTH, Material.LASHES}
"""Materials whose back faces are visible."""

_PRESSED = 0.007  # thickness of hair under a hat, metres


def shells(scene: Scene) -> list[Shell]:
    """Return the shells of a scene from the outside to the inside, so that hidden fragments are not shaded."""
    look, wear = scene.person.appearance, scene.wear
    beard = [Shell(Material.BEARD, (1.0, 0.7, 0.4), look.beard_length)] if look.beard_length > 0 else []
    if wear.hat == "scarf":
        return [Shell(Material.SCARF), Shell(Material.HAT, (1.0,), 0.012), *beard, *BODY]
    outer = []
    volume = look.hair_volume if wear.hat == "none" else min(look.hair_volume, _PRESSED)
    if wear.hat != "none":
        outer.append(Shell(Material.HAT, (1.0,), hat_thickness(scene)))
    if look.hair_style in ("medium", "long"):
        outer.append(Shell(Material.CURTAIN, (0.0,), volume))
    if volume > 0:
        fine = look.curls > 0.3 or volume > 0.015
        outer.append(Shell(Material.HAIR, (1.0, 0.75, 0.45) if fine else (1.0, 0.6), volume))
    return [*outer, *beard, *BODY]


def hat_thickness(scene: Scene) -> float:
    """Return the distance between skin and hat, metres."""
    below = 1.4 * min(scene.person.appearance.hair_volume, _PRESSED)
    return 0.006 + below + (0.008 if scene.wear.hat == "beanie" else 0.0)
