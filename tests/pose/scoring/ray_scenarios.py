"""Scorings with Ray, in a process of their own: threads of Ray do not survive the forks of other tests.

Run as a script with the folder of the inputs; it prints one JSON object.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepgllim.pose.scoring import engine_ray
from deepgllim.pose.scoring.engine_ray import ScoringActor, score_with_ray
from deepgllim.pose.scoring.options import ShardResult
from deepgllim.pose.scoring.run import score
from deepgllim.pose.scoring.shards import Shard, find_shards
from tests.pose.scoring.inputs import options_for

SHARD_SIZE = 4


KILLED = ("a.tar.parquet", "pictures-000001.parquet")
"""Shards at which an actor is killed."""


class KilledActor(ScoringActor):
    """An actor whose process is killed once at some shards, while its temporary file exists."""

    def score(self, shard: Shard) -> ShardResult:
        folder = self._arguments[1]
        mark = folder / f".{shard.name}.seen"
        if shard.name in KILLED and not mark.exists():
            mark.touch()
            (folder / f".{shard.name}.{os.getpid()}-0.tmp").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(shard)


class PoisonedActor(ScoringActor):
    """An actor whose process is killed by one shard, each time."""

    def score(self, shard: Shard) -> ShardResult:
        if shard.name == "a.tar.parquet":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(shard)


class Scenarios:
    """The scorings of one input.

    Args:
        folder: folder with `in`, `tiny.onnx`, to which the results are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.source = folder, str(folder / "in")
        self.options = options_for(folder / "tiny.onnx", shard_size=SHARD_SIZE)

    def both(self) -> list[list[ShardResult]]:
        """Score with Ray, and again, where all is finished."""
        output = self.folder / "ray"
        return [list(score(self.source, output, self.options, "ray", workers=2)) for _ in range(2)]

    def killed(self) -> list[ShardResult]:
        """Score with actors that are killed once at each shard."""
        engine_ray.ScoringActor = KilledActor  # type: ignore[misc]
        return list(score(self.source, self.folder / "killed", self.options, "ray", workers=2))

    def poisoned(self) -> tuple[list[ShardResult], list[int]]:
        """Score with actors that one shard kills; also return how many shards were taken at each result."""
        engine_ray.ScoringActor, engine_ray.RETRIES = PoisonedActor, 1  # type: ignore[misc]
        (self.folder / "poisoned").mkdir()
        taken = 0

        def shards() -> Iterator[Shard]:
            nonlocal taken
            for shard in find_shards(self.source, SHARD_SIZE):
                taken += 1
                yield shard

        scored = score_with_ray(shards(), self.options, self.folder / "poisoned", workers=1)
        counted = [(result, taken) for result in scored]
        return [result for result, _ in counted], [count for _, count in counted]

    def other_model(self) -> list[ShardResult]:
        """Score with a digest that is not that of the model."""
        engine_ray.ScoringActor = ScoringActor  # type: ignore[misc]
        (self.folder / "other").mkdir()
        options = self.options._replace(digest="0" * 64)
        return list(score_with_ray(find_shards(self.source, 100), options, self.folder / "other", workers=1))


def main() -> None:
    """Run all scenarios in one session of Ray."""
    found: dict[str, Any] = {}
    scenarios = Scenarios(Path(sys.argv[1]))
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's default stops the actors beside other work
    ray = engine_ray.load_ray()
    engine_ray.start_ray(ray, num_cpus=2)
    for name in ("both", "killed", "poisoned", "other_model"):
        found[name] = getattr(scenarios, name)()
    from ray._common.usage import usage_lib

    found["usage"] = usage_lib.usage_stats_enabled()
    ray.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
