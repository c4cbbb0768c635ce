"""Files written whole or not at all, and headers that are what they say."""

import json
from pathlib import Path

import pytest
import torch

from deepgllim.errors import DataError, ModelError
from deepgllim.storage import read_header, read_tensors, write_atomically, write_tensors


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def fail(place: Path) -> None:
        place.write_text("half")
        raise OSError("disk full")

    with pytest.raises(DataError, match=r"a\.txt: cannot be written \(disk full\)"):
        write_atomically(file, fail)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_tensors_come_back_with_their_metadata(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "m.safetensors"
    values = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(3)}
    write_tensors(path, values, {"key": "text"})
    tensors, metadata = read_tensors(path)
    assert metadata == {"key": "text"}
    assert all(torch.equal(tensors[name], value) for name, value in values.items())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        write_tensors(tmp_path / "file" / "m.safetensors", {"a": torch.ones(1)}, {})


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"text", "cut short or not a safetensors")])
def test_what_is_no_tensor_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "m.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_tensors(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "not a deepgllim model.*fit one"),
        ({"mixture": "no json"}, "no JSON object"),
        ({"mixture": "[1]"}, "no JSON object"),
        ({"mixture": json.dumps({"format_version": 9})}, "model format 9, this version reads up to 1: upgrade"),
        ({"mixture": json.dumps({"K": 1})}, "model format None"),
    ],
)
def test_headers_of_other_files_are_refused(header: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_header("m", header, "mixture", 1, "fit one")
