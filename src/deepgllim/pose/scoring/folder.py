"""The output folder of a scoring: its options, its lock, and the shards that are finished."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepgllim import __version__
from deepgllim.errors import DataError
from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
from deepgllim.pose.scoring.rows import PREFIX
from deepgllim.pose.scoring.scorer import COUNTS, result_of
from deepgllim.pose.scoring.shards import Shard
from deepgllim.storage import locked_folder, refuse_irregular, remove_temporaries, write_atomically

RECORD = "_score.json"
"""File with the options of the run."""

FORMAT_VERSION = 1
_NAMES = {
    "format_version": "the format",
    "version": "deepgllim",
    "input": "the input",
    "digest": "the model with the SHA-256",
    "detector": "the detector",
}
"""Names in messages of entries that are not options."""

_FREE = ("model", "threads")  # a path that may change, and an option that the rows do not depend on


@contextmanager
def output_folder(folder: Path, source: str, options: ScoringOptions) -> Iterator[None]:
    """Create and lock an output folder, and compare the options with those in it.

    Args:
        folder: the folder.
        source: the input.
        options: the options of the run.

    Raises:
        DataError: the folder contains other files, results of other options or another model, is in use by another
            run, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}): give another --output") from error
    with locked_folder(folder):
        _check_record(folder, _record(source, options))
        remove_temporaries(folder)  # of killed runs; the lock excludes other writers
        yield


def finished_shard(folder: Path, shard: Shard) -> ShardResult | None:
    """Return the result of a shard that an earlier run has written from the same input; None if there is none."""
    from pyarrow import parquet

    try:
        with (folder / shard.name).open("rb") as file:
            found = parquet.read_metadata(file).metadata or {}
        values = {key.decode().removeprefix(PREFIX): value.decode() for key, value in found.items()}
        if not shard.fingerprint or values.get("fingerprint") != shard.fingerprint:
            return None
        counts = {name: int(values[name]) for name in COUNTS}
        return result_of(shard.name, counts, values["problem"] or None)._replace(reused=True)
    except (OSError, ValueError, KeyError):  # absent, or not written by this command
        return None


def _record(source: str, options: ScoringOptions) -> dict[str, Any]:
    given = {name: value for name, value in options._asdict().items() if name not in _FREE}
    return {"format_version": FORMAT_VERSION, "version": __version__, "input": source, **given}


def _check_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the options of a new run, or compare them with those of the earlier run."""
    path = folder / RECORD
    refuse_irregular(path, DataError)
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        _start(folder, record)
        return
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}): give another --output") from error
    if not isinstance(known, dict):
        raise DataError(f"{path}: is no record of a scoring: give another --output")
    changed = next((name for name, value in record.items() if known.get(name) != value), None)
    if changed is None:
        return
    if not any(each.is_file() for each in folder.rglob("*.parquet")):  # an earlier run failed before its first result
        _write(folder, record)
        return
    what = _NAMES.get(changed, f"--{changed.replace('_', '-')}")
    raise DataError(
        f"{folder}: has results of {what} {_shown(known.get(changed))}, not {_shown(record[changed])}: give the same "
        "options to continue, or another --output"
    )


def _shown(value: Any) -> str:
    return "none" if value is None else repr(value)


def _start(folder: Path, record: Mapping[str, Any]) -> None:
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if others:
        raise DataError(f"{folder}: contains {others[0]} and no {RECORD}: give an empty or new folder to --output")
    _write(folder, record)


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=2) + "\n"
    write_atomically(folder / RECORD, lambda place: place.write_text(text, encoding="utf-8"))
