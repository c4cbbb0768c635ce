"""The rendered heads of the model in the package: people to learn from, and other people to calibrate and test on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepgllim.data import Manifest
from deepgllim.geometry import NECK_ANGLES
from experiments.rendered import Heads, boxed_faces

HEADS = Heads("wide", images=30_000, identities=15_000, size=192, seed=15)
QUICK = Heads("wide", images=160, identities=80, size=64, seed=15)

HELD_OUT = 1 / 15
"""Share of the people that the network is not trained on."""


class RenderedPeople(NamedTuple):
    """Rendered pictures of the people to learn from, and of other people."""

    training: Manifest
    held_out: Manifest


def rendered_people(work: Path, quick: bool = False) -> RenderedPeople:
    """Render the set below a folder if it is absent, and divide its people at random."""
    manifest = boxed_faces(QUICK if quick else HEADS, work, NECK_ANGLES)
    subjects = manifest.subjects.astype(str)
    people = np.unique(subjects)
    np.random.default_rng(0).shuffle(people)
    held_out = np.isin(subjects, people[: round(HELD_OUT * len(people))])
    return RenderedPeople(manifest.subset(~held_out), manifest.subset(held_out))
