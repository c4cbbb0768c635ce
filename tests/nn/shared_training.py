"""What each of two processes runs for test_distributed.py; `run` gives the expected results in one process."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from deepgllim.nn.distributed import ALONE, Processes, launched_processes
from deepgllim.nn.features import cache_activations
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.inverse_regression import InverseRegression
from deepgllim.nn.training import TrainingResult, train
from deepgllim.storage import write_tensors
from tests.nn.tiny import Head, convolutions, faces, model, perceptron, recipe, vectors

Results = dict[str, Tensor]
EM = recipe(objective__n_components=2, objective__frozen_rounds=0, objective__tol=0, objective__max_iter=8)
OBJECTIVES: tuple[Head, ...] = ("inverse_regression", "least_squares", "mixture_density")
N = 67  # no multiple of the batch size or the number of processes


def theta(processes: Processes, folder: Path) -> Results:
    """EM of a round, and stepwise EM in batches, from the same features."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.randn(N, 2, generator=generator)
    features = torch.cat([targets, targets.sin()], 1) + 0.3 * torch.randn(N, 4, generator=generator)
    objective = InverseRegression(InverseRegressionHead(4, 2), EM, targets, processes)
    objective.start(features, targets)
    objective.prepare(0)
    for start in range(0, N, 16):
        x, y = features[start : start + 16], targets[start : start + 16]
        own = processes.rows(len(x))
        objective.update(x[own.start : own.stop], y[own.start : own.stop], len(x))
    found = {f"stepwise.{name}": value.clone() for name, value in objective.head.mixture.tensors.items()}
    objective.solve(features, targets, 0)
    return found | {f"full.{name}": value for name, value in objective.head.mixture.tensors.items()}


SHIFTS = ("backbone.stages.2.bias", "projection.bias", "normalisation.running_mean")
"""A shift before the last normalisation has no effect: its gradient is rounding, of which AdamW makes whole steps."""


def described(result: TrainingResult) -> Results:
    """The weights of a trained model in double precision, without `SHIFTS`, and its metrics."""
    last = {name: value for name, value in result.history[-1].items() if "seconds" not in name}
    weights = {
        f"weights.{name}": value.double() for name, value in result.model.state_dict().items() if name not in SHIFTS
    }
    return weights | {f"metrics.{name}": torch.tensor(value, dtype=torch.float64) for name, value in last.items()}


def trained(head: Head) -> Callable[[Processes, Path], Results]:
    """A training of three rounds on vectors, with validation and a learned scale in the normalisation."""

    def run(processes: Processes, folder: Path) -> Results:
        options = recipe(head, objective__refit=True, objective__n_components=2, network__affine_norm=True)
        network = model(head, perceptron(), affine_norm=True)
        return described(train(network, options, vectors(N), vectors(33, 1), processes=processes))

    return run


def batch_norm(processes: Processes, folder: Path) -> Results:
    """A training on pictures whose backbone has a batch normalisation with the statistics of the batch."""
    backbone = convolutions()
    backbone.normalisation = "batch"
    options = recipe(data__image_size=16, schedule__rounds=1, schedule__keep_epoch="best")
    options = options.override({"schedule.optimizer": "sgd", "schedule.learning_rate": 0.05})  # see SHIFTS
    result = train(model(backbone=backbone), options, faces(), faces(9, seed=1), processes=processes)
    return described(result)


def frozen(processes: Processes, folder: Path) -> Results:
    """A training from the output of a frozen stage, which the processes compute in shares."""
    options = recipe(network__frozen_depths=(1,), schedule__rounds=1)
    result = described(train(model(), options, vectors(N), output=folder / "run", processes=processes))
    file = folder / "stages.npy"
    stages = cache_activations(model(), vectors(N), 1, 16, file, processes=processes)
    return result | {"stages": torch.tensor(stages.values).double()}


def reduced(processes: Processes, folder: Path) -> Results:
    """The loss of a training in bfloat16."""
    options = recipe("least_squares", schedule__precision="bf16")
    history = train(model("least_squares"), options, vectors(N), processes=processes).history
    return {"loss": torch.tensor([row["train_loss"] for row in history])}


CASES: dict[str, Callable[[Processes, Path], Results]] = {
    "theta": theta,
    **{head: trained(head) for head in OBJECTIVES},
    "batch_norm": batch_norm,
    "frozen": frozen,
    "reduced": reduced,
}


def run(processes: Processes, folder: Path) -> Results:
    """Run all cases."""
    folder.mkdir(parents=True, exist_ok=True)
    results: Results = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, case in CASES.items():
            results |= {f"{name}/{key}": value for key, value in case(processes, folder / name).items()}
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    with launched_processes() as processes:
        assert processes is not ALONE
        found = run(processes, Path(sys.argv[1]))
        write_tensors(Path(sys.argv[1]) / f"{processes.rank}.safetensors", found, {})
