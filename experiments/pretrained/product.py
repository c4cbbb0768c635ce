"""The exported model: calibration, density of early maps, threshold of log p(x), and which pictures it accepts."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from deepgllim import __version__
from deepgllim.data import Manifest, load_data
from deepgllim.imaging import crop_face, open_image
from deepgllim.metrics import area_under_roc
from deepgllim.nn import AugmentationConfig, DeepRegression, Recipe, export_onnx
from deepgllim.nn.export.map_density import map_statistics, write_with_map_density
from deepgllim.nn.map_density import fit_map_density
from deepgllim.pose import PoseNetwork, write_metadata
from deepgllim.pose.detection import make_detector
from deepgllim.runs import face_inputs
from experiments.pretrained import unknown
from experiments.pretrained.judging import FoldPredictions, calibrated, coverage

Pixels = NDArray[np.uint8]

BOXES = "rendered"
"""Kind of the face boxes that the network expects from a detector."""

ACTIVATIONS = (2, 14, 22)
"""Indices of the activations whose means and deviations describe colours and textures: of one block in each of the
first three stages, 112 channels."""

KNOWN = 0.95
"""Share of the faces left out, of each kind, that are above the threshold of log p(x)."""

PEOPLE_A_GROUP = 20
"""Number of rendered people in a group of the calibration; fewer if there would be less than four groups."""

LEFT_OUT_PORTRAITS = 5
"""Portraits whose number is divisible by this are left out of all that is fitted, for the evaluation of log p(x)."""

STEP = 9
"""Step between the photographs of Pointing'04 that are used."""

NOTES: dict[str, Any] = {
    "name": "headpose",
    "boxes": BOXES,
    "data": "rendered heads (deepgllim.synthetic, set wide), public-domain portraits turned in space, Pointing'04",
    "backbone": "FaceMesh V2 (Google, Apache-2.0), trained further",
    "license": "Apache-2.0",
    "recipe": "experiments/pretrained",
}


def is_left_out(portrait: str) -> bool:
    """Return whether the person of a portrait, "portrait 0005", is left out of all that is fitted.

    Example:
        >>> is_left_out("portrait 0005"), is_left_out("portrait 0006")
        (True, False)
    """
    return int(portrait.split()[-1]) % LEFT_OUT_PORTRAITS == 0


def export(
    model: DeepRegression, held_out: FoldPredictions, path: Path, photographs: FoldPredictions | None = None
) -> Path:
    """Write a model to an ONNX file, calibrated by predictions for people left out.

    Args:
        model: the model.
        held_out: predictions for rendered people.
        path: file to write.
        photographs: predictions for people in photographs; each has the weight of a group of 20 rendered people.
    """
    found = in_groups(held_out)
    if photographs is not None:
        found = FoldPredictions.joined([found, photographs])
    calibration = calibrated(found).to_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    return export_onnx(model, path, calibration=calibration, notes=NOTES | {"deepgllim": __version__})


def in_groups(found: FoldPredictions) -> FoldPredictions:
    """Return predictions whose subjects are groups of people."""
    names = np.unique(found.subjects)
    size = min(PEOPLE_A_GROUP, max(1, len(names) // 4))
    number = {name: i // size for i, name in enumerate(names)}
    return found._replace(subjects=np.array([f"group {number[name]}" for name in found.subjects]))


def rendered_coverage(found: FoldPredictions) -> pd.DataFrame:
    """Return the coverage of the regions on rendered people, each half calibrated by the other."""
    grouped = in_groups(found)
    even = np.array([int(name.split()[1]) % 2 == 0 for name in grouped.subjects])
    halves = [FoldPredictions(*(column[rows] for column in grouped)) for rows in (even, ~even)]
    return coverage(halves, lambda subjects: np.full(len(subjects), True))


def photographs(
    portraits: Path | None, pointing04: Path | None, apart: set[str]
) -> tuple[dict[str, Manifest], dict[str, Manifest]]:
    """Return photographs that the density of maps is fitted to, and photographs of other people, by kind.

    Args:
        portraits: folder of portraits of different people.
        pointing04: folder of Pointing'04.
        apart: its people that are left out.
    """
    learning: dict[str, Manifest] = {}
    left_out: dict[str, Manifest] = {}
    if portraits is not None:
        people = portrait_manifest(portraits)
        others = np.array([is_left_out(str(name)) for name in people.subjects])
        learning["portraits"], left_out["portraits"] = people.subset(~others), people.subset(others)
    if pointing04 is not None:
        faces = load_data(f"pointing04:{pointing04}")
        others = np.isin(faces.subjects.astype(str), sorted(apart))
        learning["photographs"] = faces.subset(np.flatnonzero(~others)[::STEP])
        left_out["photographs"] = faces.subset(np.flatnonzero(others)[::STEP])
    return learning, left_out


def portrait_manifest(folder: Path) -> Manifest:
    """Return the pictures of a folder, each of another person, without labels."""
    blank = dict.fromkeys(("x0", "y0", "x1", "y1", "pitch"), np.nan)
    paths = sorted(folder.glob("*.jpg"))
    return Manifest(pd.DataFrame([{"path": str(p), "subject": p.stem, **blank} for p in paths]), ("pitch",))


def detected_crops(manifest: Manifest, margin: float, size: int) -> Pixels:
    """Return the crop of the best-scored face of each picture in which the detector finds one."""
    detector, found = make_detector(boxes=BOXES), []
    for path in manifest.paths:
        picture = open_image(path)
        faces = detector.detect(picture)
        if faces:
            found.append(crop_face(picture, faces[0].box, margin, size))
    return np.stack(found)


def rendered_crops(heads: Manifest, recipe: Recipe) -> tuple[Pixels, Pixels]:
    """Return crops of rendered heads for the density of maps, and crops of other people.

    The former have a copy with the augmentation of the training, whose light, colours and noise vary more than those of
    the photographs.
    """
    people = np.unique(heads.subjects.astype(str))
    first = np.isin(heads.subjects.astype(str), people[::2])
    inputs = face_inputs(heads.subset(first), recipe.data, recipe.augmentation, recipe.schedule.seed)
    others = face_inputs(heads.subset(~first), recipe.data, AugmentationConfig.off())
    versions = [inputs[i, epoch][0].numpy() for epoch in (None, 0) for i in range(len(inputs))]
    return np.stack(versions), np.stack([others[i, None][0].numpy() for i in range(len(others))])


def add_density(path: Path, learning: list[Pixels], left_out: list[Pixels]) -> None:
    """Add the density of early maps to an exported model, and set the threshold of log p(x).

    Args:
        path: the exported model, which is replaced.
        learning: crops of faces, which the density is fitted to, by kind.
        left_out: crops of other people by kind; of each kind, the share `KNOWN` is above the threshold.
    """
    proto = onnx.load(str(path))
    maps = [activations(proto)[index] for index in ACTIVATIONS]
    statistics = map_statistics(proto, maps, np.concatenate(learning))
    write_with_map_density(path, path, fit_map_density(statistics), maps)
    network = PoseNetwork(path, threads=1)
    threshold = min(float(np.quantile(log_density(network, pixels), 1 - KNOWN)) for pixels in left_out)
    calibration = dict(network.spec.calibration or {}) | {"log_density_threshold": threshold}
    write_metadata(path, path, network.spec._replace(calibration=calibration))


def activations(proto: Any) -> list[str]:
    """Return the names of the outputs of the activations of the backbone in an exported graph, in order."""
    return [str(node.output[0]) for node in proto.graph.node if re.fullmatch(r"backbone/node_prelu(_\d+)?", node.name)]


def log_density(network: PoseNetwork, pixels: Pixels) -> NDArray[np.float64]:
    """Return log p(x) of crops."""
    found = network(pixels).log_density
    assert found is not None
    return found


def accepted(path: Path, faces: dict[str, Pixels], surroundings: Manifest | None, count: int = 150) -> pd.DataFrame:
    """Return the share of pictures above the threshold of log p(x), by kind, and the AUROC of those without faces.

    Args:
        path: the exported model.
        faces: crops of faces that nothing was fitted to, by kind.
        surroundings: photographs whose walls and shirts are pictures without a face.
        count: number of backs of heads; of other kinds there are up to twice as many.
    """
    network = PoseNetwork(path, threads=1)
    assert network.spec.calibration is not None
    threshold, size = network.spec.calibration["log_density_threshold"], network.spec.image_size
    others = unknown.all_kinds(surroundings, count, size, network.spec.margin)
    scores = {kind: log_density(network, pixels) for kind, pixels in (faces | others).items()}
    known = np.concatenate([scores[kind] for kind in faces])
    rows = []
    for kind, values in scores.items():
        auroc = float(area_under_roc(known, values)) if kind in others else np.nan
        share = float((values >= threshold).mean())
        rows.append({"pictures": kind, "n": len(values), "accepted": share, "auroc": auroc})
    return pd.DataFrame(rows)
