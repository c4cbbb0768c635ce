"""The state of a training between rounds, in one safetensors file with a JSON header: nothing in it is executed."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn.config import Recipe, ScheduleConfig, parse_recipe
from deepgllim.nn.model import DeepRegression, read_spec
from deepgllim.storage import read_tensors, write_tensors

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class State:
    """How far a training has come: rounds done, their figures, the best round's weights.

    Attributes:
        step_scale: share of the recipe's learning rate still in use; each round that is undone halves it.
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
            self.best = value
            self.best_model = {name: tensor.clone() for name, tensor in model.state_dict().items()}


def save_checkpoint(
    output: Path, model: DeepRegression, optimizer: torch.optim.Optimizer, state: State, recipe: Recipe, targets: Tensor
) -> None:
    """Write all that the next round needs, whole or not at all; the training targets (N, L) tell its data."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best_model.items()}
    for index, entries in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in entries.items() if value is not None
        }
    tensors |= {"random_state": torch.get_rng_state(), "targets": targets}
    best = None if math.isinf(state.best) else state.best
    progress = {"round": state.round, "best": best, "rows": state.rows, "step_scale": state.step_scale}
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
) -> tuple[State, torch.optim.Optimizer]:
    """Bring model, optimiser and random numbers back to the end of the last round saved.

    Raises:
        ConfigurationError: if there is no output folder, or the checkpoint is of another recipe or other data.
        ModelError: if the checkpoint is missing, cut short or does not fit the model.
    """
    if output is None:
        raise ConfigurationError("resume needs the output folder of the run to go on with")
    path = output / CHECKPOINT
    tensors, header = read_tensors(path)
    if "progress" not in header:
        raise ModelError(f"{path}: a model, not a checkpoint: resume from the checkpoint.safetensors of a run")
    if not _same(parse_recipe(json.loads(header["recipe"]), str(path)), recipe):
        raise ConfigurationError(f"{path} is of another recipe: resume with the recipe and options of that run")
    spec = read_spec(path, header)
    if spec.targets != model.spec.targets or not torch.equal(tensors.get("targets", targets[:0]), targets):
        raise ConfigurationError(f"{path} is of other data: resume with the pictures, labels and people of that run")
    if spec.projection != model.spec.projection:
        model.resize(spec.projection)
    try:
        model.load_state_dict(_part(tensors, "model."))
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit the model: {str(error).splitlines()[-1].strip()}") from None
    optimizer = make_optimizer(model, recipe.schedule)
    _load_optimizer(optimizer, _part(tensors, "optimizer."))
    torch.set_rng_state(tensors["random_state"])
    progress = json.loads(header["progress"])
    best = math.inf if progress["best"] is None else progress["best"]
    step_scale = float(progress.get("step_scale", 1.0))
    return State(progress["round"], best, progress["rows"], _part(tensors, "best."), step_scale), optimizer


def _same(a: Recipe, b: Recipe) -> bool:
    """Whether two recipes give the same result: how many processes prepare pictures does not matter."""
    return a.override({"schedule.workers": 0}) == b.override({"schedule.workers": 0})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        entries.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
