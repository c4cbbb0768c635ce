"""Time `deepgllim.pose.scoring`: local and with some actors of Ray, relative to a loop around the predictor.

Pictures of 320 × 240 pixels with one rendered head each are in WebDataset archives. Rounds run in turns in one process,
and each figure is the median of the ratios within the rounds. CPU seconds are those of the processes that score; they
do not grow while other work has the processors. Ray is started once, and its actors have loaded the model before the
clock starts.
"""

import argparse
import io
import json
import os
import resource
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from deepgllim.pose import HeadPose
from deepgllim.pose.scoring import ScoringOptions, Shard, find_shards
from deepgllim.pose.scoring.archives import read_archive
from deepgllim.pose.scoring.engine_ray import ScoringActor, load_ray, start_ray
from deepgllim.pose.scoring.model import model_digest
from deepgllim.pose.scoring.scorer import ShardScorer
from deepgllim.synthetic import unpack_miniature

BATCH = 16
TARGET = 1.7
"""Throughput of two actors relative to one."""


def write_shards(folder: Path, count: int, pictures: int) -> int:
    """Write archives of pictures and return their size in bytes."""
    heads = folder / "heads"
    unpack_miniature(heads)
    paths = sorted(heads.rglob("*.jpg"))[: count * pictures]
    (folder / "in").mkdir()
    for n in range(count):
        with tarfile.open(folder / "in" / f"{n:03d}.tar", "w") as archive:
            for path in paths[n * pictures : (n + 1) * pictures]:
                content = _photograph(path)
                member = tarfile.TarInfo(path.name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return sum(path.stat().st_size for path in (folder / "in").iterdir())


def _photograph(path: Path) -> bytes:
    canvas, buffer = Image.new("RGB", (320, 240), (120, 125, 130)), io.BytesIO()
    canvas.paste(Image.open(path).resize((150, 150)), (80, 40))
    canvas.save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def predict_all(heads: HeadPose, shards: list[Shard]) -> None:
    """Predict all pictures of the shards without writing anything: the bare loop."""
    for shard in shards:
        with Path(shard.location).open("rb") as file:
            images = [Image.open(io.BytesIO(entry.content or b"")) for entry in read_archive(file)]
        for start in range(0, len(images), BATCH):
            heads.predict_batch(images[start : start + BATCH])


class Actors:
    """Actors of Ray that have loaded the model.

    Args:
        ray: the module.
        count: number of actors.
        options: the options.
        output: the output folder.
    """

    def __init__(self, ray: Any, count: int, options: ScoringOptions, output: Path) -> None:
        self._ray = ray
        kind = ray.remote(num_cpus=1)(ScoringActor)
        self._actors = [kind.remote(options, output) for _ in range(count)]
        self._clocks = [actor.cpu_seconds.remote for actor in self._actors]

    def score(self, shards: list[Shard]) -> None:
        """Score shards; each actor takes the next one when it is free."""
        from ray.util import ActorPool

        for result in ActorPool(self._actors).map_unordered(lambda actor, shard: actor.score.remote(shard), shards):
            assert result.problem is None, result.problem

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all actors."""
        return float(sum(self._ray.get([clock() for clock in self._clocks])))


def own_cpu_seconds() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work: Callable[[], object], cpu: Callable[[], float]) -> tuple[float, float]:
    """Return the wall-clock and CPU seconds of some work."""
    before, began = cpu(), time.perf_counter()
    work()
    return time.perf_counter() - began, cpu() - before


def summary(rounds: list[dict[str, tuple[float, float]]], pictures: int) -> dict[str, Any]:
    """Return pictures per second, CPU milliseconds per picture, and the medians of ratios within rounds."""
    names = rounds[0]

    def ratio(above: str, below: str) -> float:
        return round(statistics.median(each[below][0] / each[above][0] for each in rounds), 3)

    median = {name: [statistics.median(each[name][n] for each in rounds) for n in (0, 1)] for name in names}
    counts = [int(name.removeprefix("ray_")) for name in names if name.startswith("ray_")]
    return {
        "pictures_per_second": {name: round(pictures / wall, 2) for name, (wall, _) in median.items()},
        "cpu_ms_per_picture": {name: round(1000 * cpu / pictures, 2) for name, (_, cpu) in median.items()},
        "local_relative_to_loop": ratio("local", "loop"),
        "one_actor_relative_to_loop": ratio("ray_1", "loop"),
        "actors_relative_to_one": {str(n): ratio(f"ray_{n}", "ray_1") for n in counts},
        "two_actors_relative_to_one_by_round": [round(each["ray_1"][0] / each["ray_2"][0], 2) for each in rounds],
        "target": TARGET,
    }


def measure(folder: Path, count: int, pictures: int, repetitions: int, counts: list[int]) -> dict[str, Any]:
    """Return the figures."""
    size = write_shards(folder, count, pictures)
    options = ScoringOptions(None, model_digest(None), batch=BATCH)
    shards = list(find_shards(str(folder / "in")))
    heads, scorer, ray = HeadPose(threads=1), ShardScorer(options, folder / "local"), load_ray()
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - otherwise the actors alone have a low priority
    start_ray(ray, num_cpus=sum(counts))
    actors = {n: Actors(ray, n, options, folder / f"ray{n}") for n in counts}
    stages: dict[str, tuple[Callable[[], object], Callable[[], float]]] = {
        "loop": (lambda: predict_all(heads, shards), own_cpu_seconds),
        "local": (lambda: [scorer.score(shard) for shard in shards], own_cpu_seconds),
    }
    for n, each in actors.items():
        stages[f"ray_{n}"] = (partial(each.score, shards), each.cpu_seconds)
    for work, _ in stages.values():  # loads models and code
        work()
    load = os.getloadavg()[0]
    rounds = [{name: timed(*stage) for name, stage in stages.items()} for _ in range(repetitions)]
    output = sum(path.stat().st_size for path in (folder / "local").rglob("*.parquet"))
    total = count * pictures
    ray.shutdown()
    return {
        "pictures": total,
        "input_bytes_per_picture": round(size / total),
        "output_bytes_per_picture": round(output / total),
        "processors": os.cpu_count(),
        "load_before_and_after": [round(load, 1), round(os.getloadavg()[0], 1)],
        **summary(rounds, total),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=20, help="number of pictures in each shard")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--actors", type=int, nargs="+", default=[1, 2], help="numbers of actors: 1, 2 and others")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    counts = sorted({1, 2, *options.actors})
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.shards, options.pictures, options.repetitions, counts)
    text = json.dumps(found, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
