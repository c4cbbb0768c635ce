"""Checkpoints: what is damaged or of another run is refused in one line, and an older version's is read."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn import checkpoint as module
from deepgllim.nn.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from deepgllim.nn.config import RENAMED, Recipe
from deepgllim.nn.progress import TrainingProgress
from deepgllim.nn.start import start_training
from deepgllim.nn.training import TrainingResult, train
from deepgllim.storage import read_tensors
from tests.nn.tiny import model, recipe, vectors

Tensors = dict[str, Tensor]
Header = dict[str, str]
OPTIMIZERS = ("adamw", "sgd")


def options(optimizer: str = "adamw", **more: Any) -> Recipe:
    return recipe(schedule__optimizer=optimizer, **more)


def go(output: Path, optimizer: str = "adamw", **more: Any) -> TrainingResult:
    return train(model(), options(optimizer), vectors(), vectors(30, seed=8), output=output, **more)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished runs by the optimiser's name. Read only."""
    folder = tmp_path_factory.mktemp("runs")
    for optimizer in OPTIMIZERS:
        go(folder / optimizer, optimizer)
    return folder


@pytest.fixture(params=OPTIMIZERS)
def optimizer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def own(runs: Path, tmp_path: Path, optimizer: str) -> Path:
    """A copy of a run."""
    return Path(shutil.copytree(runs / optimizer, tmp_path / "run"))


def change(output: Path, edit: Callable[[Tensors, Header], object]) -> None:
    """Write the checkpoint again, without a checksum, as an older version has it."""
    tensors, header = read_tensors(output / CHECKPOINT)
    edit(tensors, header)
    save_file(tensors, output / CHECKPOINT, header)


def in_progress(**values: Any) -> Callable[[Tensors, Header], object]:
    """Change entries of the progress; None removes one."""

    def edit(tensors: Tensors, header: Header) -> None:
        progress = json.loads(header["progress"]) | values
        kept = {name: value for name, value in progress.items() if value is not None or name == "best"}
        header["progress"] = json.dumps(kept)

    return edit


def renamed(old: str, new: str) -> Callable[[Tensors, Header], object]:
    """Rename the tensors with a prefix."""

    def edit(tensors: Tensors, header: Header) -> None:
        for name in [name for name in tensors if name.startswith(old)]:
            tensors[new + name.removeprefix(old)] = tensors.pop(name)

    return edit


def old_option_names(tensors: Tensors, header: Header) -> None:
    """Give the options of the recipe the names of version 0.1.0."""
    recipe = json.loads(header["recipe"])
    for old, new in RENAMED.items():
        section, _, option = old.partition(".")
        recipe[section][option] = recipe[section].pop(new.partition(".")[2])
    header["recipe"] = json.dumps(recipe)


def in_tensor(name: str, edit_tensor: Callable[[Tensor], Tensor]) -> Callable[[Tensors, Header], object]:
    def edit(tensors: Tensors, header: Header) -> None:
        tensors[name] = edit_tensor(tensors[name]).contiguous()

    return edit


def in_header(key: str, value: str) -> Callable[[Tensors, Header], object]:
    return lambda tensors, header: header.__setitem__(key, value)


def wide(tensors: Tensors, header: Header) -> None:
    """A projection that no memory holds."""
    header["deepgllim"] = json.dumps(json.loads(header["deepgllim"]) | {"projection": 10**12})


DAMAGES: dict[str, tuple[Callable[[Tensors, Header], object], str]] = {
    "no recipe": (lambda tensors, header: header.pop("recipe"), "its header has no recipe"),
    "recipe no json": (in_header("recipe", "{"), r"damaged \(recipe: "),
    "recipe a list": (in_header("recipe", "[1]"), "recipe is not a JSON object"),
    "recipe deep": (in_header("recipe", "[" * 100_000), r"damaged \(recipe: "),
    "recipe nested": (in_header("recipe", '{"data": ' * 400 + "1" + "}" * 400), "recipe|data"),
    "progress no json": (in_header("progress", "{"), r"damaged \(progress: "),
    "progress deep": (in_header("progress", '{"round": ' * 100_000), r"damaged \(progress: "),
    "progress nested": (in_header("progress", '{"round": ' + "[" * 400 + "]" * 400 + "}"), r"progress\.\w+ = "),
    "progress empty": (in_header("progress", "{}"), r"progress\.round"),
    "no progress": (lambda tensors, header: header.pop("progress"), "a model, not a checkpoint"),
    "no round": (in_progress(round=None), r"progress\.round"),
    "round 10^9": (in_progress(round=10**9), "round 1000000000 of 3"),
    "round 10^9 and no rows": (in_progress(round=10**9, rows=[]), "round 1000000000 of 3"),
    "round 4": (in_progress(round=4), "round 4 of 3"),
    "round -1": (in_progress(round=-1), r"progress\.round = -1"),
    "round 2.5": (in_progress(round=2.5), r"progress\.round = 2\.5"),
    "round text": (in_progress(round="2"), r"progress\.round = 2"),
    "round true": (in_progress(round=True), r"progress\.round = True"),
    "best text": (in_progress(best="low"), r"progress\.best = low"),
    "best nan": (in_progress(best=math.nan), r"progress\.best = nan"),
    "no rows": (in_progress(rows=None), r"progress\.rows"),
    "rows of numbers": (in_progress(rows=[1, 2, 3]), r"progress\.rows\.0 = 1"),
    "rows of texts": (in_progress(rows=[{"round": "one"}] * 3), r"progress\.rows\.0\.round"),
    "too few rows": (in_progress(rows=[{"round": 1}]), "round 3 of 3, with metrics of 1 rounds"),
    "step scale 0": (in_progress(step_scale=0.0), r"progress\.step_scale = 0\.0"),
    "step scale 2": (in_progress(step_scale=2.0), r"progress\.step_scale = 2\.0"),
    "step scale nan": (in_progress(step_scale=math.nan), r"progress\.step_scale = nan"),
    "failures -1": (in_progress(failures=-1), r"progress\.failures = -1"),
    "unknown entry": (in_progress(speed=1), r"progress\.speed = 1"),
    "newer format": (in_header("deepgllim", '{"format_version": 9}'), "model format 9"),
    "a projection that is too wide": (wide, "a projection to 1000000000000 features, where the recipe asks for 4"),
    "no model": (renamed("model.", "modem."), "does not fit the model"),
    "no best": (renamed("best.", "zest."), "does not fit the model"),
    "a weight of the best gone": (renamed("best.projection.bias", "other"), "does not fit the model"),
    "a best weight of another shape": (in_tensor("best.projection.bias", lambda t: t[:1]), "does not fit the model"),
    "optimizer x": (renamed("optimizer.0.", "optimizer.x."), "does not fit the model"),
    "optimizer -1": (renamed("optimizer.0.", "optimizer.-1."), "does not fit the model"),
    "optimizer 99": (renamed("optimizer.0.", "optimizer.99."), "does not fit the model"),
    "no random state": (renamed("random_state", "rng"), "has no state of the random numbers"),
    "random state cut": (in_tensor("random_state", lambda t: t[:5]), "does not fit the model"),
    "random state of another type": (in_tensor("random_state", lambda t: t.float()), "does not fit the model"),
}


@pytest.mark.parametrize("optimizer", ["adamw"], indirect=True)
@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_refused_in_one_line(
    own: Path, damage: Callable[[Tensors, Header], object], said: str
) -> None:
    change(own, damage)
    before = (own / "model.safetensors").read_bytes()
    with pytest.raises((ModelError, ConfigurationError), match=said) as caught:
        go(own, resume=True)
    assert CHECKPOINT in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (own / "model.safetensors").read_bytes() == before


def test_the_optimizers_entries_are_checked(own: Path, optimizer: str) -> None:
    names = {"adamw": ("exp_avg", "exp_avg_sq", "step"), "sgd": ("momentum_buffer",)}[optimizer]
    intact = (own / CHECKPOINT).read_bytes()
    for name in names:
        key = f"optimizer.0.{name}"
        for damage in (renamed(key, f"{key}s"), in_tensor(key, lambda t: torch.cat([t.flatten(), t.flatten()]))):
            (own / CHECKPOINT).write_bytes(intact)
            change(own, damage)
            with pytest.raises(ModelError, match=r"does not fit the model: optimizer\.0"):
                go(own, optimizer, resume=True)


def test_targets_that_are_gone_or_of_another_type_are_other_data(own: Path, optimizer: str) -> None:
    intact = (own / CHECKPOINT).read_bytes()
    for damage in (
        renamed("targets", "t"),
        in_tensor("targets", lambda t: t.double()),
        in_tensor("targets", torch.neg),
    ):
        (own / CHECKPOINT).write_bytes(intact)
        change(own, damage)
        with pytest.raises(ConfigurationError, match="is of other data"):
            go(own, optimizer, resume=True)


@pytest.mark.parametrize("where", ["header", "weights"])
def test_a_flipped_bit_is_refused(own: Path, optimizer: str, where: str) -> None:
    content = bytearray((own / CHECKPOINT).read_bytes())
    content[content.index(b'\\"rows\\"') + 4 if where == "header" else -7] ^= 1
    (own / CHECKPOINT).write_bytes(content)
    with pytest.raises(ModelError, match="damaged, its checksum is not that of its content"):
        go(own, optimizer, resume=True)


def test_an_older_versions_checkpoint_is_resumed_to_the_same_model(own: Path, optimizer: str) -> None:
    """A checkpoint without a checksum, a step scale and a count of failures, and with the old names of options."""
    before = (own / "model.safetensors").read_bytes()
    change(own, in_progress(step_scale=None, failures=None))
    change(own, old_option_names)
    (own / "model.safetensors").unlink()
    go(own, optimizer, resume=True)
    assert (own / "model.safetensors").read_bytes() == before


def load(output: Path, rounds: int = 3) -> TrainingProgress:
    saved = options(schedule__rounds=rounds)
    return load_checkpoint(model(), saved, vectors().targets, output)[0]


def save(output: Path, state: TrainingProgress, rounds: int = 3) -> None:
    training = start_training(model(), options(schedule__rounds=rounds), vectors())
    training.progress = state
    save_checkpoint(output, training)


def test_the_progress_comes_back(tmp_path: Path) -> None:
    weights = dict(model(notes={}).state_dict())
    rows = [{"round": 1, "train_loss": math.nan}, {"round": 2, "train_loss": 0.1 + 0.2, "validation_mae": 1e-300}]
    save(tmp_path, TrainingProgress(2, 0.1 + 0.2, rows, weights, step_scale=0.125, failures=2))
    found = load(tmp_path)
    assert (found.round, found.best, found.step_scale, found.failures) == (2, 0.1 + 0.2, 0.125, 2)
    assert repr(found.rows) == repr(rows)  # NaN is not equal to itself, and 1 not the same as 1.0 in metrics.csv
    assert all(torch.equal(found.best_model[name], value) for name, value in weights.items())


def test_a_state_without_a_round_comes_back(tmp_path: Path) -> None:
    """A first round that was undone leaves one."""
    save(tmp_path, TrainingProgress(failures=1, step_scale=0.5))
    found = load(tmp_path)
    assert (found.round, found.best, found.best_model, found.failures) == (0, math.inf, {}, 1)


def test_a_checkpoint_of_a_recipe_with_fewer_rounds_is_another_recipes(tmp_path: Path) -> None:
    save(tmp_path, TrainingProgress())
    with pytest.raises(ConfigurationError, match="another recipe"):
        load(tmp_path, rounds=4)


def test_a_first_round_without_a_figure_does_not_stay_the_best() -> None:
    """No number is less than NaN."""
    network, state = model(), TrainingProgress()
    state.end_round(network, {"validation_mae": math.nan}, "validation_mae")
    assert state.best_model
    state.end_round(network, {"validation_mae": 7.0}, "validation_mae")
    assert state.best == 7.0
    state.end_round(network, {"validation_mae": math.nan}, "validation_mae")
    assert state.best == 7.0


def test_the_checkpoint_comes_before_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a kill in the first round leaves a folder that can neither be begun nor resumed."""
    from deepgllim.nn import reporting

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(reporting, "write_rows", killed)
        with pytest.raises(Killed):
            go(tmp_path)
    assert (tmp_path / CHECKPOINT).is_file()
    assert not (tmp_path / "metrics.csv").exists()
    assert load(tmp_path).round == 1


def test_metrics_that_a_kill_kept_from_the_disk_are_written_by_a_resume(own: Path, optimizer: str) -> None:
    expected = (own / "metrics.csv").read_bytes()
    (own / "metrics.csv").write_bytes(expected[:40])
    go(own, optimizer, resume=True)
    assert (own / "metrics.csv").read_bytes() == expected


def test_every_field_of_the_state_is_in_the_header() -> None:
    """But the weights, which are tensors: a new field must be saved too."""
    assert set(TrainingProgress.__dataclass_fields__) - {"best_model"} == set(module.ProgressHeader.model_fields)
