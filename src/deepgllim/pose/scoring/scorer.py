"""Scoring of one shard: pictures in, one Parquet file out, which is complete or absent."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from deepgllim.errors import DataError, DeepGLLiMError, ModelError
from deepgllim.pose.batch.scanning import ScanOptions, predict_files
from deepgllim.pose.batch.sources import printable
from deepgllim.pose.predictor import HeadPose
from deepgllim.pose.scoring.entries import ShardEntry
from deepgllim.pose.scoring.locations import first_line
from deepgllim.pose.scoring.model import check_digest
from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
from deepgllim.pose.scoring.reading import read_entries
from deepgllim.pose.scoring.rows import DAMAGED, FACE, FAILED, NO_FACE, PREFIX, make_schema, pose_rows, problem_row
from deepgllim.pose.scoring.shards import Shard
from deepgllim.storage import write_atomically

LONGEST_NAME = 255
"""Number of bytes of a name that file systems allow."""

GROUP = 4096
"""Rows of a group of a Parquet file, which are in memory together."""

CHUNK_BYTES = 1 << 26
"""Size of the files of pictures that are in memory together; a single file may be larger."""

COUNTS = ("pictures", "faces", "without_face", "failed")
"""Numbers in the metadata of an output shard."""

Numbered = tuple[int, ShardEntry]
Row = dict[str, Any]


class _NotWrittenError(DataError):
    """An output shard cannot be written."""


class ShardScorer:
    """Score shards with one model.

    Args:
        options: the options.
        output: the output folder.

    Raises:
        ModelError: the model cannot be read, or is not the one of the digest.
        ConfigurationError: the detector or pyarrow is not installed.
    """

    def __init__(self, options: ScoringOptions, output: Path) -> None:
        check_digest(options.model, options.digest)
        self._options, self._output = options, output
        self._heads = HeadPose(options.model, options.detector, options.threads)

    def score(self, shard: Shard) -> ShardResult:
        """Score a shard and write its file. All failures are in the result.

        Rows depend on the shard and the options only.
        """
        result: list[ShardResult] = []

        def write(place: Path) -> None:
            result.append(self._write(shard, place))

        path = self._output / shard.name
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
            return ShardResult(shard.name[:80], problem=f"its name has more than {LONGEST_NAME} bytes: rename it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, write, _NotWrittenError, tidy=False)
        except (FileExistsError, NotADirectoryError) as error:
            if not self._output.is_dir():
                return ShardResult(shard.name, problem=str(error), fatal=True)
            return ShardResult(shard.name, problem="another output file has the name of its folder: rename one input")
        except (_NotWrittenError, OSError) as error:
            return ShardResult(shard.name, problem=str(error), fatal=True)
        except DeepGLLiMError as error:
            return ShardResult(shard.name, problem=str(error))
        except Exception as error:  # a fault of this shard must not end the run
            return ShardResult(shard.name, problem=f"{type(error).__name__}: {first_line(error)}")
        return result[0]

    def _write(self, shard: Shard, place: Path) -> ShardResult:
        """Write the rows of a shard to a file, a group at a time, and return its counts."""
        import pyarrow
        from pyarrow import parquet

        calibration = self._heads.calibration
        entries = {"model": self._options.digest, "level": str(self._options.level)}
        entries["calibration"] = json.dumps(None if calibration is None else calibration.to_json())
        schema = make_schema(entries)
        tally, problem = Counter[str](), None
        with place.open("wb") as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            rows = self._rows(shard)
            while group := list(islice(rows, GROUP)):
                for row in group:
                    tally.update(_counts(row))
                    problem = row["error"] if row["status"] == DAMAGED else problem
                writer.write_table(pyarrow.Table.from_pylist(group, schema=schema), row_group_size=GROUP)
            counts = {name: tally[name] for name in COUNTS}
            writer.add_key_value_metadata(_metadata(shard, counts, problem))
        return result_of(shard.name, counts, problem)

    def _rows(self, shard: Shard) -> Iterator[Row]:
        """Yield the rows of the pictures of a shard in their order."""
        entries = enumerate(read_entries(shard, self._options.image_column))
        for chunk in _chunks(entries, self._options.batch):
            found = self._scored(chunk)
            for number in sorted(found):
                yield from found[number]

    def _scored(self, chunk: Sequence[Numbered]) -> dict[int, list[Row]]:
        """Return the rows of some pictures by their indices."""
        found: dict[int, list[Row]] = {}

        def fail(item: Numbered, error: DeepGLLiMError) -> None:
            found[item[0]] = [problem_row(item[1], item[0], str(error))]

        for item in chunk:
            if item[1].content is None:
                fail(item, DataError(item[1].problem or "the picture is missing"))
        readable = [item for item in chunk if item[1].content is not None]
        reading, errors = ScanOptions(batch=self._options.batch), (DataError, ModelError)
        for (number, entry), _, poses in predict_files(self._heads, readable, _content, fail, reading, errors=errors):
            found[number] = list(pose_rows(entry.key, number, poses, self._options.level))
        return found


def result_of(name: str, counts: Mapping[str, int], problem: str | None) -> ShardResult:
    """Return the result of a shard that was written, from its counts."""
    pictures, faces, without_face, failed = (counts[each] for each in COUNTS)
    return ShardResult(name, pictures, faces, without_face, failed, problem)


def _content(item: Numbered) -> bytes:
    assert item[1].content is not None
    return item[1].content


def _chunks(entries: Iterable[Numbered], count: int) -> Iterator[list[Numbered]]:
    """Yield at most `count` entries together, fewer if their files are large."""
    chunk: list[Numbered] = []
    size = 0
    for item in entries:
        chunk.append(item)
        size += len(item[1].content or b"")
        if len(chunk) == count or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _counts(row: Mapping[str, Any]) -> dict[str, int]:
    """Return what a row adds to the counts; the first row of a picture counts the picture."""
    status = row["status"]
    return {
        "pictures": int(status != DAMAGED and not row.get("face")),
        "faces": int(status == FACE),
        "without_face": int(status == NO_FACE),
        "failed": int(status == FAILED),
    }


def _metadata(shard: Shard, counts: Mapping[str, int], problem: str | None) -> dict[str, str]:
    values = {"input": printable(shard.location), "fingerprint": shard.fingerprint, **counts, "problem": problem or ""}
    return {f"{PREFIX}{name}": str(value) for name, value in values.items()}
