"""Test whole scorings in one process: what is scored again, and what is refused."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute
import pyarrow.dataset
import pytest
from pyarrow import parquet

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.pose import Calibration, Pose
from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
from deepgllim.pose.scoring.run import score
from deepgllim.storage import locked_folder
from tests.pose.scoring.inputs import archive, options_for, outputs, picture, pictures, rows_of, table, write_folder
from tests.pose.tiny import tiny_network


@pytest.fixture
def options(tiny_model: Path) -> ScoringOptions:
    return options_for(tiny_model, shard_size=3)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder of eight pictures and an archive of two."""
    return write_folder(tmp_path / "in", pictures(8) | {"more.tar": archive(pictures(2))})


def run(source: Path, output: Path, options: ScoringOptions, **more: Any) -> list[ShardResult]:
    return list(score(str(source), output, options, **more))


def test_finished_shards_are_not_scored_again(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    first = run(source, tmp_path / "out", options)
    assert [result.reused for result in first] == [False] * 4
    whole = outputs(tmp_path / "out")
    (tmp_path / "out" / "pictures-000001.parquet").unlink()
    (tmp_path / "out" / "pictures-000002.parquet").write_bytes(b"PAR1 not complete")
    again = {result.name: result for result in run(source, tmp_path / "out", options)}
    names = {name for name, result in again.items() if not result.reused}
    assert names == {"pictures-000001.parquet", "pictures-000002.parquet"}
    assert {name: result._replace(reused=False) for name, result in again.items()} == {
        each.name: each for each in first
    }
    assert outputs(tmp_path / "out") == whole


def test_a_clock_that_jumps_changes_nothing(
    source: Path, tmp_path: Path, options: ScoringOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, tmp_path / "out", options)
    whole = outputs(tmp_path / "out")
    year = 366 * 24 * 3600
    for jump in (-year, year):
        moved = time.time() + jump
        monkeypatch.setattr(time, "time", lambda now=moved: now)
        monkeypatch.setattr(time, "time_ns", lambda now=moved: int(1e9 * now))
        (tmp_path / "out" / "pictures-000001.parquet").unlink()
        results = run(source, tmp_path / "out", options)
        assert [result.name for result in results if not result.reused] == ["pictures-000001.parquet"]
        assert outputs(tmp_path / "out") == whole
        monkeypatch.undo()


def test_a_shard_that_has_changed_is_scored_again(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    run(source, tmp_path / "out", options)
    (source / "more.tar").write_bytes(archive(pictures(5)))
    results = run(source, tmp_path / "out", options)
    assert [result.name for result in results if not result.reused] == ["more.tar.parquet"]
    assert len(rows_of(tmp_path / "out" / "more.tar.parquet")) == 5


def test_a_damaged_shard_is_reported_again_and_scored_again_once_it_is_replaced(
    source: Path, tmp_path: Path, options: ScoringOptions
) -> None:
    whole = (source / "more.tar").read_bytes()
    (source / "more.tar").write_bytes(whole[:1000])
    for reused in (False, True):
        (damaged,) = (result for result in run(source, tmp_path / "out", options) if result.problem)
        assert (damaged.name, damaged.reused) == ("more.tar.parquet", reused)
    (source / "more.tar").write_bytes(whole)
    assert all(result.problem is None for result in run(source, tmp_path / "out", options))


def test_other_options_and_models_are_refused(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    run(source, tmp_path / "out", options)
    before = outputs(tmp_path / "out")
    other = tiny_network(tmp_path / "other.onnx", size=16)
    own = Path(str(options.model))
    for given, message in (
        (options._replace(level=0.5), "--level 0.9, not 0.5"),
        (options._replace(batch=2), "--batch 16, not 2"),
        (options_for(other, shard_size=3), "the model with the SHA-256"),
        (options_for(own, shard_size=2), "--shard-size 3, not 2"),
    ):
        with pytest.raises(DataError, match=message):
            run(source, tmp_path / "out", given)
    with pytest.raises(DataError, match="the input "):
        run(source / "more.tar", tmp_path / "out", options)
    assert outputs(tmp_path / "out") == before


def test_options_may_change_before_the_first_result(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    (tmp_path / "broken").mkdir()
    parquet.write_table(pyarrow.table({"photo": [b""]}), tmp_path / "broken" / "faces.parquet")
    assert all(result.problem for result in run(tmp_path / "broken", tmp_path / "out", options))
    assert outputs(tmp_path / "out") == {}
    assert all(result.problem is None for result in run(source, tmp_path / "out", options._replace(level=0.5)))


def test_the_intervals_can_be_repeated_from_a_file(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    list(run(source, tmp_path / "out", options))
    table = pyarrow.dataset.dataset(tmp_path / "out", format="parquet").to_table()
    row = table.filter(pyarrow.compute.field("status") == "face").slice(0, 1).to_pylist()[0]
    record = json.loads(table.schema.metadata[b"deepgllim.calibration"])
    rotation, covariance = (np.reshape(row[name], (3, 3)) for name in ("rotation", "rotation_covariance"))
    pose = Pose(rotation, covariance, calibration=None if record is None else Calibration.from_json(record))
    expected = [row["pitch_low"], row["pitch_high"]]
    assert [float(end[0]) for end in pose.interval(options.level)] == pytest.approx(expected, abs=1e-3)


def test_the_model_may_move(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    run(source, tmp_path / "out", options)
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(Path(str(options.model)).read_bytes())
    assert all(result.reused for result in run(source, tmp_path / "out", options._replace(model=str(moved))))


def test_folders_of_other_files_are_refused(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    write_folder(tmp_path / "full", {"thesis.txt": b"text"})
    with pytest.raises(DataError, match=r"contains thesis\.txt"):
        run(source, tmp_path / "full", options)
    for text in ("[1]", "{", "[" * 100_000):
        write_folder(tmp_path / "strange", {"_score.json": text.encode()})
        with pytest.raises(DataError, match="another --output"):
            run(source, tmp_path / "strange", options)


def test_two_runs_cannot_share_a_folder(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    (tmp_path / "out").mkdir()
    with locked_folder(tmp_path / "out"), pytest.raises(DataError, match="in use by process"):
        run(source, tmp_path / "out", options)


def test_temporary_files_of_killed_runs_are_removed(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    write_folder(tmp_path / "out", {".more.tar.parquet.1-01234567.tmp": b"half", ".draft.tmp": b"of somebody"})
    run(source, tmp_path / "out", options)
    assert [path.name for path in (tmp_path / "out").glob(".*.tmp")] == [".draft.tmp"]


def test_nothing_is_removed_from_a_folder_that_is_refused(
    source: Path, tmp_path: Path, options: ScoringOptions
) -> None:
    files = {"notes.txt": b"", ".a.txt.1-01234567.tmp": b"", "sub/.draft.tmp": b""}
    write_folder(tmp_path / "home", files)
    with pytest.raises(DataError, match=r"contains notes\.txt"):
        run(source, tmp_path / "home", options)
    assert all((tmp_path / "home" / name).exists() for name in files)


def test_results_without_an_input_are_reported(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    run(source, tmp_path / "out", options)
    for path in sorted(source.glob("*.png"))[-3:]:
        path.unlink()
    results = run(source, tmp_path / "out", options)
    assert [result.name for result in results if result.problem] == ["pictures-000002.parquet"]
    assert "delete this file" in str(results[-1].problem)
    (tmp_path / "out" / "pictures-000002.parquet").unlink()
    assert all(result.problem is None for result in run(source, tmp_path / "out", options))


def test_the_record_names_the_model(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    run(source, tmp_path / "out", options)
    record = json.loads((tmp_path / "out" / "_score.json").read_text())
    assert record["digest"] == options.digest
    assert record["input"] == str(source)


def test_a_manifest_reads_nothing_outside_its_folder(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    secret = write_folder(tmp_path, {"secret.png": pictures(1)["000.png"]}) / "secret.png"
    paths = ["000.png", "../secret.png", str(secret), f"file://{secret}", "http://127.0.0.1:9/x.png", "none.png"]
    (source / "faces.csv").write_text("\n".join(["path", *paths]))
    run(source / "faces.csv", tmp_path / "out", options._replace(shard_size=10))
    rows = rows_of(tmp_path / "out" / "faces.csv-000000.parquet")
    assert [row["key"] for row in rows] == paths
    assert [row["status"] for row in rows] == ["face"] + ["failed"] * 5
    assert all("lies outside" in row["error"] for row in rows[1:4])
    assert "not opened" in rows[4]["error"]


def test_pictures_in_memory(tmp_path: Path, options: ScoringOptions) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe({f"/run-test/{name}": content for name, content in pictures(4).items()})
    results = list(score("memory://run-test", tmp_path / "out", options))
    assert sum(result.faces for result in results) == 4
    with pytest.raises(ConfigurationError, match="--engine local"):
        list(score("memory://run-test", tmp_path / "ray", options, engine="ray"))


def test_a_pattern_reads_links_and_not_its_own_results(tmp_path: Path, options: ScoringOptions) -> None:
    write_folder(tmp_path / "in", {"a.tar": archive(pictures(1)), "b/c.parquet": table({"image": [picture(1)]})})
    (tmp_path / "in" / "link.tar").symlink_to(tmp_path / "in" / "a.tar")
    output = tmp_path / "in" / "b" / "out"
    for _ in range(2):
        tars = run(tmp_path / "in" / "*.tar", tmp_path / "tars", options)
        assert [(result.name, result.pictures) for result in tars] == [("a.tar.parquet", 1), ("link.tar.parquet", 1)]
        tables = run(tmp_path / "in" / "**" / "*.parquet", output, options)
        assert [(result.name, result.problem) for result in tables] == [("b/c.parquet", None)]
    with pytest.raises(DataError, match="the pattern is invalid"):
        run(tmp_path / "in" / "**.tar", tmp_path / "none", options)


def test_a_folder_with_the_name_of_a_table(tmp_path: Path, options: ScoringOptions) -> None:
    """As Spark and Dask write it."""
    write_folder(tmp_path / "in", {"data.parquet/part-0.parquet": table({"image": [picture(1)]})})
    for _ in range(2):
        (result,) = run(tmp_path / "in", tmp_path / "out", options)
        assert (result.name, result.problem) == ("data.parquet/part-0.parquet", None)


def test_names_that_cannot_be_written_fail_alone(tmp_path: Path, options: ScoringOptions) -> None:
    files = {"a" * 248 + ".tar": b"", "x.tar": b"", "x.tar.parquet/b.tar": b"", "z.jpg": b""}
    write_folder(tmp_path / "in", dict.fromkeys(files, archive(pictures(1))) | {"z.jpg": picture(1)})
    results = {result.name[:13]: result.problem for result in run(tmp_path / "in", tmp_path / "out", options)}
    assert "more than 255 bytes: rename it" in str(results.pop("a" * 13))
    assert sum(problem is not None for problem in results.values()) == 1
    assert results["pictures-0000"] is None


def test_names_that_are_not_utf_8(tmp_path: Path, options: ScoringOptions) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write_folder(folder / "in", {"a.tar": archive(pictures(2))})
    for reused in (False, True):
        (result,) = run(folder / "in", folder / "out", options)
        assert (result.pictures, result.problem, result.reused) == (2, None, reused)


def test_pipes_are_not_opened(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    for name in ("m.csv", "m.parquet"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="is a pipe"):
            run(tmp_path / name, tmp_path / "out", options)
    (tmp_path / "held").mkdir()
    os.mkfifo(tmp_path / "held" / "_score.json")
    with pytest.raises(DataError, match="is a pipe"):
        run(source, tmp_path / "held", options)


def test_manifests_fail_by_row_and_not_without_a_word(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    write_folder(source, {"nul.csv": b"path\nfile:///x\0y\n000.png\n", "quote.csv": b'path\n"000.png\n001.png\n'})
    (result,) = run(source / "nul.csv", tmp_path / "nul", options)
    assert (result.pictures, result.failed, result.problem) == (2, 1, None)
    with pytest.raises(DataError, match="unexpected end of data"):
        run(source / "quote.csv", tmp_path / "quote", options)


def test_repeated_columns_are_named(tmp_path: Path, options: ScoringOptions) -> None:
    columns = pyarrow.table([pyarrow.array([picture(1)])] * 2, names=["image", "image"])
    parquet.write_table(columns, tmp_path / "a.parquet")
    (result,) = run(tmp_path / "a.parquet", tmp_path / "out", options)
    assert result.problem == "has several columns 'image': rename all but one"
    parquet.write_table(pyarrow.table([["x"], ["y"]], names=["path", "path"]), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: has several columns 'path'"):
        run(tmp_path / "b.parquet", tmp_path / "other", options)


def test_large_pictures_and_keys_of_a_small_table(tmp_path: Path, options: ScoringOptions) -> None:
    """One row is in memory at a time, and long keys are not kept."""
    write_folder(tmp_path / "in", {"a.parquet": table({"image": [picture(1)] * 2, "key": ["k" * 5000, "b"]})})
    (result,) = run(tmp_path / "in", tmp_path / "out", options)
    assert (result.pictures, result.failed) == (2, 1)
    assert len(rows_of(tmp_path / "out" / "a.parquet")[0]["key"]) == 4096


def test_foreign_metadata_is_not_a_finished_shard(source: Path, tmp_path: Path, options: ScoringOptions) -> None:
    run(source, tmp_path / "out", options)
    path = tmp_path / "out" / "more.tar.parquet"
    read = parquet.read_table(path)
    known = {key: value for key, value in (read.schema.metadata or {}).items() if b"fingerprint" in key}
    for metadata in (known, {b"\xff": b""}):
        parquet.write_table(read.replace_schema_metadata(metadata), path)
        assert {result.name for result in run(source, tmp_path / "out", options) if not result.reused} == {path.name}
