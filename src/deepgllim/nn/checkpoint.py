"""Checkpoints: the state of a training between two rounds, in a safetensors file with a JSON header.

Reading a checkpoint executes no code from it.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from torch import Tensor

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn.config import Recipe, read_saved_recipe
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.nn.model_file import read_spec
from deepgllim.nn.optimization import make_optimizer
from deepgllim.nn.progress import Training, TrainingProgress
from deepgllim.storage import read_tensors, write_tensors

CHECKPOINT = "checkpoint.safetensors"


class ProgressHeader(BaseModel):
    """The numbers of a `TrainingProgress` in a checkpoint's header; older files may lack the last two."""

    model_config = ConfigDict(strict=True, extra="forbid")

    round: NonNegativeInt
    best: Annotated[float, Field(allow_inf_nan=False)] | None
    rows: list[dict[str, int | float]]
    step_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    failures: NonNegativeInt = 0


def save_checkpoint(output: Path, training: Training) -> None:
    """Write the state that the next round needs to a folder, atomically.

    The training targets (N, L) are saved, too, so that a resume with other data is detected.
    """
    progress = training.progress
    tensors = {f"model.{name}": tensor for name, tensor in training.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in progress.best_model.items()}
    for index, entries in training.optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in entries.items() if value is not None
        }
    tensors |= {"random_state": torch.get_rng_state(), "targets": training.given.source.targets}
    numbers = {
        "round": progress.round,
        "best": None if math.isinf(progress.best) else progress.best,
        "rows": progress.rows,
        "step_scale": progress.step_scale,
        "failures": progress.failures,
    }
    header = {
        "deepgllim": training.model.spec.model_dump_json(),
        "recipe": training.recipe.model_dump_json(),
        "progress": json.dumps(numbers),
    }
    write_tensors(output / CHECKPOINT, tensors, header)


def load_checkpoint(
    model: DeepRegression, recipe: Recipe, targets: Tensor, output: Path | None
) -> tuple[TrainingProgress, torch.optim.Optimizer]:
    """Restore model, optimizer and random numbers to their state after the last round that was saved.

    Args:
        model: an untrained model, whose weights are replaced.
        recipe: options of the training.
        targets: training targets, (N, L).
        output: folder with the checkpoint.

    Returns:
        The progress, and the optimizer of the model's weights.

    Raises:
        ConfigurationError: if there is no output folder, or the checkpoint belongs to another recipe or other data.
        ModelError: if the checkpoint is missing, damaged or does not fit the model.
    """
    if output is None:
        raise ConfigurationError("resume needs the output folder of the run to go on with")
    path = output / CHECKPOINT
    tensors, header = read_tensors(path)
    if "progress" not in header:
        raise ModelError(f"{path}: a model, not a checkpoint: resume from the checkpoint.safetensors of a run")
    spec = read_spec(path, header)
    _check_origin(path, header, recipe)
    if spec.targets != model.spec.targets or not _equal(tensors.get("targets"), targets):
        raise ConfigurationError(f"{path} is of other data: resume with the pictures, labels and people of that run")
    progress = _read_progress(path, header, recipe.schedule.rounds)
    progress.best_model = _part(tensors, "best.")
    with _refusing_misfits(path):
        _resize(model, spec)
        if progress.round:
            model.load_state_dict(progress.best_model)  # to check that it fits, too
        model.load_state_dict(_part(tensors, "model."))
        optimizer = make_optimizer(model, recipe.schedule)
        _load_optimizer(optimizer, _part(tensors, "optimizer."))
        if "random_state" not in tensors:
            raise ValueError("it has no state of the random numbers")
        torch.set_rng_state(tensors["random_state"])
    return progress, optimizer


def _check_origin(path: Path, header: Mapping[str, str], recipe: Recipe) -> None:
    """Raise an error for a checkpoint of another recipe; only the number of workers may differ."""
    if "recipe" not in header:
        raise _damaged(path, "its header has no recipe")
    try:
        found = read_saved_recipe(_read_object(path, header, "recipe"), str(path))
    except RecursionError:
        raise _damaged(path, "its recipe is nested too deeply") from None
    before, now = (_options(each.override({"schedule.workers": 0})) for each in (found, recipe))
    changed = next((name for name in now if before[name] != now[name]), None)
    if changed is not None:
        raise ConfigurationError(
            f"{path} is of another recipe, with {changed} = {before[changed]!r}, not {now[changed]!r}: resume with the "
            "recipe and options of that run"
        )


def _options(recipe: Recipe) -> dict[str, object]:
    """Return all options by their full names."""
    return {f"{part}.{name}": value for part, values in recipe.model_dump().items() for name, value in values.items()}


def _read_progress(path: Path, header: Mapping[str, str], rounds: int) -> TrainingProgress:
    """Return the validated progress in a header, without the best weights."""
    try:
        progress = ProgressHeader.model_validate(_read_object(path, header, "progress"))
    except ValidationError as error:
        fault = error.errors()[0]
        name, value = ".".join(map(str, fault["loc"])), fault["input"]
        shown = value if isinstance(value, int | float | str) else type(value).__name__
        raise _damaged(path, f"progress.{name} = {str(shown)[:40]}: {fault['msg']}") from None
    if progress.round > rounds or len(progress.rows) != progress.round:
        raise _damaged(path, f"round {progress.round} of {rounds}, with metrics of {len(progress.rows)} rounds")
    best = math.inf if progress.best is None else progress.best
    return TrainingProgress(progress.round, best, progress.rows, {}, progress.step_scale, progress.failures)


def _read_object(path: Path, header: Mapping[str, str], key: str) -> dict[str, object]:
    try:
        values = json.loads(header[key])
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"{key}: {str(error) or type(error).__name__}") from None
    if not isinstance(values, dict):
        raise _damaged(path, f"{key} is not a JSON object")
    return values


def _damaged(path: Path, cause: str) -> ModelError:
    return ModelError(f"{path}: damaged ({cause}): begin again in a new folder")


@contextmanager
def _refusing_misfits(path: Path) -> Iterator[None]:
    """Turn torch's errors for tensors that are missing or have another size into a ModelError of one line."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise ModelError(f"{path} does not fit the model: {cause}") from None


def _equal(found: Tensor | None, expected: Tensor) -> bool:
    return found is not None and found.dtype == expected.dtype and torch.equal(found, expected)


def _resize(model: DeepRegression, spec: ModelSpec) -> None:
    """Resize the model to the features of the checkpoint, which may be fewer than those of the recipe."""
    found, wanted = spec.projection, model.spec.projection
    if found == wanted:
        return
    if found is None or wanted is None or not 0 < found < wanted:
        raise ValueError(f"a projection to {found} features, where the recipe asks for {wanted}")
    model.resize(found)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the state of the optimizer; raise a ValueError for tensors that do not belong to its parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    shapes = {str(index): parameter.shape for index, parameter in enumerate(parameters)}
    adam = isinstance(optimizer, torch.optim.AdamW)
    expected = {"step", "exp_avg", "exp_avg_sq"} if adam else {"momentum_buffer"}
    entries: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        if value.shape != (torch.Size() if key == "step" else shapes.get(index)):
            raise ValueError(f"optimizer.{name} of shape {tuple(value.shape)} belongs to no weights of the model")
        entries.setdefault(index, {})[key] = value
    for index, entry in entries.items():
        if entry.keys() != expected:
            raise ValueError(f"optimizer.{index} holds {', '.join(sorted(entry))}, not {', '.join(sorted(expected))}")
    state = {int(index): entry for index, entry in entries.items()}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
