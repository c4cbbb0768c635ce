"""The guard: a round that ends badly leaves no trace but a smaller step size, and no training ends without a model."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deepgllim.errors import DataError, EmptyComponentWarning, NumericalError, TrainingWarning
from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.evaluation import predict_inputs
from deepgllim.nn.guard import MAX_FAILURES, constant_error, find_fault, least_error
from deepgllim.nn.inputs import ArrayInputs
from deepgllim.nn.inverse_regression import InverseRegression
from deepgllim.nn.start import start_training
from deepgllim.nn.training import TrainingResult, train
from tests.nn.tiny import Head as Name
from tests.nn.tiny import assert_same_weights, model, recipe, timeless, vectors

HEADS: tuple[Name, ...] = ("inverse_regression", "least_squares", "mixture_density")
every = pytest.mark.parametrize("head", HEADS)
HUGE: dict[str, Any] = {
    "schedule__optimizer": "sgd",
    "schedule__learning_rate": 1e30,
    "schedule__clip_norm": None,
    "schedule__learning_rate_schedule": "constant",
}


def quietly(*args: Any, **options: Any) -> tuple[TrainingResult, list[str]]:
    """`train`, and the messages of the rounds that were undone."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainingWarning)
        warnings.simplefilter("ignore", EmptyComponentWarning)
        trained = train(*args, **options)
    return trained, [str(warning.message) for warning in caught if warning.category is TrainingWarning]


def failing(monkeypatch: pytest.MonkeyPatch, *calls: int, error: Exception | None = None) -> None:
    """Let some calls of the closed-form step fail, or return one component less."""
    solve, count = InverseRegression.solve, iter(range(1, 1000))

    def broken(self: InverseRegression, x: Tensor, y: Tensor, round_: int) -> dict[str, float]:
        metrics = solve(self, x, y, round_)
        if next(count) in calls:
            if error is not None:
                raise error
            return metrics | {"components": metrics["components"] - 1}
        return metrics

    monkeypatch.setattr(InverseRegression, "solve", broken)


# what is a fault


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"train_loss": math.nan}, "train_loss is nan"),
        ({"log_likelihood": -math.inf}, "log_likelihood is -inf"),
        ({"validation_nll": math.nan}, "validation_nll is nan"),
        ({"components": 2.0}, "2 of 3 components are left"),
        ({"validation_mae": 10.1}, "the validation error is 10.1, more than 2 times the best, 5"),
        ({"train_loss": 1.0, "components": 3.0, "validation_mae": 9.9, "validation_nll": 12.0}, None),
        ({}, None),
    ],
)
def test_a_fault_is_named_with_its_value(row: dict[str, float], expected: str | None) -> None:
    assert find_fault(row, 3, 5.0) == expected


def test_an_error_like_that_of_the_mean_is_a_collapse_after_better_rounds() -> None:
    training, validation = torch.tensor([[0.0, 2.0], [2.0, 4.0]]), torch.tensor([[11.0, -7.0]])
    constant = constant_error(training, validation)
    assert constant == 10.0
    assert find_fault({"validation_mae": 9.9}, None, 7.9, constant) == (
        "the validation error is 9.9, that of a constant prediction, and the best 7.9"
    )
    assert find_fault({"validation_mae": 9.9}, None, 8.1, constant) is None
    assert find_fault({"validation_mae": 9.4}, None, 7.9, constant) is None
    assert find_fault({"validation_mae": 9.9}, None, math.inf, constant) is None


def test_the_least_error_is_infinite_before_the_first_validation() -> None:
    assert least_error([]) == math.inf
    assert least_error([{"round": 1.0}]) == math.inf
    assert least_error([{"validation_mae": 4.0}, {"validation_mae": 3.0}]) == 3.0
    assert find_fault({"validation_mae": 1e9}, None, math.inf) is None


# undone and repeated


@every
def test_a_step_size_far_too_large_ends_with_the_model_of_the_start(head: Name) -> None:
    options = recipe(head, **HUGE)
    started = model(head)
    start_training(started, options, vectors())
    trained, messages = quietly(model(head), options, vectors(), vectors(seed=3))
    assert trained.history == []
    assert len(messages) == MAX_FAILURES
    assert "round 1 was undone (the loss is nan at epoch 1" in messages[0]
    assert "repeated with a learning rate of 5e+29" in messages[0]
    assert "the training ends with the best round so far: use a smaller schedule.learning_rate" in messages[-1]
    expected = predict_inputs(started, vectors(seed=5)).mean
    assert torch.equal(
        torch.from_numpy(predict_inputs(trained.model, vectors(seed=5)).mean), torch.from_numpy(expected)
    )


def test_beta_0_with_one_variance_also_ends_with_a_model() -> None:
    """The paper's step at a step size at which features collapse."""
    options = recipe(
        objective__beta=0.0,
        objective__covariance_type="full",
        objective__network_noise="tied_isotropic",
        objective__n_components=2,
        schedule__em="round",
        schedule__learning_rate=0.5,
        schedule__rounds=6,
        schedule__epochs_per_round=4,
    )
    trained, _ = quietly(model(), options, vectors(96), vectors(seed=3))
    predictions = predict_inputs(trained.model, vectors(seed=5))
    assert np.isfinite(predictions.mean).all()
    assert np.isfinite(predictions.log_probability).all()


@pytest.mark.parametrize("error", [None, NumericalError("singular"), torch.linalg.LinAlgError("no convergence")])  # type: ignore[attr-defined]
def test_a_round_that_fails_once_is_repeated_with_half_the_step(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    options = recipe(objective__n_components=2, schedule__learning_rate_schedule="constant")
    failing(monkeypatch, 2, error=error)
    trained, messages = quietly(model(), options, vectors(96), vectors(seed=3))
    assert [row["round"] for row in trained.history] == [1, 2, 3]
    assert [row["learning_rate"] for row in trained.history] == [5e-3, 2.5e-3, 2.5e-3]
    cause = "1 of 2 components are left" if error is None else str(error)
    assert messages == [f"round 2 was undone ({cause}): it is repeated with a learning rate of 0.0025"]


def test_an_undone_round_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failing in the first round, then going on, is the training with half the step size from the start."""
    half = recipe(schedule__learning_rate=2.5e-3, objective__assignment="sampled", objective__n_components=2)
    whole = half.override({"schedule.learning_rate": 5e-3})
    expected = train(model(), half, vectors(96), vectors(seed=3))
    failing(monkeypatch, 1, error=NumericalError("singular"))
    found, _ = quietly(model(), whole, vectors(96), vectors(seed=3))
    assert_same_weights(found.model, expected.model)
    assert timeless(found.history) == timeless(expected.history)


def test_three_failures_in_a_row_keep_the_best_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = recipe(schedule__rounds=4)
    kept = train(model(), options.override({"schedule.rounds": 4}), vectors(96), None, output=tmp_path / "a").history
    failing(monkeypatch, 2, 3, 4, error=NumericalError("singular"))
    found, messages = quietly(model(), options, vectors(96), None, output=tmp_path / "b")
    assert timeless(found.history) == timeless(kept[:1])
    assert len(messages) == 3
    assert (tmp_path / "b" / "model.safetensors").is_file()


def test_failures_apart_from_each_other_do_not_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 1, 3, 5, 7, error=NumericalError("singular"))
    trained, messages = quietly(model(), recipe(schedule__rounds=4), vectors(96))
    assert len(trained.history) == 4
    assert len(messages) == 4


def test_a_resumed_training_keeps_its_smaller_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = recipe(schedule__rounds=4, schedule__learning_rate_schedule="constant")
    failing(monkeypatch, 2, error=NumericalError("singular"))
    whole, _ = quietly(model(), options, vectors(96), vectors(seed=3), output=tmp_path / "whole")

    class StopAfterTwo:
        def start(self, steps: int, done: int) -> None: ...
        def advance(self, message: str) -> None: ...
        def round_done(self, metrics: dict[str, float]) -> None:
            if metrics["round"] == 3:
                raise KeyboardInterrupt

    monkeypatch.undo()
    failing(monkeypatch, 2, error=NumericalError("singular"))
    with pytest.raises(KeyboardInterrupt):
        quietly(model(), options, vectors(96), vectors(seed=3), output=tmp_path / "part", reporter=StopAfterTwo())
    assert (tmp_path / "part" / CHECKPOINT).is_file()
    monkeypatch.undo()
    resumed, messages = quietly(model(), options, vectors(96), vectors(seed=3), output=tmp_path / "part", resume=True)
    assert messages == []
    assert timeless(resumed.history) == timeless(whole.history)
    assert_same_weights(resumed.model, whole.model)


def test_other_errors_end_the_training_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 1, error=OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        train(model(), recipe(), vectors(96))


# inputs from which little can be learned


def constant(inputs: ArrayInputs, column: int | None = None) -> ArrayInputs:
    """With a target, or all of them, at 5."""
    targets = inputs.targets.clone()
    targets[:, slice(None) if column is None else column] = 5.0
    return ArrayInputs(inputs.values, targets)


def alike(inputs: ArrayInputs) -> ArrayInputs:
    """Sixty-four times the same input."""
    values = torch.as_tensor(inputs.values)
    return ArrayInputs(values[:1].repeat(len(values), 1), inputs.targets)


HOSTILE: dict[str, tuple[ArrayInputs, dict[str, Any]]] = {
    "a constant target": (constant(vectors(), 1), {"objective__n_components": 2}),
    "constant targets": (constant(vectors()), {}),
    "equal pictures": (alike(vectors()), {"objective__n_components": 2}),
    "float16 inputs": (ArrayInputs(torch.as_tensor(vectors().values).half(), vectors().targets), {}),
    "float64 inputs": (ArrayInputs(torch.as_tensor(vectors().values).double(), vectors().targets), {}),
    "a hundred times the step size": (vectors(), {"schedule__learning_rate": 0.5, "objective__n_components": 3}),
    "ten thousand times the step size": (vectors(), {"schedule__learning_rate": 50.0, "objective__n_components": 3}),
    "a component for three inputs": (vectors(), {"objective__n_components": 20}),
    "two inputs": (ArrayInputs(vectors().values[:2], vectors().targets[:2]), {}),
}


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("name", HOSTILE)
def test_every_training_ends_with_finite_predictions(name: str, beta: float) -> None:
    inputs, options = HOSTILE[name]
    for head in ("inverse_regression", "least_squares"):
        own = options | {"objective__beta": beta}
        kept = own if head == "inverse_regression" else {k: v for k, v in own.items() if k.startswith("schedule")}
        trained, _ = quietly(model(head), recipe(head, **kept), inputs, vectors(seed=3))
        predictions = predict_inputs(trained.model, vectors(seed=5))
        assert np.isfinite(predictions.mean).all()
        assert np.isfinite(predictions.log_probability).all()


def test_more_components_than_targets_are_refused() -> None:
    few = ArrayInputs(vectors().values, vectors().targets.round(decimals=-2))
    distinct = len(torch.unique(few.targets, dim=0))
    with pytest.raises(
        DataError, match=f"components is 30, but the 64 training inputs have {distinct} different targets"
    ):
        train(model(), recipe(objective__n_components=30), few)


@every
def test_inputs_that_are_not_finite_are_named(head: Name) -> None:
    values = torch.as_tensor(vectors().values).clone()
    values[7, 2] = math.nan
    with pytest.raises(DataError, match="features of training input 7 are not finite"):
        train(model(head), recipe(head), ArrayInputs(values, vectors().targets))
