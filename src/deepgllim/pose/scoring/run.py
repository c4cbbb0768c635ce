"""A whole scoring: the shards of an input, those that are finished, and an engine for the others."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from deepgllim.errors import ConfigurationError
from deepgllim.pose.scoring.engine_local import score_locally
from deepgllim.pose.scoring.folder import finished_shard, output_folder
from deepgllim.pose.scoring.locations import open_location
from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
from deepgllim.pose.scoring.shards import Shard, find_shards

Engine = Literal["local", "ray"]


def score(
    source: str, output: Path, options: ScoringOptions, engine: Engine = "local", workers: int | None = None
) -> Iterator[ShardResult]:
    """Score an input, and yield the result of each shard. Finished shards are not scored again.

    The run ends after the first shard that cannot be written.

    Args:
        source: the input, as in `find_shards`.
        output: the output folder, which contains no other files.
        options: the options; they must be those of the earlier run if there is one.
        engine: "local" for this process, "ray" for actors of Ray.
        workers: number of actors of Ray.

    Raises:
        DataError: the input cannot be read, or the output folder cannot be used.
        ModelError: the model cannot be read.
        ConfigurationError: a package is not installed, or the input is in the memory of this process and the engine is
            Ray.
    """
    _require_packages()
    place = open_location(source)
    if engine == "ray" and place.store == "memory":
        raise ConfigurationError(f"{source}: other processes cannot read memory://: use --engine local")
    output = output.absolute()
    with output_folder(output, place.url, options):
        reused: list[ShardResult] = []
        names: set[str] = set()
        todo = _unfinished(find_shards(source, options.shard_size, excluded=output), output, reused, names)
        for result in _engine(todo, options, output, engine, workers):
            yield from _drained(reused)
            yield result
            if result.fatal:
                return
        yield from _drained(reused)
        yield from _without_input(output, names)


def _require_packages() -> None:
    for name in ("filelock", "fsspec", "pyarrow"):
        if find_spec(name) is None:
            raise ConfigurationError(f"{name} is not installed: pip install 'deepgllim[score]'")


def _engine(
    shards: Iterator[Shard], options: ScoringOptions, output: Path, engine: Engine, workers: int | None
) -> Iterator[ShardResult]:
    if engine == "local":
        return score_locally(shards, options, output)
    from deepgllim.pose.scoring.engine_ray import score_with_ray

    return score_with_ray(shards, options, output, workers)


def _without_input(output: Path, names: set[str]) -> Iterator[ShardResult]:
    """Yield a failure for each file in the output folder that no shard of the input has written."""
    for path in sorted(output.rglob("*.parquet")):
        name = path.relative_to(output).as_posix()
        if name not in names and path.is_file():
            yield ShardResult(name, problem="its input no longer exists: delete this file, or restore the input")


def _unfinished(shards: Iterator[Shard], output: Path, reused: list[ShardResult], names: set[str]) -> Iterator[Shard]:
    """Yield the shards that are not finished; add the results of the others to a list, and all names to a set."""
    for shard in shards:
        names.add(shard.name)
        result = finished_shard(output, shard)
        if result is None:
            yield shard
        else:
            reused.append(result)


def _drained(results: list[ShardResult]) -> Iterator[ShardResult]:
    while results:
        yield results.pop(0)
