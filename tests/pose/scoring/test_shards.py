"""Test which shards are found in which inputs."""

import os
from pathlib import Path

import pytest

from deepgllim.errors import DataError
from deepgllim.pose.scoring.shards import Shard, find_shards
from tests.pose.scoring.inputs import archive, picture, pictures, table, write_folder


def found(source: object, size: int = 2) -> list[Shard]:
    return list(find_shards(str(source), size))


def test_a_folder_of_everything(tmp_path: Path) -> None:
    files = {"b/1.jpg": b"", "a.JPG": b"", "c.png": b"", ".hidden.png": b"", ".git/x.png": b"", "notes.txt": b""}
    write_folder(tmp_path, files | {"x/1.tar": b"", "1.tgz": b"", "t.parquet": b"", "faces.csv": b""})
    (tmp_path / "loop").symlink_to(tmp_path)
    shards = {shard.name: shard for shard in found(tmp_path)}
    names = ["1.tgz.parquet", "t.parquet", "x/1.tar.parquet", "pictures-000000.parquet", "pictures-000001.parquet"]
    assert list(shards) == names
    assert [shards[name].kind for name in names] == ["archive", "table", "archive", "pictures", "pictures"]
    assert shards[names[3]].keys == ("a.JPG", "c.png")
    assert shards[names[4]].keys == ("b/1.jpg",)


def test_the_output_folder_is_not_an_input(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.png": b"", "scores/pictures-000000.parquet": b""})
    (shard,) = find_shards(str(tmp_path), excluded=tmp_path / "scores")
    assert shard.keys == ("a.png",)


def test_manifests(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("subject,path\n1,a.png\n2,\n3,../b.png\n", encoding="utf-8-sig")
    (tmp_path / "faces.parquet").write_bytes(table({"path": ["a.png", None, "c.png"], "label": [1, 2, 3]}))
    assert [shard.keys for shard in found(tmp_path / "faces.csv")] == [("a.png", ""), ("../b.png",)]
    assert [shard.keys for shard in found(tmp_path / "faces.parquet")] == [("a.png", ""), ("c.png",)]
    assert next(shard.name for shard in found(tmp_path / "faces.csv")) == "faces.csv-000000.parquet"
    (tmp_path / "images.parquet").write_bytes(table({"path": ["a"], "image": [picture(1)]}))
    assert [shard.kind for shard in found(tmp_path / "images.parquet")] == ["table"]


def test_a_pattern_and_an_address(tmp_path: Path) -> None:
    import fsspec

    write_folder(tmp_path, {"s/1.tar": b"", "s/2.tar": b"", "s/3.txt": b"", "s/x/4.tar": b""})
    assert [shard.name for shard in found(tmp_path / "s" / "*.tar")] == ["1.tar.parquet", "2.tar.parquet"]
    assert [shard.name for shard in found(tmp_path / "**" / "*.tar")][-1] == "s/x/4.tar.parquet"
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/shards-test/{name}": content for name, content in (pictures(3) | {"1.tar": archive({})}).items()})
    shards = found("memory://shards-test/")
    assert [shard.name for shard in shards] == [
        *("1.tar.parquet", "pictures-000000.parquet", "pictures-000001.parquet"),
    ]
    assert shards[1].location == "memory://shards-test"


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.tar": b"1", "1.png": b""})
    before = found(tmp_path)
    assert found(tmp_path) == before
    (tmp_path / "a.tar").write_bytes(b"22")
    os.utime(tmp_path / "a.tar", ns=(1, 1))
    write_folder(tmp_path, {"2.png": b""})
    assert all(one.fingerprint != other.fingerprint for one, other in zip(before, found(tmp_path), strict=True))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("faces.csv", b"file,label\n", "has no column 'path'"),
        ("faces.csv", b"path\n\xff\xff.png\n", "cannot be read"),
        ("faces.parquet", b"PAR1 no table", "cannot be read"),
        ("photo.jpg", b"", "use predict"),
        ("folder/notes.txt", b"", "no pictures"),
    ],
)
def test_inputs_that_are_none(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    write_folder(tmp_path, {name: content})
    with pytest.raises(DataError, match=message):
        found(tmp_path / name.split("/")[0])
    with pytest.raises(DataError, match="no such file"):
        found(tmp_path / "missing")


def test_two_shards_of_one_name_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.tar": b"", "a.tar.parquet": b""})
    with pytest.raises(DataError, match=r"two shards would be written to a\.tar\.parquet"):
        found(tmp_path)
