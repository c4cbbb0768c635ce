"""The uniforms of the shaders for a scene."""

from typing import Any

from deepgllim.synthetic.people import Colour
from deepgllim.synthetic.scene import Scene

Uniforms = dict[str, Any]
"""Values of uniforms by name."""

_BEARDS = {"none": 0, "stubble": 0, "moustache": 1, "goatee": 2, "full": 3}
_PATTERNS = {"plain": 0, "stripes": 1, "checks": 2}


def scene_uniforms(scene: Scene) -> Uniforms:
    """Return the uniforms of a scene by name; colours are linear."""
    look, wear, lights = scene.person.appearance, scene.wear, scene.lights
    unlit = [(0.0, 0.0, 0.0)] * (3 - len(lights))
    shaved = {"shaved": 0.75, "bald": 0.0}.get(look.hair_style, 1.0)
    return {
        "skin": srgb_to_linear(look.skin),
        "lip_colour": srgb_to_linear(look.lips),
        "iris": srgb_to_linear(look.iris),
        "hair": srgb_to_linear(look.hair),
        "beard_colour": srgb_to_linear(look.beard_colour),
        "tone": look.tone,
        "freckles": look.freckles,
        "blush": look.blush,
        "wrinkles": look.wrinkles,
        "blotches": look.blotches,
        "shine": look.shine,
        "brows": look.brows,
        "stubble": 0.45 if look.beard == "stubble" else 0.0,
        "shaved": 0.0 if wear.hat == "scarf" else shaved,
        "bald": float(look.hair_style == "bald"),
        "beard_form": _BEARDS[look.beard],
        "hair_length": look.hair_length,
        "curls": look.curls,
        "line_shift": look.hairline,
        "pattern_seed": float(look.pattern_seed),
        "cloth": srgb_to_linear(wear.cloth),
        "cloth_second": srgb_to_linear(wear.cloth_second),
        "cloth_pattern": _PATTERNS[wear.pattern],
        "neck_shift": wear.neckline,
        "hat_colour": srgb_to_linear(wear.hat_colour),
        "light_position": [light.position for light in lights] + unlit,
        "light_colour": [light.colour for light in lights] + unlit,
        "light_count": len(lights),
        "ambient_above": scene.ambient[0],
        "ambient_below": scene.ambient[1],
        "exposure": scene.capture.exposure,
    }


def srgb_to_linear(colour: Colour) -> Colour:
    """Convert a colour from sRGB to linear light, approximately, with the exponent 2.2.

    Example:
        >>> srgb_to_linear((1.0, 0.0, 1.0))
        (1.0, 0.0, 1.0)
    """
    r, g, b = (c**2.2 for c in colour)
    return r, g, b
