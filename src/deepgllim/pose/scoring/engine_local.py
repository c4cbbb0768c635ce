"""Scoring in this process, one shard after another."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
from deepgllim.pose.scoring.scorer import ShardScorer
from deepgllim.pose.scoring.shards import Shard


def score_locally(shards: Iterable[Shard], options: ScoringOptions, output: Path) -> Iterator[ShardResult]:
    """Yield the result of each shard in turn.

    Args:
        shards: the shards.
        options: the options.
        output: the output folder.

    Raises:
        ModelError: the model cannot be read.
    """
    scorer = ShardScorer(options, output)
    yield from map(scorer.score, shards)
