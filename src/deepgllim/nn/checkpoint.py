"""The state of a training between rounds, in one safetensors file with a JSON header: nothing in it is executed."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from torch import Tensor

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn.config import Recipe, ScheduleConfig, parse_recipe
from deepgllim.nn.model import DeepRegression, ModelSpec, read_spec
from deepgllim.storage import read_tensors, write_tensors

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class TrainingProgress:
    """How far a training has come.

    Attributes:
        round: rounds done.
        best: least value of the criterion so far.
        rows: figures of the rounds done.
        best_model: weights of the best round.
        step_scale: share of the recipe's learning rate that is still in use, in (0, 1].
        failures: attempts at the present round that were undone, one after the other.
    """

    round: int = 0
    best: float = math.inf
    rows: list[dict[str, float]] = field(default_factory=list)
    best_model: dict[str, Tensor] = field(default_factory=dict)
    step_scale: float = 1.0
    failures: int = 0

    def fail(self) -> None:
        """Count an attempt that was undone."""
        self.failures += 1
        self.step_scale *= 0.5

    def end_round(self, model: DeepRegression, row: dict[str, float], criterion: str) -> None:
        """Count a round; keep its weights if the criterion is the least so far, or if there is no such figure."""
        self.round += 1
        self.failures = 0
        self.rows.append(row)
        value = row.get(criterion, -math.inf)
        if value < self.best or criterion not in row or not self.best_model:
            self.best = math.inf if math.isnan(value) else value
            self.best_model = {name: tensor.clone() for name, tensor in model.state_dict().items()}


class ProgressHeader(BaseModel):
    """The numbers of a `TrainingProgress` in the header of a checkpoint; older versions lack the last two."""

    model_config = ConfigDict(strict=True, extra="forbid")

    round: NonNegativeInt
    best: Annotated[float, Field(allow_inf_nan=False)] | None
    rows: list[dict[str, int | float]]
    step_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    failures: NonNegativeInt = 0


def save_checkpoint(
    output: Path,
    model: DeepRegression,
    optimizer: torch.optim.Optimizer,
    state: TrainingProgress,
    recipe: Recipe,
    targets: Tensor,
) -> None:
    """Write all that the next round needs, whole or not at all; the training targets (N, L) tell its data."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best_model.items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in entries.items() if value is not None
        }
    tensors |= {"random_state": torch.get_rng_state(), "targets": targets}
    progress = {
        "round": state.round,
        "best": None if math.isinf(state.best) else state.best,
        "rows": state.rows,
        "step_scale": state.step_scale,
        "failures": state.failures,
    }
    header = {
        "deepgllim": model.spec.model_dump_json(),
        "recipe": recipe.model_dump_json(),
        "progress": json.dumps(progress),
    }
    write_tensors(output / CHECKPOINT, tensors, header)


def load_checkpoint(
    model: DeepRegression,
    recipe: Recipe,
    output: Path | None,
    targets: Tensor,
    make_optimizer: Callable[[DeepRegression, ScheduleConfig], torch.optim.Optimizer],
) -> tuple[TrainingProgress, torch.optim.Optimizer]:
    """Bring model, optimiser and random numbers back to the end of the last round saved.

    Raises:
        ConfigurationError: if there is no output folder, or the checkpoint is of another recipe or other data.
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
    state = _read_state(path, header, recipe.schedule.rounds)
    state.best_model = _part(tensors, "best.")
    with _refusing_misfits(path):
        _resize(model, spec)
        if state.round:
            model.load_state_dict(state.best_model)  # so that it fits, too
        model.load_state_dict(_part(tensors, "model."))
        optimizer = make_optimizer(model, recipe.schedule)
        _load_optimizer(optimizer, _part(tensors, "optimizer."))
        if "random_state" not in tensors:
            raise ValueError("it holds no state of the random numbers")
        torch.set_rng_state(tensors["random_state"])
    return state, optimizer


def _check_origin(path: Path, header: Mapping[str, str], recipe: Recipe) -> None:
    """Refuse a checkpoint of another recipe. How many processes prepare pictures does not matter to the result."""
    if "recipe" not in header:
        raise _damaged(path, "its header holds no recipe")
    try:
        found = parse_recipe(_read_object(path, header, "recipe"), str(path))
    except RecursionError:
        raise _damaged(path, "its recipe is nested too deeply") from None
    if found.override({"schedule.workers": 0}) != recipe.override({"schedule.workers": 0}):
        raise ConfigurationError(f"{path} is of another recipe: resume with the recipe and options of that run")


def _read_state(path: Path, header: Mapping[str, str], rounds: int) -> TrainingProgress:
    """What a header says of the progress, checked: without the weights."""
    try:
        progress = ProgressHeader.model_validate(_read_object(path, header, "progress"))
    except ValidationError as error:
        fault = error.errors()[0]
        name, value = ".".join(map(str, fault["loc"])), fault["input"]
        shown = value if isinstance(value, int | float | str) else type(value).__name__
        raise _damaged(path, f"progress.{name} = {str(shown)[:40]}: {fault['msg']}") from None
    if progress.round > rounds or len(progress.rows) != progress.round:
        raise _damaged(path, f"round {progress.round} of {rounds}, with figures of {len(progress.rows)} rounds")
    best = math.inf if progress.best is None else progress.best
    return TrainingProgress(progress.round, best, progress.rows, {}, progress.step_scale, progress.failures)


def _read_object(path: Path, header: Mapping[str, str], key: str) -> dict[str, object]:
    try:
        values = json.loads(header[key])
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"{key}: {str(error) or type(error).__name__}") from None
    if not isinstance(values, dict):
        raise _damaged(path, f"{key} is no JSON object")
    return values


def _damaged(path: Path, cause: str) -> ModelError:
    return ModelError(f"{path}: damaged ({cause}): begin again in a new folder")


@contextmanager
def _refusing_misfits(path: Path) -> Iterator[None]:
    """Turn what torch makes of tensors that are missing, or of another size, into one line."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise ModelError(f"{path} does not fit the model: {cause}") from None


def _equal(found: Tensor | None, expected: Tensor) -> bool:
    return found is not None and found.dtype == expected.dtype and torch.equal(found, expected)


def _resize(model: DeepRegression, spec: ModelSpec) -> None:
    """Give the model the features of the checkpoint: the start may have found fewer than the recipe asks for."""
    found, wanted = spec.projection, model.spec.projection
    if found == wanted:
        return
    if found is None or wanted is None or not 0 < found < wanted:
        raise ValueError(f"a projection to {found} features, where the recipe asks for {wanted}")
    model.resize(found)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Raises ValueError for tensors that are not this optimiser's of these parameters."""
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
