"""What all jobs of table 1 share, and the people of each: folds, and those held out for validation."""

import argparse
import importlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepgllim.data import Manifest, load_data, split_by_subject, subject_folds

FOLDS = 5
VALIDATION = 0.2
"""Share of the training people, drawn by the seed."""
SEEDS = (0, 1, 2)
QUICK_PICTURES = 60


class Options(NamedTuple):
    """The command line, in a form that processes can be sent.

    Attributes:
        source: of the faces.
        work: folder of features and predictions.
        quick: few pictures, one epoch.
        backbone, weights, preprocessing: of the network, frozen or fine-tuned.
        vgg: file of VGG-16's convolutions, for more rows of frozen features.
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
    """The faces of one fold and seed: no person is in two of them."""

    training: Manifest
    validation: Manifest
    test: Manifest


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Those of table 1 alone."""
    parser.add_argument("--backbone", default="efficientnet_lite0", help="network that is frozen or fine-tuned")
    parser.add_argument("--weights", default="imagenet", help="imagenet, or a weights file")
    parser.add_argument("--preprocessing", help="of a weights file that does not name its own: caffe, torchvision")
    parser.add_argument("--vgg", help="weights file of VGG-16 in Caffe's preprocessing: adds its rows")
    parser.add_argument("--frozen-size", type=int, default=96, help="pixels of the crops of frozen features")
    parser.add_argument("--vgg-size", type=int, default=96, help="pixels of the crops that VGG-16 is fine-tuned on")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds of the final fits")
    parser.add_argument("--methods", nargs="*", help="rows to make; all of them by default")
    return parser


def options_of(arguments: argparse.Namespace) -> Options:
    """The command line's share that the jobs need."""
    given = {name: getattr(arguments, name) for name in Options._fields if name != "source"}
    return Options(source=arguments.data, **given)


@lru_cache(maxsize=1)
def faces(source: str, quick: bool) -> Manifest:
    """All faces, numbered in the column `row`; with `quick`, some sixty of them, evenly from the table."""
    manifest = load_data(source)
    if quick:
        manifest = manifest.subset(np.unique(np.linspace(0, len(manifest) - 1, QUICK_PICTURES).astype(int)))
    return Manifest(manifest.frame.assign(row=np.arange(len(manifest))), manifest.targets)


def rows(manifest: Manifest) -> list[int]:
    """The numbers of a part's faces in the whole table."""
    return [int(row) for row in manifest.frame["row"]]


def folds(options: Options) -> list[tuple[Manifest, Manifest]]:
    """(train, test): Biwi's as the paper has them, three videos each; of other data, five of whole people."""
    manifest = faces(options.source, options.quick)
    if options.source.startswith("biwi:"):
        found: list[tuple[Manifest, Manifest]] = importlib.import_module("deepgllim.data.protocols").video_folds(
            manifest
        )
        return found
    return subject_folds(manifest, FOLDS, seed=0)


def split(options: Options, fold: int, seed: int) -> FoldFaces:
    """The people of a job: the folds are the same for every seed, who validates is not."""
    training, test = folds(options)[fold]
    return FoldFaces(*split_by_subject(training, VALIDATION, seed), test)
