"""Test the output of a shard: its rows, its schema, and what failures leave."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from deepgllim.errors import ModelError
from deepgllim.pose import HeadPose, Pose
from deepgllim.pose.records import CONVENTION
from deepgllim.pose.scoring import scorer as module
from deepgllim.pose.scoring.options import ScoringOptions, ShardResult
from deepgllim.pose.scoring.scorer import ShardScorer
from deepgllim.pose.scoring.shards import find_shards
from tests.pose.scoring.inputs import archive, options_for, picture, pictures, rows_of, table, write_folder


class Scored:
    """Scores the only shard of an input."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.options, self.folder = options_for(model), folder / "scores"

    def __call__(self, source: Path, **changes: Any) -> tuple[ShardResult, list[dict[str, Any]]]:
        options: ScoringOptions = self.options._replace(**changes)
        (shard,) = find_shards(str(source), options.shard_size)
        result = ShardScorer(options, self.folder).score(shard)
        path = self.folder / shard.name
        return result, rows_of(path) if path.exists() else []


@pytest.fixture
def scored(tiny_model: Path, tmp_path: Path) -> Scored:
    return Scored(tiny_model, tmp_path)


def test_rows_are_the_poses(scored: Scored, tiny_model: Path, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "in", pictures(5))
    result, rows = scored(source, batch=2, level=0.5)
    assert result == ShardResult("pictures-000000.parquet", pictures=5, faces=5)
    heads = HeadPose(tiny_model, None)
    for number, row in enumerate(rows):
        (pose,) = heads.predict(source / f"{number:03d}.png")
        assert (row["key"], row["picture"], row["status"], row["face"]) == (f"{number:03d}.png", number, "face", 0)
        assert row["error"] is None
        expected = pose.as_dict(0.5)
        known = {name: value for name, value in expected.items() if name in row and name != "detection_score"}
        assert len(known) >= 20
        for name, value in known.items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-6, abs=1e-5))
        again = Pose(np.reshape(row["rotation"], (3, 3)), np.reshape(row["rotation_covariance"], (3, 3)))
        assert np.abs(again.rotation - pose.rotation).max() < 1e-6
        np.testing.assert_allclose(again.rotation_covariance, pose.rotation_covariance, rtol=1e-5, atol=1e-4)


def test_the_schema_has_the_convention_and_the_model(scored: Scored, tmp_path: Path) -> None:
    write_folder(tmp_path / "in", pictures(1))
    scored(tmp_path / "in")
    path = scored.folder / "pictures-000000.parquet"
    metadata = parquet.read_schema(path).metadata
    assert metadata[b"deepgllim.convention"].decode() == CONVENTION
    assert metadata[b"deepgllim.model"].decode() == scored.options.digest
    assert b"degrees" in metadata[b"deepgllim.units"]
    assert parquet.read_metadata(path).metadata[b"deepgllim.pictures"] == b"1"


def test_failures_are_rows_in_their_places(scored: Scored, tmp_path: Path) -> None:
    files = {"0.png": b"\x89PNG no picture", "1.png": picture(50), "2.png": b"", "3.png": picture(60), "4.png": b"x"}
    (tmp_path / "in.tar").write_bytes(archive(files))
    for batch in (1, 2, 16):
        result, rows = scored(tmp_path / "in.tar", batch=batch)
        assert result[:5] == ("in.tar.parquet", 5, 2, 0, 3)
        assert [row["key"] for row in rows] == list(files)
        assert [row["status"] for row in rows] == ["failed", "face", "failed", "face", "failed"]
        assert all(("not a picture" in row["error"]) == (row["status"] == "failed") for row in rows if row["error"])


def test_pixels_are_limited(scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    (tmp_path / "in.tar").write_bytes(archive({"0.png": picture(1, (100, 100)), "1.png": picture(2)}))
    _, rows = scored(tmp_path / "in.tar")
    assert [row["status"] for row in rows] == ["failed", "face"]
    assert "too large" in rows[0]["error"]


def test_a_picture_without_a_face_is_a_row(tiny_model: Path, tmp_path: Path) -> None:
    scored = Scored(tiny_model, tmp_path)
    write_folder(tmp_path / "in", {"grey.png": picture(128, (64, 64))})
    result, (row,) = scored(tmp_path / "in", detector="blazeface")
    assert result.without_face == result.pictures == 1
    assert (row["key"], row["status"], row["face"], row["error"]) == ("grey.png", "no_face", None, None)


def test_several_faces_are_counted_as_one_picture(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = HeadPose.predict_batch
    twice = lambda *args, **options: [found * 2 for found in predict(*args, **options)]  # noqa: E731
    monkeypatch.setattr(HeadPose, "predict_batch", twice)
    write_folder(tmp_path / "in", pictures(3))
    result, rows = scored(tmp_path / "in")
    assert (result.pictures, result.faces) == (3, 6)
    assert [row["face"] for row in rows] == [0, 1] * 3


def test_a_face_that_the_model_fails_on_is_a_row(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = HeadPose.predict_batch

    def fail(self: HeadPose, images: Any, *args: Any, **options: Any) -> list[list[Pose]]:
        if any(image.getpixel((0, 0))[0] == 101 for image in images):
            raise ModelError("invalid covariances")
        return predict(self, images, *args, **options)

    monkeypatch.setattr(HeadPose, "predict_batch", fail)
    write_folder(tmp_path / "in", pictures(3))
    _, rows = scored(tmp_path / "in")
    assert [row["error"] for row in rows] == [None, "invalid covariances", None]


def test_a_damaged_archive_keeps_the_rows_before_the_damage(scored: Scored, tmp_path: Path) -> None:
    files = {f"{n}.png": picture(n) for n in range(10)}
    (tmp_path / "in.tar").write_bytes(archive(files)[: 5 * 1024])
    result, rows = scored(tmp_path / "in.tar")
    assert "the shard is damaged" in (result.problem or "")
    assert (result.pictures, result.fatal) == (5, False)
    assert [row["status"] for row in rows] == ["face"] * 5 + ["damaged_shard"]
    assert rows[-1]["key"] == "in.tar.parquet"


def test_a_damaged_table_is_reported(scored: Scored, tmp_path: Path) -> None:
    content = bytearray(table({"image": [picture(n) for n in range(100)]}, rows=10))
    content[len(content) // 2 : len(content) // 2 + 400] = b"\x07" * 400
    (tmp_path / "in.parquet").write_bytes(content)
    result, rows = scored(tmp_path / "in.parquet")
    assert "the shard is damaged" in (result.problem or "")
    assert rows[-1]["status"] == "damaged_shard"
    (tmp_path / "in.parquet").write_bytes(b"PAR1")
    folder = write_folder(tmp_path / "tables", {"none.parquet": b"PAR1"})
    assert "the shard is damaged" in (scored(folder)[0].problem or "")


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.EIO, "Input/output")]
)
def test_a_shard_that_cannot_be_read_leaves_no_file(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def refuse(self: LocalFileSystem, path: str, *args: Any, **options: Any) -> None:
        raise error

    (tmp_path / "in.tar").write_bytes(archive(pictures(2)))
    monkeypatch.setattr(LocalFileSystem, "open", refuse)
    result, rows = scored(tmp_path / "in.tar")
    assert result == ShardResult("in.tar.parquet", problem=f"cannot be read ({error.strerror}): check its permissions")
    assert rows == []
    assert list(scored.folder.iterdir()) == []


def test_an_output_that_cannot_be_written_ends_the_run(scored: Scored, tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("a file in the way")
    write_folder(tmp_path / "in", pictures(1))
    result, _ = scored(tmp_path / "in")
    assert result.fatal


def test_an_unexpected_error_is_that_of_the_shard(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("unexpected")

    monkeypatch.setattr(module, "read_entries", fail)
    write_folder(tmp_path / "in", pictures(1))
    assert scored(tmp_path / "in")[0].problem == "ZeroDivisionError: unexpected"


def test_another_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="its digest is"):
        ShardScorer(options_for(tiny_model, digest="0" * 64), tmp_path)
