"""Training, prediction and EM on a CUDA device: pictures per second, shares of the parts, EM relative to its floor.

Each network trains with the default objective, K = 5, and predicts, in float32 and under bf16 autocast. The clock waits
for the device after each part. Pictures and weights are random, on which the time does not depend; weights files can be
given. EM is compared with the CPU of the same machine and with the two matrix products of benchmarks/em.py. Loops end
after a number of seconds, so that the whole takes less than eight minutes on a data-centre GPU.

Example:
    python -m benchmarks.gpu
    python -m benchmarks.gpu --networks vgg16 --weights vgg16=vgg16.safetensors --batch 128
    python -m benchmarks.gpu --device cpu --quick
"""

import argparse
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.em import SIZES as EM_SIZES
from benchmarks.em import Size
from benchmarks.gpu_em import compare_em
from benchmarks.gpu_plan import Clock, Plan
from benchmarks.training import pictures
from deepgllim.nn import FaceInputs, Recipe
from deepgllim.nn.batches import batches
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.objectives import Objective, make_objective
from deepgllim.nn.optimization import make_optimizer
from deepgllim.runs import build_model

SIDES = {"vgg16": 224, "facemesh_v2": 192, "efficientnet_lite0": 224}
"""The networks, with the side of their pictures in pixels."""

TINY_SIDES = {"vgg16": 32, "facemesh_v2": 64, "efficientnet_lite0": 32}
PRECISIONS = ("float32", "bf16")
WARM_UP = 3
OUTPUT = Path(__file__).with_name("gpu.json")


def make_recipe(name: str, weights: str | None, plan: Plan) -> Recipe:
    """Return the recipe of a network: the default objective with five components and all stages trained."""
    values = {
        "network.backbone": name,
        "network.weights": weights,
        "data.image_size": SIDES[name],
        "objective.n_components": 5,
        "objective.frozen_rounds": 0,
        "schedule.batch_size": plan.batch,
    }
    if plan.options:
        values["data.image_size"] = TINY_SIDES[name]
    if plan.options and name == "vgg16":
        values["network.head"] = "average"  # without the 120 million weights of fc6 and fc7
    return Recipe().override(values | plan.options)


def moved(inputs: FaceInputs, plan: Plan, epoch: int | None, clock: Clock) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches on the device until the time is over; restart the clock after those of the warm-up."""
    stream = batches(inputs, plan.batch, epoch=epoch, shuffle=epoch is not None, workers=plan.workers)
    for i, (x, y) in enumerate(stream):
        x, y = x.to(plan.device, non_blocking=True), y.to(plan.device, non_blocking=True)
        clock.lap("loading")
        yield x, y
        if i + 1 == plan.warm_up:
            clock.restart()
        elif i + 1 > plan.warm_up and clock.total > plan.seconds:
            return


def features_of(model: DeepRegression, x: Tensor, precision: str) -> Tensor:
    """Return the features of pictures; the layers before the normalisation run in the precision."""
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
        projected = model.project(x)
    features: Tensor = model.normalisation(projected.float())
    return features


@torch.no_grad()
def predict(
    model: DeepRegression, inputs: FaceInputs, plan: Plan, precision: str
) -> tuple[dict[str, Any], Tensor, Tensor]:
    """Time prediction from pictures to means and covariances; also return features and targets."""
    model.eval()
    clock, parts = Clock(plan.device), []
    for x, y in moved(inputs, plan, None, clock):
        features = features_of(model, x, precision)
        clock.lap("network")
        answer = model.head(features)
        _ = answer.mean, answer.covariance_matrix
        clock.lap("head")
        parts.append((features, y))
    counted = sum(len(y) for _, y in parts[plan.warm_up :])
    return rates(counted, clock), torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def rates(counted: int, clock: Clock) -> dict[str, Any]:
    """Return pictures per second, with and without loading, and the shares of the parts."""
    seconds, total = clock.seconds, clock.total
    return {
        "pictures": counted,
        "pictures_per_second": round(counted / total, 2),
        "pictures_per_second_without_loading": round(counted / (total - seconds["loading"]), 2),
        "shares": {part: round(value / total, 4) for part, value in seconds.items()},
    }


def start(model: DeepRegression, recipe: Recipe, features: Tensor, y: Tensor) -> tuple[Objective, Tensor]:
    """Return the objective, started from features, and the features normalised by their own statistics."""
    norm = model.normalisation
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(features.mean(0))
    norm.running_var.copy_(features.var(0, correction=0))
    objective = make_objective(model.head, recipe, y)
    with torch.no_grad():
        normalised = norm.eval()(features)
        objective.start(normalised, y)
    objective.prepare(0)
    return objective, normalised


def train(
    model: DeepRegression, recipe: Recipe, objective: Objective, inputs: FaceInputs, plan: Plan, precision: str
) -> tuple[int, Clock, float]:
    """Train for the batches of an epoch; return the number of timed pictures, their clock, and the last loss."""
    optimizer = make_optimizer(model, recipe.schedule)
    model.train()
    clock, sizes, loss = Clock(plan.device), [], torch.zeros(())
    for x, y in moved(inputs, plan, 0, clock):
        features = features_of(model, x, precision)
        loss = objective.loss(features, y)
        clock.lap("forward")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clock.lap("backward")
        objective.update(features.detach(), y)
        clock.lap("em")
        sizes.append(len(y))
    return sum(sizes[plan.warm_up :]), clock, float(loss.detach())


def measure_network(name: str, weights: str | None, plan: Plan, precision: str) -> dict[str, Any]:
    """Time prediction, a training epoch, and the EM at its end, whose time counts for as many pictures."""
    recipe = make_recipe(name, weights, plan)
    inputs = pictures(recipe, plan.n_pictures)
    if plan.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(plan.device)
    model = build_model(recipe, ("pitch", "yaw")).to(plan.device)
    predicted, features, y = predict(model, inputs, plan, precision)
    objective, normalised = start(model, recipe, features, y)
    counted, clock, loss = train(model, recipe, objective, inputs, plan, precision)
    clock.lap("pause")
    figures = objective.solve(normalised, y, 1)
    seconds_of_em = clock.lap("pause")
    del clock.seconds["pause"]
    clock.seconds["em"] += seconds_of_em * counted / len(y)
    trained = rates(counted, clock) | {
        "em_seconds_of_the_round": round(seconds_of_em, 4),
        "em_iterations_of_the_round": figures["em_iterations"],
        "loss": loss,
    }
    answer = {"precision": precision, "side": recipe.data.image_size, "training": trained, "prediction": predicted}
    if plan.device.type == "cuda":
        answer["peak_bytes"] = torch.cuda.max_memory_allocated(plan.device)
    return answer


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the names and versions of what is measured."""
    answer: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type != "cuda":
        return answer | {"device": "CPU: a test of this script, not a measurement"}
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return answer | {
        "device": torch.cuda.get_device_name(device),
        "memory_bytes": torch.cuda.get_device_properties(device).total_memory,
        "driver": driver,
        "cuda": torch.version.cuda,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
    }


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="device of torch (cuda)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to test this script")
    parser.add_argument("--networks", nargs="+", choices=SIDES, default=list(SIDES), help="networks (all)")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NETWORK=FILE", help="weights (random)")
    parser.add_argument("--pictures", type=int, default=2048, help="pictures of a loop, at most (2048)")
    parser.add_argument("--batch", type=int, default=64, help="pictures in a batch (64)")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds after which a loop ends (10)")
    parser.add_argument("--workers", type=int, default=min(12, os.cpu_count() or 1), help="loading processes")
    parser.add_argument("--repeats", type=int, default=20, help="EM iterations, at most (20)")
    parser.add_argument("--output", type=Path, help="JSON file (gpu.json next to this script, if --device is cuda)")
    options = parser.parse_args()
    if options.pictures <= WARM_UP * options.batch:
        parser.error(f"--pictures {options.pictures}: use more than {WARM_UP} batches, which are not counted")
    return options


def make_plan(options: argparse.Namespace) -> Plan:
    """Return what is measured."""
    device = torch.device(options.device)
    if options.quick:
        tiny = {"network.projection": 8, "objective.n_components": 2}
        return Plan(device, 8, 4, 1, math.inf, 0, 2, EM_SIZES["tiny"], tiny)
    sizes = [*EM_SIZES["full"], Size(100_000, 512, 3, 20)]
    return Plan(
        device, options.pictures, options.batch, WARM_UP, options.seconds, options.workers, options.repeats, sizes, {}
    )


def main() -> None:
    """Print one JSON object and write it to a file, or print why nothing is measured."""
    options = parse()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            f"nothing is measured: torch {torch.__version__} finds no CUDA device "
            "(--device cpu --quick tests this script without one)"
        )
        return
    plan, began = make_plan(options), time.perf_counter()
    files = dict(text.split("=", 1) for text in options.weights)
    networks: dict[str, list[dict[str, Any]]] = {}
    for name in options.networks:
        networks[name] = [measure_network(name, files.get(name), plan, precision) for precision in PRECISIONS]
    em = [compare_em(size, plan) for size in plan.sizes]
    batch = {"batch": plan.batch, "workers": plan.workers, "weights": files or "random"}
    report = {**hardware(plan.device), **batch, "networks": networks, "em": em}
    report["seconds"] = round(time.perf_counter() - began, 1)
    text = json.dumps(report, indent=2)
    print(text)
    output = options.output or (OUTPUT if plan.device.type == "cuda" else None)
    if output is not None:
        output.write_text(text + "\n")


if __name__ == "__main__":
    main()
