"""Rendered heads for training and testing, and the network that is trained on them only."""

from pathlib import Path

from deepgllim.data import Manifest
from deepgllim.geometry import NECK_ANGLES
from deepgllim.nn import load_recipe
from experiments.rendered import Heads, faces, trained
from experiments.synthetic_to_real.__main__ import HERE as SYNTHETIC
from experiments.synthetic_to_real.__main__ import MAIN, OTHERS

FIRST = MAIN
RENDERED_COUNT = 3000
"""Number of rendered pictures in the final training."""

__all__ = ["FIRST", "OTHERS", "first_network", "rendered"]


def small(heads: Heads, quick: bool) -> Heads:
    """Return the set, reduced for a smoke test with `quick`."""
    return heads._replace(images=40, identities=10, size=32) if quick else heads


def rendered(heads: Heads, work: Path, quick: bool) -> Manifest:
    """Return the pictures of a set that the final training or the evaluation uses."""
    manifest = faces(small(heads, quick), work, NECK_ANGLES)
    step = max(1, len(manifest) // RENDERED_COUNT)
    return manifest.subset(list(range(0, len(manifest), step)))


def first_network(work: Path, quick: bool) -> Path:
    """Return the file of the network of rendered heads only; train it first if it is absent."""
    recipe = load_recipe(str(SYNTHETIC / "recipe.toml"))
    if quick:
        recipe = recipe.override({"schedule.rounds": 1, "data.image_size": 32})
    heads, others = small(FIRST, quick), small(OTHERS, quick)
    folder = work / f"{heads.folder}_train0"
    trained(recipe, faces(heads, work, NECK_ANGLES), faces(others, work, NECK_ANGLES), folder)
    return folder / "model.safetensors"
