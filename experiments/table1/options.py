"""The options that all jobs of table 1 share, and the folds of people."""

import argparse
import importlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepgllim.data import Manifest, load_data, split_by_subject, subject_folds

FOLDS = 5
VALIDATION = 0.2
"""Share of the training people that validate, drawn by the seed."""
SEEDS = (0, 1, 2)
QUICK_PICTURES = 60


class Options(NamedTuple):
    """The options of the command line, in a form that can be pickled.

    Attributes:
        source: source of the faces.
        work: folder for features and predictions.
        quick: use few pictures and one epoch.
        backbone, weights, preprocessing: the network that is frozen or fine-tuned, see `build_backbone`.
        vgg: file of VGG-16's convolutions, for its rows.
        frozen_size: side of the crops that frozen features are computed from, pixels.
        vgg_size: side of the crops that VGG-16 is fine-tuned on, pixels.
    """

    source: str
    work: Path
    quick: bool = False
    backbone: str = "efficientnet_lite0"
    weights: str = "imagenet"
    preprocessing: str | None = None
    vgg: str | None = None
    frozen_size: int = 96
    vgg_size: int = 96


class FoldFaces(NamedTuple):
    """The faces of one fold and seed; a person is in one part only."""

    training: Manifest
    validation: Manifest
    test: Manifest


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options of table 1 to a parser."""
    parser.add_argument("--backbone", default="efficientnet_lite0", help="network that is frozen or fine-tuned")
    parser.add_argument("--weights", default="imagenet", help="imagenet, or a weights file")
    parser.add_argument("--preprocessing", help="preprocessing of a weights file that names none: caffe or torchvision")
    parser.add_argument("--vgg", help="weights file of VGG-16 with Caffe's preprocessing; adds its rows")
    parser.add_argument("--frozen-size", type=int, default=96, help="side of the crops of frozen features, pixels")
    parser.add_argument(
        "--vgg-size", type=int, default=96, help="side of the crops that VGG-16 is fine-tuned on, pixels"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds of the final fits")
    parser.add_argument("--methods", nargs="*", help="rows to make; all by default")
    return parser


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the options that the jobs need."""
    given = {name: getattr(arguments, name) for name in Options._fields if name != "source"}
    return Options(source=arguments.data, **given)


@lru_cache(maxsize=1)
def faces(source: str, quick: bool) -> Manifest:
    """Return all faces, with their numbers in the column `row`; with `quick`, sixty evenly spaced ones."""
    manifest = load_data(source)
    if quick:
        manifest = manifest.subset(np.unique(np.linspace(0, len(manifest) - 1, QUICK_PICTURES).astype(int)))
    return Manifest(manifest.frame.assign(row=np.arange(len(manifest))), manifest.targets)


def rows(manifest: Manifest) -> list[int]:
    """Return the numbers of the faces of a part in the whole table."""
    return [int(row) for row in manifest.frame["row"]]


def folds(options: Options) -> list[tuple[Manifest, Manifest]]:
    """Return (training, test) of each fold: three videos each for Biwi, as in the paper; else whole people."""
    manifest = faces(options.source, options.quick)
    if options.source.startswith("biwi:"):
        found: list[tuple[Manifest, Manifest]] = importlib.import_module("deepgllim.data.protocols").video_folds(
            manifest
        )
        return found
    return subject_folds(manifest, FOLDS, seed=0)


def split(options: Options, fold: int, seed: int) -> FoldFaces:
    """Return the faces of a job; folds are the same for all seeds, validation people are not."""
    training, test = folds(options)[fold]
    return FoldFaces(*split_by_subject(training, VALIDATION, seed), test)
