"""Scoring in actors of Ray, on one machine or on a cluster."""

import itertools
import logging
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from deepgllim.errors import ConfigurationError, DeepGLLiMError
from deepgllim.pose.scoring.locations import first_line
from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
from deepgllim.pose.scoring.scorer import ShardScorer
from deepgllim.pose.scoring.shards import Shard

RETRIES = 3
"""Number of further attempts at a shard whose actor died."""


STARTS = 3
"""Number of attempts to start Ray, which allows its processes 30 seconds: too few on a busy machine."""

_LOCAL = {"include_dashboard": False, "object_store_memory": 128 << 20}  # results are small


class ScoringActor:
    """A process that holds the model and scores shards; Ray starts it again if it dies."""

    def __init__(self, options: ScoringOptions, output: Path) -> None:
        self._arguments = options, output
        self._scorer: ShardScorer | None = None

    def score(self, shard: Shard) -> ShardResult:
        """Score a shard; a model that cannot be loaded is a result that ends the run."""
        try:
            self._scorer = self._scorer or ShardScorer(*self._arguments)
        except DeepGLLiMError as error:
            return ShardResult(shard.name, problem=str(error), fatal=True)
        return self._scorer.score(shard)

    def cpu_seconds(self) -> float:
        """Return the processor time of this process, seconds."""
        return time.process_time()


def score_with_ray(
    shards: Iterable[Shard], options: ScoringOptions, output: Path, workers: int | None = None
) -> Iterator[ShardResult]:
    """Yield the results of the shards as they finish.

    Ray runs on this machine, or in the cluster that the environment variable RAY_ADDRESS names. A shard whose actor
    dies is scored again.

    Args:
        shards: the shards, which are enumerated as actors become free.
        options: the options.
        output: the output folder, which all machines of a cluster must share.
        workers: number of actors; by default as many as the processors of the cluster allow.

    Raises:
        ConfigurationError: Ray is not installed or cannot be started.
    """
    ray = load_ray()
    remaining = iter(shards)
    first = next(remaining, None)
    if first is None:
        return
    started = start_ray(ray)
    actors = _actors(ray, options, output, workers)
    try:
        yield from _results(ray, actors, itertools.chain([first], remaining))
    finally:
        for actor in actors:  # none may write after the folder is unlocked
            ray.kill(actor)
        if started:
            ray.shutdown()


def load_ray() -> Any:
    """Import Ray with its usage statistics off.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise it warns at each start
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'deepgllim[ray]'") from error
    return ray


def start_ray(ray: Any, num_cpus: int | None = None) -> bool:
    """Start Ray or connect to its cluster, and return whether it was not initialised before.

    Args:
        ray: the module.
        num_cpus: number of processors of a Ray that is started here; by default all.

    Raises:
        ConfigurationError: Ray cannot be started, or there is no cluster at the address.
    """
    if ray.is_initialized():
        return False
    own = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": num_cpus, **_LOCAL}
    for attempt in range(STARTS):
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # Ray raises errors of many classes
            ray.shutdown()
            if attempt == STARTS - 1:
                text = f"Ray cannot be started ({first_line(error)}): check RAY_ADDRESS, or use --engine local"
                raise ConfigurationError(text) from error
        else:
            break
    return True


def _actors(ray: Any, options: ScoringOptions, output: Path, workers: int | None) -> list[Any]:
    available = max(1, int(ray.cluster_resources().get("CPU", 1)) // options.threads)
    actor = ray.remote(num_cpus=options.threads, max_restarts=-1, max_task_retries=RETRIES)(ScoringActor)
    return [actor.remote(options, output) for _ in range(min(workers or available, available))]


def _results(ray: Any, actors: list[Any], shards: Iterable[Shard]) -> Iterator[ShardResult]:
    """Yield results; at most one shard for each actor is in flight."""
    from ray.util import ActorPool

    pool: Any = ActorPool(actors)
    flying: dict[str, Shard] = {}
    remaining = iter(shards)
    while True:
        while pool.has_free() and (shard := next(remaining, None)) is not None:
            flying[shard.name] = shard
            pool.submit(lambda actor, value: actor.score.remote(value), shard)
        if not pool.has_next():
            break
        try:
            result: ShardResult = pool.get_next_unordered()
        except ray.exceptions.RayError:
            continue  # the shard stays in `flying`
        del flying[result.name]
        yield result
    for name in flying:
        yield ShardResult(name, problem=f"its process died {RETRIES + 1} times: score the shard with --engine local")
