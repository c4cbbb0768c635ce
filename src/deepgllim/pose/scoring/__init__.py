"""Scoring of large sets of pictures: input shards to Parquet shards, in this process or in Ray actors.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
    from deepgllim.pose.scoring.rows import make_schema
    from deepgllim.pose.scoring.run import score
    from deepgllim.pose.scoring.shards import Shard, find_shards

__all__ = ["ScoringOptions", "Shard", "ShardResult", "find_shards", "make_schema", "score"]

_MODULES = {
    "options": ["ScoringOptions", "ShardResult"],
    "rows": ["make_schema"],
    "run": ["score"],
    "shards": ["Shard", "find_shards"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
