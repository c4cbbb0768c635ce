"""Files of a set: layouts, resumption, a full disk, interruptions."""

import errno
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deepgllim.data import load_data, read_manifest
from deepgllim.errors import DataError, RenderError
from deepgllim.imaging.images import open_image
from deepgllim.storage import write_atomically
from deepgllim.synthetic import layouts, render_set
from deepgllim.synthetic.records import COLUMNS
from tests.synthetic.fakes import IMAGES, SAMPLER, FakeRenderer, contents, draws, recorded

Render = Callable[..., Path]


def test_the_folder_holds_pictures_manifest_and_truth(complete_set: Path) -> None:
    assert sorted(path.name for path in complete_set.iterdir()) == [
        "images",
        "manifest.csv",
        "render.json",
        "scenes.jsonl",
    ]
    pictures = sorted(str(path.relative_to(complete_set)) for path in complete_set.rglob("*.jpg"))
    assert pictures == [f"images/000/{n:06d}.jpg" for n in range(IMAGES)]
    records = [json.loads(line) for line in (complete_set / "scenes.jsonl").read_text().splitlines()]
    assert [(known["index"], known["path"]) for known in records] == list(enumerate(pictures))
    assert open_image(complete_set / pictures[7]).size == (24, 24)
    configuration = json.loads((complete_set / "render.json").read_text())
    assert configuration["set"] == "wide"
    assert (configuration["images"], configuration["seed"], configuration["layout"]) == (IMAGES, 9, "folder")


def test_the_manifest_is_read_by_the_package(complete_set: Path) -> None:
    manifest = read_manifest(complete_set / "manifest.csv")
    assert tuple(manifest.frame.columns) == COLUMNS
    assert manifest.targets == ("pitch", "yaw", "roll")
    assert len(manifest) == len(load_data(f"folder:{complete_set}")) == IMAGES
    assert all(path.is_file() for path in manifest.paths)
    assert list(manifest.subjects[:5]) == ["p0000", "p0001", "p0002", "p0003", "p0000"]
    known = json.loads((complete_set / "scenes.jsonl").read_text().splitlines()[11])
    assert manifest.boxes[11].tolist() == known["box"]
    assert manifest.target_values[11].tolist() == [known["pitch"], known["yaw"], known["roll"]]


def test_resume_of_a_complete_set_does_nothing(complete_set: Path, render: Render, tmp_path: Path, log: Path) -> None:
    path = render()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "set").rglob("*")}
    assert render(resume=True) == path
    assert draws(log) == IMAGES
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "set").rglob("*")} == before


def test_a_larger_number_extends_the_set(complete_set: Path, render: Render, tmp_path: Path, log: Path) -> None:
    render(6)
    render(13, resume=True)
    with pytest.raises(RenderError):
        render(IMAGES, resume=True, fail_after=9)
    done = 13 + recorded(tmp_path / "set")
    assert len(read_manifest(tmp_path / "set" / "manifest.csv")) == 13  # what was there stays valid
    drawn = draws(log)
    render(IMAGES, resume=True)
    assert draws(log) - drawn == IMAGES - done
    assert contents(tmp_path / "set") == contents(complete_set)


@pytest.mark.parametrize("stage", ["scenes.jsonl", "manifest.csv"])
def test_a_kill_while_the_set_is_completed(
    complete_set: Path, render: Render, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    render(10)

    def killed(path: Path, *rest: Any, **options: Any) -> None:
        if Path(path).name == stage:
            raise KeyboardInterrupt
        write(path, *rest, **options)

    write = write_atomically
    monkeypatch.setattr(layouts, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        render(resume=True)
    monkeypatch.undo()
    assert draws(log) == IMAGES
    render(resume=True)
    assert draws(log) == IMAGES
    assert contents(tmp_path / "set") == contents(complete_set)


def test_a_full_disk_leaves_a_set_that_can_be_resumed(
    complete_set: Path, render: Render, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if "000017.jpg" in self.name:
            write(self, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"000017\.jpg: cannot be written \(.*No space left.*\); check .* space left"):
        render()
    monkeypatch.undo()
    folder = tmp_path / "set"
    assert not (folder / "images" / "000" / "000017.jpg").exists()
    for path in folder.rglob("*.jpg"):
        open_image(path)
    done, drawn = recorded(folder), draws(log)
    render(resume=True)
    assert draws(log) - drawn == IMAGES - done
    assert contents(folder) == contents(complete_set)


def test_temporary_files_of_an_interrupted_run_are_removed(render: Render, tmp_path: Path) -> None:
    with pytest.raises(RenderError):
        render(fail_after=12)
    folder = tmp_path / "set"
    remains = folder / "images" / "000" / ".000012.jpg.4711.tmp"
    remains.write_bytes(b"half a pic")
    render(resume=True)
    assert not remains.exists()


def test_shards_are_webdatasets(render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "SHARD", 10)
    assert render(layout="shards") == tmp_path / "set"
    names = sorted(path.name for path in (tmp_path / "set").iterdir())
    assert names == ["render.json", "shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    keys = []
    for name in names[1:]:
        with tarfile.open(tmp_path / "set" / name) as tar:
            members = tar.getmembers()
            assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
            for picture, known in zip(members[::2], members[1::2], strict=True):
                key = picture.name.removesuffix(".jpg")
                assert known.name == f"{key}.json"
                content = [file.read() for file in map(tar.extractfile, (picture, known)) if file is not None]
                assert Image.open(io.BytesIO(content[0])).size == (24, 24)
                assert json.loads(content[1])["index"] == int(key)
                assert "path" not in json.loads(content[1])
                keys.append(key)
    assert keys == [f"{n:09d}" for n in range(IMAGES)]


def test_shards_are_resumed_and_filled_up(
    render: Render, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "SHARD", 10)
    straight = tmp_path / "straight"
    render_set(SAMPLER, IMAGES, straight, layout="shards", processes=1, renderer=FakeRenderer)
    render(14, layout="shards")
    with pytest.raises(RenderError):
        render(IMAGES, layout="shards", resume=True, fail_after=5)  # within the second shard, which held 4
    assert draws(log) == 19
    render(IMAGES, layout="shards", resume=True, progress=lambda done, total: None)
    assert draws(log) == 19 + IMAGES - 14
    assert contents(tmp_path / "set") == contents(straight)
    render(IMAGES, layout="shards", resume=True)
    assert draws(log) == 19 + IMAGES - 14


def test_a_damaged_shard_raises_a_data_error(render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "SHARD", 10)
    render(4, layout="shards")
    (tmp_path / "set" / "shard-000000.tar").write_bytes(b"no tar")
    with pytest.raises(DataError, match=r"shard-000000\.tar\.part: a damaged shard .*: remove it"):
        render(8, layout="shards", resume=True)
