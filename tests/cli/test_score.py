"""Test `deepgllim score`: its messages and exit codes, and faults of the machine."""

import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from deepgllim.cli import main
from tests.cli.conftest import Call
from tests.pose.scoring.inputs import archive, outputs, picture, pictures, write_folder
from tests.pose.tiny import tiny_network


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a command for nine pictures in five shards."""
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(tiny_network(tmp_path / "tiny.onnx")))
    source = write_folder(tmp_path / "in", pictures(9))
    return ["score", str(source), "--no-detect", "--shard-size", "2", "--output"]


def test_the_summary(call: Call, words: list[str], tmp_path: Path) -> None:
    write_folder(tmp_path / "in", {"bad.png": b"no picture"})
    first = call(*words, tmp_path / "out")
    counts = "10 pictures, 9 faces, 0 pictures without a face, 1 failed"
    assert first == (0, f"scores: {tmp_path / 'out'} (5 shards; {counts})\n", "")
    assert f"(5 shards, 5 of them finished before; {counts})" in call(*words, tmp_path / "out").out
    assert call(*words, tmp_path / "out", "--quiet") == (0, "", "")


def test_a_damaged_shard(call: Call, words: list[str], tmp_path: Path) -> None:
    write_folder(tmp_path / "in", {"a.tar": archive(pictures(5))[:3000]})
    for _ in range(2):
        called = call(*words, tmp_path / "out")
        assert called.code == 1
        first, second = called.err.splitlines()
        assert first.startswith("deepgllim: a.tar.parquet: the shard is damaged (unexpected end of data)")
        assert second == "deepgllim: 1 of 6 shards failed: see the lines above"
    assert len(outputs(tmp_path / "out")) == 6


def test_refusals(refused: Call, call: Call, words: list[str], tmp_path: Path) -> None:
    assert "no such file" in refused("score", tmp_path / "none", "--output", tmp_path / "out1").err
    assert "not read" in refused("score", "https://example.org/a.tar", "--output", tmp_path / "out2").err
    assert "cannot be read" in refused(*words, tmp_path / "out3", "--model", tmp_path / "none.onnx").err
    assert call(*words, tmp_path / "out").code == 0
    os.environ["DEEPGLLIM_MODEL"] = str(tiny_network(tmp_path / "other.onnx", size=16))
    assert "has results of the model with the SHA-256" in refused(*words, tmp_path / "out").err


def kill_at(n: int, words: list[str]) -> None:
    """Run a command that is killed after writing the n-th file, before it gets its name."""
    replace, renamed = Path.replace, 0

    def killing_replace(self: Path, target: Path) -> Path:
        nonlocal renamed
        if renamed == n:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        renamed += 1
        return replace(self, target)

    Path.replace = killing_replace  # type: ignore[method-assign, assignment]
    main(words)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_killed_run_keeps_its_finished_shards(n: int, call: Call, words: list[str], tmp_path: Path) -> None:
    """The file 0 is the record of the options."""
    assert call(*words, tmp_path / "whole").code == 0
    process = multiprocessing.get_context("fork").Process(target=kill_at, args=(n, [*words, str(tmp_path / "out")]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads; none of them is in use
        process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    before = outputs(tmp_path / "out")
    assert len(before) == max(0, n - 1)
    assert before.items() <= outputs(tmp_path / "whole").items()
    again = call(*words, tmp_path / "out")
    assert again.code == 0
    assert len(before) == 0 or f"{len(before)} of them finished before" in again.out
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".*.tmp"))


def test_a_full_disk(refused: Call, call: Call, words: list[str], small_disk: Path, tmp_path: Path) -> None:
    assert call(*words, tmp_path / "whole").code == 0
    filler = small_disk / "filler"
    pages = [-(-len(content) // 4096) for content in outputs(tmp_path / "whole").values()]
    filler.write_bytes(bytes((1 << 20) - (sum(pages[:2]) + 4) * 4096))  # room for the record and two of five shards
    said = refused(*words, small_disk / "out").err
    assert "No space left" in said
    assert "finished files are kept: the same command continues" in said
    before = outputs(small_disk / "out")
    assert before.items() < outputs(tmp_path / "whole").items()
    filler.unlink()
    assert call(*words, small_disk / "out").code == 0
    assert outputs(small_disk / "out") == outputs(tmp_path / "whole")


def test_permissions(call: Call, words: list[str], tmp_path: Path, closed: Callable[[Path], None]) -> None:
    """A picture is a row, an archive fails and is scored later."""
    write_folder(tmp_path / "in", {"a.tar": archive({"1.png": picture(1)})})
    closed(tmp_path / "in" / "a.tar")
    closed(tmp_path / "in" / "003.png")
    called = call(*words, tmp_path / "out")
    assert called.code == 1
    assert "a.tar.parquet: cannot be read (Permission denied): check its permissions" in called.err
    assert "8 faces, 0 pictures without a face, 1 failed" in called.out
    assert "a.tar.parquet" not in outputs(tmp_path / "out")
    closed(Path())
    assert call(*words, tmp_path / "out").code == 0
    assert "a.tar.parquet" in outputs(tmp_path / "out")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return a function that denies the permission to read a file, also for root; no file for `Path()`."""
    from fsspec.implementations.local import LocalFileSystem

    opened, paths = LocalFileSystem.open, set[str]()

    def deny(path: Path) -> None:
        paths.add(str(path))
        if path == Path():
            paths.clear()

    def refuse(self: LocalFileSystem, path: str, *args: object, **options: object) -> object:
        if str(path) in paths:
            raise PermissionError(13, "Permission denied", path)
        return opened(self, path, *args, **options)

    monkeypatch.setattr(LocalFileSystem, "open", refuse)
    return deny


def test_an_output_that_cannot_be_made(refused: Call, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refused(*words, tmp_path / "file").err
