"""Test inputs in S3, from a server on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepgllim.errors import DataError
from deepgllim.pose.scoring.options import ShardResult
from deepgllim.pose.scoring.run import score
from tests.pose.scoring.inputs import archive, options_for, outputs, picture, pictures, rows_of, table, write_folder

pytest.importorskip("s3fs", reason="needs s3fs and moto[server]")
pytest.importorskip("moto", reason="needs s3fs and moto[server]")

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
MANIFEST = "path\n001.png\ns3://faces/set/002.png\ns3://private/secret.png\n../other/1.png\nhttp://127.0.0.1:9/x.png\n"


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, bytes]]:
    """Serve a bucket at the address that the environment names, as users set it; return its files."""
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ.update(VARIABLES, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    contents = pictures(5)
    files = contents | {
        "a.tar": archive(contents),
        "b/damaged.tar": archive(contents)[:3000],
        "t.parquet": table({"key": [*contents], "image": [*contents.values()]}),
    }
    store = s3fs.S3FileSystem()
    for name in ("faces", "private"):
        store.mkdir(name)
    store.pipe({f"faces/set/{name}": content for name, content in files.items()})
    store.pipe({"faces/other/1.png": picture(1), "private/secret.png": picture(2)})
    store.pipe("faces/set/faces.csv", MANIFEST.encode())
    yield files
    server.stop()
    os.environ.clear()
    os.environ.update(before)


def test_a_folder_gives_the_same_files_as_a_local_one(
    bucket: dict[str, bytes], tiny_model: Path, tmp_path: Path
) -> None:
    options = options_for(tiny_model, shard_size=3)
    write_folder(tmp_path / "in", bucket)
    expected = list(score(str(tmp_path / "in"), tmp_path / "local", options))
    found = list(score("s3://faces/set", tmp_path / "s3", options))
    assert by_name(found) == by_name(expected)
    assert len(found) == 5
    for name in outputs(tmp_path / "local"):
        assert rows_of(tmp_path / "s3" / name) == rows_of(tmp_path / "local" / name)
    again = score("s3://faces/set/", tmp_path / "s3", options)
    assert all(result.reused for result in again)


def by_name(results: list[ShardResult]) -> dict[str, ShardResult]:
    return {result.name: result for result in results}


def test_an_object_that_was_replaced_is_scored_again(
    bucket: dict[str, bytes], tiny_model: Path, tmp_path: Path
) -> None:
    import s3fs

    options = options_for(tiny_model)
    s3fs.S3FileSystem().pipe("faces/more/a.tar", archive(pictures(1)))
    assert [each.reused for each in score("s3://faces/more/*.tar", tmp_path / "out", options)] == [False]
    assert [each.reused for each in score("s3://faces/more/*.tar", tmp_path / "out", options)] == [True]
    s3fs.S3FileSystem().pipe("faces/more/a.tar", archive(pictures(2)))
    assert [each.pictures for each in score("s3://faces/more/*.tar", tmp_path / "out", options)] == [2]


def test_a_manifest_reads_only_below_its_own_folder(bucket: dict[str, bytes], tiny_model: Path, tmp_path: Path) -> None:
    (result,) = score("s3://faces/set/faces.csv", tmp_path / "out", options_for(tiny_model))
    rows = rows_of(tmp_path / "out" / result.name)
    assert [row["status"] for row in rows] == ["face", "face", "failed", "failed", "failed"]
    assert all("lies outside s3://faces/set" in row["error"] for row in rows[2:4])


def test_a_missing_bucket(bucket: dict[str, bytes], tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s3://missing/x"):
        list(score("s3://missing/x", tmp_path / "out", options_for(tiny_model)))
