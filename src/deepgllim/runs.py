"""Training and evaluation on photographs: functions that combine `data` and `nn`."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from deepgllim.data import (
    Manifest,
    check_images,
    drop_unreadable,
    known_subjects,
    load_data,
    split_by_subject,
    write_report,
)
from deepgllim.errors import ConfigurationError, DataError, ModelError
from deepgllim.nn.backbones import build_backbone
from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.config import AugmentationConfig, DataConfig, Recipe
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.evaluation import Predictions, compute_metrics, predict_inputs
from deepgllim.nn.export.verification import export_verified
from deepgllim.nn.inputs import FaceInputs, Inputs, fixed_copies, prepare_contexts
from deepgllim.nn.map_fitting import check_stages
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.nn.model_file import load_model
from deepgllim.nn.reporting import Reporter
from deepgllim.nn.training import TrainingResult, train
from deepgllim.pose.targets import predicted_angles
from deepgllim.storage import HOLDER, LOCK, locked_folder, remove_unfinished, unfinished, write_atomically

UNREADABLE = "unreadable.csv"
EXPORTED = "model.onnx"
CACHES = ("training.npy", "validation.npy", "copies.npy", "activations.npy")
RUN_FILES = (
    *(UNREADABLE, "recipe.json", "metrics.csv", CHECKPOINT, "model.safetensors", EXPORTED),
    *(f"cache/{name}" for name in CACHES),
)
LEFT_BY_A_FAILED_START = {UNREADABLE, "recipe.json", "cache", LOCK, HOLDER}
"""Files that a run writes before its first checkpoint; a folder with only these files counts as empty."""


class TrainingSplit(NamedTuple):
    """The faces for training, and those of other people for validation."""

    training: Manifest
    validation: Manifest | None


def split_validation(manifest: Manifest, recipe: Recipe) -> TrainingSplit:
    """Hold out the faces of some people for validation; their share is `data.validation` of the recipe.

    Raises:
        DataError: if the manifest has no subjects; the remedy is a subject column, or data.validation=0.
    """
    if recipe.data.validation == 0:
        return TrainingSplit(manifest, None)
    known_subjects(manifest, 2, "or train without validation: --set data.validation=0")
    return TrainingSplit(*split_by_subject(manifest, recipe.data.validation, recipe.schedule.seed))


def readable(manifest: Manifest, skip_unreadable: bool, report: Path | None = None) -> Manifest:
    """Return the manifest without the pictures that cannot be read.

    Args:
        manifest: the faces to check.
        skip_unreadable: leave such pictures out instead of raising an error.
        report: CSV file for the list of such pictures, with the cause of each.

    Raises:
        DataError: if there are such pictures and `skip_unreadable` is false.
    """
    broken = check_images(manifest)
    if not broken:
        return manifest
    where = ""
    if report is not None:
        write_report(broken, report)
        where = f"; all are listed in {report}"
    if not skip_unreadable:
        path, cause = broken[0]
        raise DataError(
            f"{len(broken)} of {len(manifest)} pictures cannot be read, first {path} ({cause}){where}: "
            "replace them or give --skip-unreadable"
        )
    return drop_unreadable(manifest, broken)


def face_inputs(
    manifest: Manifest,
    data: DataConfig,
    augmentation: AugmentationConfig,
    seed: int = 0,
    cache: Path | None = None,
    *,
    processes: Processes = ALONE,
) -> FaceInputs:
    """Return the crops of the faces of a manifest as network inputs."""
    contexts = prepare_contexts(manifest.paths, manifest.boxes, data, augmentation, cache, processes=processes)
    targets = torch.tensor(manifest.target_values)
    return FaceInputs(contexts, targets, manifest.targets, data.image_size, augmentation, seed)


def training_inputs(
    manifest: Manifest, recipe: Recipe, cache: Path | None = None, *, processes: Processes = ALONE
) -> Inputs:
    """Return the training inputs of a recipe: augmented differently in every epoch, or in fixed copies.

    Args:
        manifest: the training faces.
        recipe: recipe of the training, with image size, augmentation, seed and number of copies.
        cache: folder for the crops; with None they are kept in memory.
        processes: with a folder, each reads its share of the pictures.
    """
    file = None if cache is None else cache / "training.npy"
    seed = recipe.schedule.seed
    inputs = face_inputs(manifest, recipe.data, recipe.augmentation, seed, file, processes=processes)
    return copied(inputs, recipe, cache, processes=processes)


def copied(inputs: Inputs, recipe: Recipe, cache: Path | None = None, *, processes: Processes = ALONE) -> Inputs:
    """Return the fixed augmented copies of the inputs, or the inputs if the recipe has no copies."""
    if recipe.schedule.fixed_copies == 0:
        return inputs
    file = None if cache is None else cache / "copies.npy"
    return fixed_copies(inputs, recipe.schedule.fixed_copies, file, processes=processes)


def build_model(recipe: Recipe, targets: tuple[str, ...]) -> DeepRegression:
    """Return the untrained model of a recipe: a pretrained backbone with a new projection and head.

    Args:
        recipe: all options.
        targets: names of the targets.

    Raises:
        ModelError: if the backbone is unknown, or the weights file does not fit it.
        ConfigurationError: if more stages are to be frozen, or precede the density of maps, than the backbone has.
    """
    network = recipe.network
    options: dict[str, Any] = {"normalisation": network.backbone_norm}
    source: dict[str, Any] = {"weights": network.weights, "preprocessing": network.preprocessing, "head": network.head}
    torch.manual_seed(recipe.schedule.seed)  # for the weights that are initialised at random
    backbone = build_backbone(network.backbone, **source, **options)
    deepest, stages = max(network.frozen_depths), len(backbone.stages)
    if deepest > stages:
        raise ConfigurationError(f"network.frozen_depths has {deepest}: {network.backbone} has {stages} stages")
    check_stages(recipe, stages)
    spec = ModelSpec(
        backbone=network.backbone,
        backbone_options=options | {"head": backbone.head},
        projection=network.projection,
        affine_norm=network.affine_norm,
        head=recipe.objective.name,
        targets=targets,
        image_size=recipe.data.image_size,
        margin=recipe.data.margin,
    )
    return DeepRegression(spec, backbone)


def train_run(
    source: str | Manifest,
    recipe: Recipe,
    output: Path,
    *,
    resume: bool = False,
    skip_unreadable: bool = False,
    reporter: Reporter | None = None,
    processes: Processes = ALONE,
) -> TrainingResult:
    """Train a model on photographs with labels, and write it to the folder of the run.

    If the targets are the angles of a head pose, the model is also exported to `model.onnx`, which
    `deepgllim.HeadPose` reads. Otherwise `exported` of the result is None.

    Args:
        source: a manifest, or a source that `load_data` reads, such as "pointing04:DIR".
        recipe: all options.
        output: folder of the run, for recipe.json, metrics.csv, checkpoint.safetensors, model.safetensors, model.onnx.
        resume: continue from the checkpoint in the folder.
        skip_unreadable: leave out pictures that cannot be read.
        reporter: receives the progress.
        processes: this process and those with which it trains; process 0 locks and writes the folder.

    Raises:
        ConfigurationError: if the folder already has a run and `resume` is false, and as `train`.
        DataError, ImageError: if the data cannot be used, another run uses the folder, or the disk is full.
        ModelError: if weights, a checkpoint or the exported file cannot be used or written.
    """
    with run_folder(output, resume) if processes.rank == 0 else nullcontext():
        processes.wait()  # for the lock
        manifest = load_data(source) if isinstance(source, str) else source
        model = build_model(recipe, manifest.targets)
        report = output / UNREADABLE if processes.rank == 0 else None
        split = split_validation(readable(manifest, skip_unreadable, report), recipe)
        training, validation = run_inputs(split, recipe, output / "cache", processes)
        if not resume and processes.rank == 0:
            text = recipe.model_dump_json(indent=2) + "\n"
            write_atomically(output / "recipe.json", lambda place: place.write_text(text, encoding="utf-8"))
        result = train(
            *(model, recipe, training, validation),
            output=output,
            resume=resume,
            reporter=reporter,
            processes=processes,
        )
        if processes.rank > 0:
            return result
        if reporter is not None:
            reporter.status(f"exporting the model to {EXPORTED}")
        return result._replace(exported=export_pose(result.model, output / EXPORTED))


def run_inputs(split: TrainingSplit, recipe: Recipe, cache: Path, processes: Processes) -> tuple[Inputs, Inputs | None]:
    """Return the inputs for training and validation, in files of a folder."""
    training = training_inputs(split.training, recipe, cache, processes=processes)
    if split.validation is None:
        return training, None
    file, off = cache / "validation.npy", AugmentationConfig.off()
    seed = recipe.schedule.seed
    return training, face_inputs(split.validation, recipe.data, off, seed, file, processes=processes)


def export_pose(model: DeepRegression, path: Path) -> Path | None:
    """Export a model of head poses to an ONNX file and return its path, or None if the targets are not a head pose."""
    try:
        predicted_angles(model.spec.targets)
    except ModelError:
        return None
    export_verified(model, path)
    return path


@contextmanager
def run_folder(output: Path, resume: bool) -> Iterator[None]:
    """Create and lock the folder of a run, and remove the temporary files of killed runs from it."""
    check_folder(output, resume)
    output.mkdir(parents=True, exist_ok=True)
    with locked_folder(output):
        check_folder(output, resume)  # another run may have used it before the lock
        remove_unfinished(output / name for name in RUN_FILES)
        yield


def check_folder(output: Path, resume: bool) -> None:
    """Raise a ConfigurationError if the folder has other files, or has no checkpoint to resume from."""
    ignored = {path.name for name in RUN_FILES for path in unfinished(output / name)} | LEFT_BY_A_FAILED_START
    others = sorted({entry.name for entry in output.iterdir()} - ignored) if output.exists() else []
    if resume and not (output / CHECKPOINT).is_file():
        remedy = "give a new folder and leave out --resume" if others else "leave out --resume"
        raise ConfigurationError(f"{output} has no {CHECKPOINT}: there is nothing to resume; {remedy}")
    if not resume and CHECKPOINT in others:
        raise ConfigurationError(f"{output} is not empty: give --resume to continue its run, or a new folder")
    if not resume and others:
        raise ConfigurationError(f"{output} is not empty, it has {others[0]}: give a new folder")


def predict_manifest(model: DeepRegression, manifest: Manifest, level: float = 0.9) -> Predictions:
    """Return the predictions of a model for all faces of a manifest, in its order.

    Args:
        model: a trained model of pictures.
        manifest: faces with their targets.
        level: probability of the intervals, in (0, 1).

    Raises:
        ConfigurationError: if the manifest lacks a target of the model.
    """
    missing = [name for name in model.spec.targets if name not in manifest.targets]
    if missing:
        raise ConfigurationError(
            f"the model predicts {', '.join(model.spec.targets)} but the data has {', '.join(manifest.targets)}: "
            f"add {missing[0]!r} to the data"
        )
    size, margin = picture_size(model)
    inputs = face_inputs(manifest, DataConfig(image_size=size, margin=margin), AugmentationConfig.off())
    columns = [manifest.targets.index(name) for name in model.spec.targets]
    inputs.targets = inputs.targets[:, columns]
    return predict_inputs(model, inputs, level)


def evaluate_run(
    model: DeepRegression | Path, source: str | Manifest, *, skip_unreadable: bool = False
) -> dict[str, float]:
    """Return metrics of a model on photographs with labels: error, likelihood, coverage of the intervals.

    Args:
        model: a trained model, or its file.
        source: a manifest, or a source that `load_data` reads.
        skip_unreadable: leave out pictures that cannot be read.
    """
    if isinstance(model, Path):
        model = load_model(model)
    manifest = readable(load_data(source) if isinstance(source, str) else source, skip_unreadable)
    return compute_metrics(predict_manifest(model, manifest), model.spec.targets)


def picture_size(model: DeepRegression) -> tuple[int, float]:
    """Return the side of the crops of a model in pixels, and their margin.

    Raises:
        ConfigurationError: if the model was not trained on pictures.
    """
    if model.spec.image_size is None or model.spec.margin is None:
        raise ConfigurationError("this model was not trained on pictures: its file has no image size")
    return model.spec.image_size, model.spec.margin
