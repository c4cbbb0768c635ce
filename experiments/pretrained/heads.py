"""Rendered heads: those to learn from, other people to judge on, and the network that has seen nothing else."""

from pathlib import Path

from deepgllim.data import Manifest
from deepgllim.geometry.rotations import NECK_ANGLES
from deepgllim.nn.config import load_recipe
from experiments.rendered import Heads, faces, trained
from experiments.synthetic_to_real.__main__ import HERE as SYNTHETIC
from experiments.synthetic_to_real.__main__ import MAIN, OTHERS

FIRST = MAIN
BESIDE = 3000
"""Of the rendered pictures, those that the last training sees beside the photographs."""

__all__ = ["FIRST", "OTHERS", "first_network", "rendered"]


def small(heads: Heads, quick: bool) -> Heads:
    """A set, or a smoke run's."""
    return heads._replace(images=80, identities=20, size=32) if quick else heads


def rendered(heads: Heads, work: Path, quick: bool) -> Manifest:
    """The pictures of a set that the last training, or the judge, sees."""
    manifest = faces(small(heads, quick), work, NECK_ANGLES)
    step = max(1, len(manifest) // BESIDE)
    return manifest.subset(list(range(0, len(manifest), step)))


def first_network(work: Path, quick: bool) -> Path:
    """The file of the network trained on rendered heads alone; trained if it is not there."""
    recipe = load_recipe(str(SYNTHETIC / "recipe.toml"))
    if quick:
        recipe = recipe.override({"schedule.rounds": 1, "data.image_size": 32})
    heads, others = small(FIRST, quick), small(OTHERS, quick)
    folder = work / f"{heads.folder}_train0"
    trained(recipe, faces(heads, work, NECK_ANGLES), faces(others, work, NECK_ANGLES), folder)
    return folder / "model.safetensors"
