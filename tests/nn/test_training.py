"""Training: what it minimises falls, an interruption leaves no trace, and every piece does what it says."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn import training as module
from deepgllim.nn.augmentation import plain
from deepgllim.nn.backbones import wrap_module
from deepgllim.nn.batches import batches, n_batches
from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.config import Recipe, ScheduleConfig
from deepgllim.nn.distributed import Processes
from deepgllim.nn.evaluation import collect_normalised, evaluate
from deepgllim.nn.features import TrainingInputs, adopt_statistics, cache_activations, collect_features
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.inputs import ArrayInputs, FaceInputs, Inputs
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.model_file import load_model
from deepgllim.nn.optimization import learning_rate, make_optimizer
from deepgllim.nn.reporting import NullReporter, write_rows
from deepgllim.nn.start import freeze_stages, start_training
from deepgllim.nn.training import train
from tests.nn.tiny import (
    N_INPUTS,
    Head,
    assert_same_weights,
    convolutions,
    faces,
    model,
    perceptron,
    recipe,
    timeless,
    vectors,
    weights,
)

HEADS: tuple[Head, ...] = ("inverse_regression", "least_squares", "mixture_density")
N_FACES = 48  # enough for two components of more than a few samples
every = pytest.mark.parametrize("head", HEADS)


class Interrupted(Exception):  # noqa: N818
    """What stands for Ctrl-C or a power cut."""


class StopAfter(NullReporter):
    """Raises as soon as a round is done, or after some steps."""

    def __init__(self, rounds: int = 0, steps: int = 0) -> None:
        self.rounds, self.steps = rounds, steps

    def advance(self, message: str) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise Interrupted

    def round_done(self, metrics: dict[str, float]) -> None:
        if metrics["round"] == self.rounds:
            raise Interrupted


class Record(NullReporter):
    """A reporter that records its calls."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.steps = 0
        self.rows: list[dict[str, float]] = []

    def start(self, steps: int, done: int) -> None:
        self.begun.append((steps, done))

    def advance(self, message: str) -> None:
        self.steps += 1

    def round_done(self, metrics: dict[str, float]) -> None:
        self.rows.append(metrics)


# learning


@every
def test_the_loss_falls_and_the_error_with_it(head: Head) -> None:
    options = recipe(head, schedule__rounds=4, schedule__epochs_per_round=3)
    untrained = model(head)
    start_training(untrained, options, vectors(96))
    before = evaluate(untrained, vectors(200, seed=5))["mae"]
    trained = train(model(head), options, vectors(96))
    losses = [row["train_loss"] for row in trained.history]
    if head == "least_squares":  # inverse regression's loss is 1 again after every M-step
        assert losses[-1] < 0.5 * losses[0]
    assert evaluate(trained.model, vectors(200, seed=5))["mae"] < 0.8 * before


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_the_network_step_lowers_the_inverse_regressions_loss(beta: float) -> None:
    """On the same samples, with θ and r as they were: the M-network-step of the paper, and its family."""
    options, training = recipe(objective__beta=beta, schedule__em="round"), vectors(96)
    network = model()
    run = start_training(network, options, training)
    run.objective.prepare(0)

    def loss() -> float:
        with torch.no_grad():
            return float(run.objective.loss(network.features(torch.as_tensor(training.values)), training.targets))

    network.train()  # batch statistics, as in the step
    before = loss()
    for epoch in range(3):
        module.one_epoch(run, epoch)
    assert loss() < before - 0.1


def test_em_between_the_rounds_raises_the_likelihood_of_the_new_features() -> None:
    """The M-step's log-likelihood is at least that of the mixture of the round before on the same features."""
    options, training = recipe(objective__n_components=2, objective__tol=0.0), vectors(96)
    network = model()
    run = start_training(network, options, training)
    for round_ in (1, 2):
        run.objective.prepare(round_)
        run.optimizer = make_optimizer(network, options.schedule)
        module.one_epoch(run, round_)
        projected, targets = collect_features(network, run.inputs, options.schedule, None)
        features = adopt_statistics(network, projected).double()
        assert isinstance(network.head, InverseRegressionHead)
        before = log_likelihood(features, targets.double(), network.head)
        after = run.objective.solve(features, targets, round_)["log_likelihood"]
        assert after > before
        assert after == pytest.approx(log_likelihood(features, targets.double(), network.head), abs=1e-6)


def log_likelihood(features: Tensor, targets: Tensor, head: InverseRegressionHead) -> float:
    answer = head(features)
    assert answer.input_log_density is not None
    return float((answer.log_prob(targets) + answer.input_log_density).mean())


@every
def test_pictures_can_be_learned_by_a_wrapped_module(head: Head) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    backbone = wrap_module(layers, input_size=16, preprocessing="torchvision")
    options = recipe(head, schedule__rounds=4, schedule__epochs_per_round=4)
    trained = train(model(head, backbone, projection=8), options, faces(48))
    spread = float(faces(48).targets.std(0).mean())
    assert evaluate(trained.model, faces(48, seed=7))["mae"] < 0.5 * spread  # the mean of y would err by 0.87 of it


# the two objectives differ in nothing else


class Watch(ArrayInputs):
    """Notes every item that is asked for."""

    def __init__(self, inputs: ArrayInputs) -> None:
        super().__init__(inputs.values, inputs.targets)
        self.asked: list[tuple[int, int | None]] = []

    def __getitem__(self, address: tuple[int, int | None]) -> tuple[Tensor, Tensor]:
        self.asked.append(address)
        return super().__getitem__(address)


def test_all_objectives_see_the_same_batches_from_the_same_weights() -> None:
    asked, features, optimizers = [], [], []
    for head in HEADS:
        training, network = Watch(vectors()), model(head)
        start_training(network, recipe(head), training)
        features.append(collect_normalised(network, training))
        optimizers.append([p.shape for p in network.parameters()][:8])
        train(model(head), recipe(head), training)
        asked.append(training.asked)
    assert all(torch.equal(features[0], other) for other in features[1:])
    assert asked[0] == asked[1] == asked[2]
    assert optimizers[0] == optimizers[1] == optimizers[2]


# repeating and resuming


@every
def test_the_same_seed_repeats_and_another_does_not(head: Head) -> None:
    one, again, other = (
        train(model(head, convolutions()), recipe(head, schedule__seed=seed), faces(seed=seed)) for seed in (3, 3, 4)
    )
    assert_same_weights(one.model, again.model)
    assert timeless(one.history) == timeless(again.history)
    assert timeless(one.history) != timeless(other.history)


RESUMED: dict[str, dict[str, Any]] = {
    "inverse_regression": {},
    "two_sampled_components": {"objective__n_components": 2, "objective__assignment": "sampled"},
    "least_squares": {"head": "least_squares"},
    "mixture_density": {"head": "mixture_density", "objective__n_components": 3, "schedule__keep_epoch": "best"},
    "sgd": {"schedule__optimizer": "sgd", "schedule__keep_epoch": "best", "schedule__epochs_per_round": 2},
    "augmented_features": {"schedule__augmented_features": True, "objective__n_components": 2},
}


def run(options: Recipe, output: Path, **more: Any) -> module.TrainingResult:
    network = model(options.objective.name, convolutions())
    return train(network, options, faces(N_FACES), faces(12, seed=8), output=output, **more)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    rows, others = (
        [
            {name: value for name, value in row.items() if not name.startswith("seconds")}
            for row in table(folder / "metrics.csv")
        ]
        for folder in (one, other)
    )
    assert rows == others


@pytest.mark.parametrize("stop", [StopAfter(rounds=2), StopAfter(steps=7)], ids=["end of round", "within a round"])
@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    options: dict[str, Any], stop: StopAfter, tmp_path: Path
) -> None:
    """Bit by bit, with augmentation on: the order, the pictures and the random numbers depend on the step alone."""
    whole, stopped = recipe(**options), StopAfter(stop.rounds, stop.steps)
    run(whole, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(whole, tmp_path / "parts", reporter=stopped)
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    received = Record()
    trained = run(whole, tmp_path / "parts", resume=True, reporter=received)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    steps = n_batches(N_FACES, 16) * whole.schedule.epochs_per_round
    done = stop.rounds - 1 if stop.rounds else 7 // steps  # a round that was not written is done again
    assert received.begun == [(3 * steps, done * steps)]
    assert received.steps == (3 - done) * steps
    assert len(trained.history) == 3


@pytest.mark.parametrize("assignment", ["weighted", "sampled"])
def test_a_resumed_training_with_frozen_stages_ends_the_same(assignment: str, tmp_path: Path) -> None:
    """What the frozen stages give is computed again after the interruption, which must draw no random numbers."""
    options = recipe(network__frozen_depths=[2, 2, 1], objective__n_components=2, objective__assignment=assignment)

    def go(output: Path, **more: Any) -> None:
        train(model(), options, vectors(), vectors(30, seed=8), output=output, **more)

    go(tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(tmp_path / "parts", reporter=StopAfter(rounds=2))
    go(tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_resume_with_fewer_features_than_the_recipe_asks_for(tmp_path: Path) -> None:
    """The projection shrank to the rank of the features, before the interruption."""
    options = recipe(network__projection=100)

    def go(output: Path, **more: Any) -> None:
        train(model(projection=100), options, vectors(20), output=output, **more)

    go(tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(tmp_path / "parts", reporter=StopAfter(rounds=2))
    go(tmp_path / "parts", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_the_optimizer_does_not_depend_on_the_layout_of_weights() -> None:
    """torch's fused AdamW on the CPU ignores strides, which a state from a file has lost."""
    torch.manual_seed(0)
    states = {name: torch.rand(4, 3, 3, 3) for name in ("exp_avg", "exp_avg_sq")} | {"step": torch.tensor(1.0)}
    weights = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = torch.nn.Conv2d(3, 4, 3, bias=False)
        network.weight.data = torch.linspace(-1, 1, 108).view(4, 3, 3, 3).to(memory_format=layout)
        optimizer = make_optimizer(network, ScheduleConfig(optimizer="adamw"))  # type: ignore[arg-type]
        optimizer.state[network.weight] = {name: value.clone() for name, value in states.items()}
        network(torch.ones(1, 3, 3, 3)).square().sum().backward()
        optimizer.step()
        weights.append(network.weight.detach())
    torch.testing.assert_close(weights[0], weights[1])


def test_a_finished_training_is_resumed_to_the_same_model(tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    received = Record()
    run(recipe(), tmp_path, resume=True, reporter=received)
    assert received.steps == 0
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_another_recipe_is_not_resumed(tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    with pytest.raises(
        ConfigurationError,
        match=r"checkpoint\.safetensors is of another recipe, with schedule.learning_rate = \S+, not 0.0001",
    ):
        run(recipe(schedule__learning_rate=1e-4), tmp_path, resume=True)


def test_the_number_of_workers_may_change(tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    run(recipe(schedule__workers=1), tmp_path, resume=True)


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_checkpoint_cut_short_is_refused(kept: int, tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors: cut short"):
        run(recipe(), tmp_path, resume=True)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run(recipe(), tmp_path)
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors does not fit"):
        train(model(), recipe(), faces(N_FACES), output=tmp_path, resume=True)


@pytest.mark.parametrize("change", ["order", "names"])
def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path, change: str) -> None:
    run(recipe(), tmp_path)
    data = faces(N_FACES)
    network = model("inverse_regression", convolutions())
    if change == "order":
        data.targets = data.targets.flip(0)
    else:
        network.spec = network.spec.model_copy(update={"targets": ("yaw", "pitch")})
    with pytest.raises(ConfigurationError, match="is of other data"):
        train(network, recipe(), data, output=tmp_path, resume=True)


def test_a_model_is_no_checkpoint(tmp_path: Path) -> None:
    model().save(tmp_path / CHECKPOINT)
    with pytest.raises(ModelError, match="not a checkpoint"):
        train(model(), recipe(), vectors(), output=tmp_path, resume=True)


def test_a_resume_needs_a_folder_and_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs the output folder"):
        train(model(), recipe(), vectors(), resume=True)
    with pytest.raises(ModelError, match="no such file"):
        train(model(), recipe(), vectors(), output=tmp_path, resume=True)


# frozen stages


class PlainFaces(FaceInputs):
    """Plain pictures that pass for augmented ones, so that nothing is cached."""

    def __getitem__(self, address: tuple[int, int | None]) -> tuple[Tensor, Tensor]:
        index, _ = address
        return torch.from_numpy(np.array(plain(self.contexts[index], self.image_size))), self.targets[index]


@every
def test_frozen_stages_do_not_change_and_the_others_do(head: Head) -> None:
    network = model(head, convolutions())
    before = weights(network)
    statistics = {name: value.clone() for name, value in network.backbone.named_buffers()}
    train(network, recipe(head, network__frozen_depths=[2]), faces())
    for name, value in weights(network).items():
        if name.startswith("backbone"):
            frozen = name.startswith(("backbone.stages.0", "backbone.stages.1"))
            assert torch.equal(value, before[name]) == frozen, name
    for name, value in network.backbone.named_buffers():
        assert torch.equal(value, statistics[name]), name


def test_cached_activations_give_the_same_training_as_the_pictures(tmp_path: Path) -> None:
    options = recipe(network__frozen_depths=[2], augmentation__mirror=False)
    source = faces(24)
    arrays = source.contexts, source.targets, ("pitch", "yaw"), 16, source.config
    disguised = PlainFaces(*arrays)
    assert disguised.augmented
    border = (source.contexts.shape[2] - 16) // 2
    pictures = ArrayInputs(source.contexts[:, :, border:-border, border:-border], source.targets)
    uncached = train(model(backbone=convolutions()), options, disguised)
    in_memory = train(model(backbone=convolutions()), options, pictures)
    on_disk = train(model(backbone=convolutions()), options, pictures, output=tmp_path)
    assert (tmp_path / "cache" / "activations.npy").is_file()
    assert_same_weights(in_memory.model, on_disk.model)
    for name, value in uncached.model.state_dict().items():
        # float32; batches of another composition sum in another order, over 6 steps
        torch.testing.assert_close(in_memory.model.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert weights(in_memory.model).keys() == weights(model(backbone=convolutions())).keys()


def test_a_warm_start_keeps_the_projection_and_continues_from_the_weights() -> None:
    options = recipe(network__frozen_depths=[1])
    first = train(model(), options, vectors(96)).model
    before, error = weights(first)["projection.weight"], evaluate(first, vectors(200, seed=5))["mae"]
    start_training(first, options, vectors(96), warm_start=True)
    assert torch.equal(weights(first)["projection.weight"], before)
    again = train(first, options, vectors(96), warm_start=True).model
    trained = weights(again)["projection.weight"]
    assert not torch.equal(trained, before)
    assert evaluate(again, vectors(200, seed=5))["mae"] < error
    start_training(again, options, vectors(96))
    assert not torch.equal(weights(again)["projection.weight"], trained)


def test_trainings_share_the_output_of_frozen_stages() -> None:
    options, pictures = recipe(network__frozen_depths=[2]), vectors(64)
    reference = train(model(), options, pictures).model
    network = model()
    stages = cache_activations(network, pictures, 2, 16)
    assert_same_weights(train(network, options, stages, depth=2).model, reference)


def test_activations_need_the_depth_of_the_recipe() -> None:
    network = model()
    stages = cache_activations(network, vectors(64), 1, 16)
    with pytest.raises(ConfigurationError, match=r"frozen_depths is \[2, 1\].* output of 1 stages: set it to \[1\]"):
        train(network, recipe(network__frozen_depths=[2, 1]), stages, depth=1)


class Shapes(nn.Module):
    """Notes how often it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


def test_cached_stages_run_once(tmp_path: Path) -> None:
    network = model()
    spy = Shapes()
    network.backbone.stages[0] = nn.Sequential(network.backbone.stages[0], spy)
    train(network, recipe(network__frozen_depths=[1]), vectors(64))
    assert spy.calls == 4  # four batches for the cache, none for the start and the three rounds


def test_stages_cached_in_half_precision_give_nearly_the_same_model(tmp_path: Path) -> None:
    errors, sizes = [], []
    for half in (False, True):
        network, output = model(), tmp_path / str(half)
        options = recipe(network__frozen_depths=[1], schedule__half_cache=half)
        train(network, options, vectors(64), output=output)
        sizes.append((output / "cache" / "activations.npy").stat().st_size - 128)
        errors.append(collect_normalised(network, vectors(64)))
    assert sizes[1] == sizes[0] / 2
    torch.testing.assert_close(errors[0], errors[1], atol=0.05, rtol=0.05)


def test_augmented_pictures_are_not_cached() -> None:
    """They differ from epoch to epoch, and what frozen stages make of them too."""
    network, training = model(backbone=convolutions()), faces()
    run = start_training(network, recipe(network__frozen_depths=[2]), training)
    freeze_stages(run)
    assert run.inputs == TrainingInputs(training, None)
    assert network.backbone.depth == 2


def test_stages_are_unfrozen_round_by_round() -> None:
    options = recipe(network__frozen_depths=[3, 1], schedule__rounds=3)

    class Stages(NullReporter):
        def __init__(self, network: DeepRegression) -> None:
            self.network, self.seen = network, [weights(network)]

        def round_done(self, metrics: dict[str, float]) -> None:
            self.seen.append(weights(self.network))

    network = model()
    watch = Stages(network)
    train(network, options, vectors(), reporter=watch)

    def changed(round_: int, stage: int) -> bool:
        one, other = watch.seen[round_], watch.seen[round_ + 1]
        names = [name for name in one if name.startswith(f"backbone.stages.{stage}")]
        return any(not torch.equal(one[name], other[name]) for name in names)

    assert [[changed(round_, stage) for stage in range(3)] for round_ in range(3)] == [
        [False, False, False],
        [False, True, True],
        [False, True, True],
    ]


def test_stages_can_be_frozen_again() -> None:
    """No gradient or momentum of the round before moves them on."""
    seen: list[dict[str, Tensor]] = []
    network = model()

    class Keep(NullReporter):
        def round_done(self, metrics: dict[str, float]) -> None:
            seen.append(weights(network))

    options = recipe(network__frozen_depths=[0, 2], schedule__optimizer="sgd", schedule__rounds=2)
    train(network, options, vectors(), reporter=Keep())
    for name, value in seen[0].items():
        if name.startswith(("backbone.stages.0", "backbone.stages.1")):
            assert torch.equal(value, seen[1][name]), name


# the schedule


def test_the_cosine_rises_to_its_peak_and_falls_to_zero() -> None:
    schedule = ScheduleConfig(learning_rate=2.0, warm_up=0.1)
    rates = [learning_rate(schedule, step, 100, 0) for step in range(100)]
    assert rates[0] > 0
    assert np.all(np.diff(rates[:11]) > 0)
    assert np.all(np.diff(rates[10:]) < 0)
    assert max(rates) == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)  # half way from 10 to 100
    assert 0 < rates[-1] < 0.002


@pytest.mark.parametrize("total", [1, 2, 7])
def test_the_shortest_training_has_a_step_size(total: int) -> None:
    assert all(learning_rate(ScheduleConfig(), step, total, 0) > 0 for step in range(total))


def test_constant_and_halving() -> None:
    constant = ScheduleConfig(learning_rate=0.3, learning_rate_schedule="constant")
    assert {learning_rate(constant, step, 9, step) for step in range(9)} == {0.3}
    halving = ScheduleConfig(learning_rate=0.8, learning_rate_schedule="halving", halve_every=3)
    rates = [learning_rate(halving, 0, 1, epoch) for epoch in range(7)]
    assert rates == pytest.approx([0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2])


def test_the_optimiser_takes_the_scheduled_step() -> None:
    options = recipe(schedule__learning_rate_schedule="halving", schedule__halve_every=1, schedule__learning_rate=4e-3)
    history = train(model(), options, vectors()).history
    assert [row["learning_rate"] for row in history] == pytest.approx([4e-3, 2e-3, 1e-3])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_nesterovs_where_there_is_momentum(momentum: float) -> None:
    optimizer = make_optimizer(model(), ScheduleConfig(optimizer="sgd", momentum=momentum, weight_decay=0.1))
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["nesterov"] == (momentum > 0)
    assert optimizer.defaults["weight_decay"] == 0.1


def test_the_gradient_is_clipped_where_it_is_asked_for() -> None:
    """SGD of step size 1 without momentum moves by the gradient, so at most by its norm's bound."""
    options = recipe(
        schedule__optimizer="sgd", schedule__momentum=0.0, schedule__weight_decay=0.0, schedule__learning_rate=1.0,
        schedule__learning_rate_schedule="constant", schedule__batch_size=64,
    )  # fmt: skip

    def moved(limit: float | None) -> float:
        network, training = model(), vectors(64)
        run = start_training(network, options.override({"schedule.clip_norm": limit}), training)
        run.objective.prepare(0)
        before = weights(network)
        module.one_epoch(run, 0)
        after = weights(network)
        return math.sqrt(sum(float((after[name] - before[name]).square().sum()) for name in before))

    assert moved(1e-3) == pytest.approx(1e-3, rel=1e-3)
    assert moved(None) > 1e-2


# which weights are kept


def scripted(values: list[float]) -> Callable[..., dict[str, float]]:
    remaining = iter(values)

    def metrics(network: DeepRegression, inputs: Inputs, processes: Processes) -> dict[str, float]:
        return {"mae": next(remaining), "nll": 0.0}

    return metrics


def test_the_best_round_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "evaluate", scripted([3.0, 1.0, 2.0]))
    seen: list[dict[str, Tensor]] = []
    network = model()

    class Keep(NullReporter):
        def round_done(self, metrics: dict[str, float]) -> None:
            seen.append({name: value.clone() for name, value in network.state_dict().items()})

    trained = train(network, recipe(), vectors(), vectors(40, seed=1), output=tmp_path, reporter=Keep())
    kept = trained.model.state_dict()
    for name in ("projection.weight", "normalisation.running_mean", "head.A"):
        assert torch.equal(kept[name], seen[1][name])
    assert not torch.equal(seen[1]["projection.weight"], seen[2]["projection.weight"])
    assert_same_weights(load_model(tmp_path / "model.safetensors", perceptron()), trained.model)


def test_the_recipe_names_the_figure_that_selects() -> None:
    options = recipe(schedule__select_by="nll", schedule__rounds=4)
    trained = train(model(), options, vectors(), vectors(40, seed=1))
    best = min(trained.history, key=lambda row: row["validation_nll"])
    trained.model.head.covariance_scale.fill_(1.0)
    # the figures of the rounds are those before the calibration
    assert evaluate(trained.model, vectors(40, seed=1))["nll"] == pytest.approx(best["validation_nll"], rel=1e-9)


def test_without_validation_the_last_round_is_kept() -> None:
    network = model()
    seen: list[Tensor] = []

    class Keep(NullReporter):
        def round_done(self, metrics: dict[str, float]) -> None:
            seen.append(weights(network)["projection.weight"])

    trained = train(network, recipe(), vectors(), reporter=Keep())
    assert torch.equal(weights(trained.model)["projection.weight"], seen[-1])
    assert float(trained.model.head.covariance_scale) == 1.0


def test_validation_calibrates_the_model_that_is_kept() -> None:
    trained = train(model(), recipe(), vectors(), vectors(40, seed=1))
    assert float(trained.model.head.covariance_scale) != 1.0


def test_the_best_epoch_of_a_round_is_kept_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    remaining = iter([3.0, 1.0, 2.0])
    epochs: list[dict[str, Tensor]] = []
    network = model()

    def validation_loss(*args: object) -> float:
        epochs.append(weights(network))
        return next(remaining)

    monkeypatch.setattr(module, "validation_loss", validation_loss)
    options = recipe(schedule__keep_epoch="best", schedule__epochs_per_round=3, schedule__rounds=1)
    trained = train(network, options, vectors(), vectors(40, seed=1))
    for name, value in weights(trained.model).items():
        assert torch.equal(value, epochs[1][name]), name
    assert not torch.equal(epochs[1]["projection.weight"], epochs[2]["projection.weight"])


def test_the_validation_loss_is_the_objectives_over_all_inputs() -> None:
    network, training, validation = model(), vectors(), vectors(37, seed=1)
    run = start_training(network, recipe(schedule__batch_size=10), training)
    run.objective.prepare(0)
    whole = run.objective.loss(network.features(torch.as_tensor(validation.values)), validation.targets)
    # float32, in batches of another size
    assert module.validation_loss(run, validation) == pytest.approx(float(whole.detach()), rel=1e-5)


# reports and failures


def test_every_round_leaves_a_row(tmp_path: Path) -> None:
    received = Record()
    trained = train(model(), recipe(), vectors(), vectors(40, seed=1), output=tmp_path, reporter=received)
    rows = table(tmp_path / "metrics.csv")
    assert [float(row["round"]) for row in rows] == [1, 2, 3]
    assert received.rows == trained.history
    for row, kept in zip(rows, trained.history, strict=True):
        assert {name: float(value) for name, value in row.items()} == kept
    expected = {"train_loss", "learning_rate", "log_likelihood", "em_iterations", "components", "validation_mae"}
    assert expected | {"validation_nll", "validation_coverage_90_yaw"} <= rows[0].keys()
    assert received.begun == [(12, 0)]
    assert received.steps == 12
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.csv", CHECKPOINT, "model.safetensors"}


def test_rows_may_have_different_columns(tmp_path: Path) -> None:
    write_rows(tmp_path / "deep" / "m.csv", [{"a": 1.0}, {"a": 2.0, "b": 3.0}])
    assert table(tmp_path / "deep" / "m.csv") == [{"a": "1.0", "b": ""}, {"a": "2.0", "b": "3.0"}]


def test_a_trained_model_is_in_evaluation_mode_and_agrees_with_its_file(tmp_path: Path) -> None:
    trained = train(model(), recipe(), vectors(), output=tmp_path).model
    assert not trained.training
    loaded = load_model(tmp_path / "model.safetensors", perceptron(seed=5))
    x = next(batches(vectors(), 8))[0]
    assert x.shape == (8, N_INPUTS)
    assert torch.equal(loaded(x).mean, trained(x).mean)


def test_three_rounds_of_frozen_responsibilities_then_em() -> None:
    history = train(model(), recipe(objective__n_components=2, objective__frozen_rounds=2), vectors()).history
    # the solution after round r is that of round r + 1
    assert [row["em_iterations"] == 1 for row in history] == [True, False, False]


def test_augmented_features_are_those_of_the_next_rounds_first_epoch() -> None:
    options = recipe(schedule__augmented_features=True)
    network, training = model(backbone=convolutions()), faces()
    run = start_training(network, options, training)
    plain_features = collect_features(network, run.inputs, options.schedule, None)
    augmented = collect_features(network, run.inputs, options.schedule, 0)
    assert not torch.equal(plain_features[0], augmented[0])
    assert not torch.equal(plain_features[1], augmented[1])  # mirrored pictures have mirrored targets
    norm = network.normalisation
    assert norm.running_mean is not None
    # projected at PCA's mean, in float32
    torch.testing.assert_close(augmented[0].mean(0), norm.running_mean, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain_features[0].mean(0), norm.running_mean, atol=1e-4)


def test_an_offset_of_the_targets_changes_the_training_by_rounding_only() -> None:
    """Targets of whole numbers up to 2^24, which float32 holds with and without the offset."""
    near, offset = vectors(), 2.0**23
    near.targets = (1e3 * near.targets).round()
    far = ArrayInputs(near.values, near.targets + offset)
    expected, found = (train(model(), recipe(), inputs, inputs) for inputs in (near, far))
    for name in ("train_loss", "validation_mae", "log_likelihood"):
        one, other = ([row[name] for row in result.history] for result in (found, expected))
        assert one == pytest.approx(other, rel=1e-5, abs=1e-5), name
    x = torch.as_tensor(near.values)
    with torch.no_grad():
        mean, moved = (result.model(x).mean for result in (expected, found))
    torch.testing.assert_close(moved - offset, mean, rtol=1e-5, atol=1e-2)
