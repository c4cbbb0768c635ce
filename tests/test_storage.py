"""Test atomic files, locked folders, and headers."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deepgllim.errors import DataError, ModelError
from deepgllim.storage import (
    locked_folder,
    read_header,
    read_tensors,
    remove_abandoned,
    remove_unfinished,
    reserve,
    temporary_of,
    unfinished,
    write_atomically,
    write_tensors,
)

ROOT = 0
NOBODY = 65534


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


def test_a_file_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    synchronise, replace = os.fsync, Path.replace

    def record_fsync(descriptor: int) -> None:
        done.append("folder" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "file")
        synchronise(descriptor)

    def record_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    write_atomically(tmp_path / "a.txt", lambda place: place.write_text("whole"))
    assert done == ["file", "rename", "folder"]


@pytest.mark.parametrize("name", ["a.txt", "n" * 200, "n" * 201, "n" * 255, "é" * 127, "with [a] * and ?.txt"])
def test_any_name_that_a_folder_holds_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, lambda place: place.write_text("whole"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.txt", "n" * 250, "with [a] * and ?.txt"])
def test_what_a_killed_writer_leaves_is_found(tmp_path: Path, name: str) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from deepgllim.storage import write_atomically

def die(place):
    place.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

write_atomically(Path(sys.argv[1]), die)
"""
    other = tmp_path / ".b.txt.1.tmp"
    other.write_text("of another file")
    assert subprocess.run([sys.executable, "-c", code, tmp_path / name]).returncode == -signal.SIGKILL
    found = unfinished(tmp_path / name)
    assert {*found, other} == set(tmp_path.iterdir())
    assert [path.read_text() for path in found] == ["half"]
    remove_unfinished([tmp_path / "none", tmp_path / name])
    assert list(tmp_path.iterdir()) == [other]
    assert subprocess.run([sys.executable, "-c", code, tmp_path / name]).returncode == -signal.SIGKILL
    write_atomically(tmp_path / name, lambda place: place.write_text("whole"))
    assert set(tmp_path.iterdir()) == {other, tmp_path / name}


def test_the_temporary_file_of_a_running_process_or_another_machine_is_kept(tmp_path: Path) -> None:
    here, ended = temporary_of(tmp_path / "a.txt"), subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    parent = here.with_name(here.name.replace(str(os.getpid()), str(os.getppid())))
    elsewhere = here.with_name(f".a.txt.{ended.pid}-00000000.tmp")
    abandoned = here.with_name(here.name.replace(str(os.getpid()), str(ended.pid)))
    for path in (parent, elsewhere, abandoned):
        path.write_text("half")
    remove_abandoned([tmp_path / "a.txt"])
    assert set(tmp_path.iterdir()) == {parent, elsewhere}


# folders


HOLD = """
import os, signal, sys, time
from deepgllim.storage import locked_folder
with locked_folder(sys.argv[1]):
    if sys.argv[2] == "fork" and os.fork() == 0:
        time.sleep(60)  # as a process that prepares pictures outlives its parent for a while
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held(folder: Path, how: str = "alone") -> Iterator[subprocess.Popen[str]]:
    """Start another process that locks the folder, and kill it with its children at the end."""
    words = [sys.executable, "-c", HOLD, str(folder), how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_a_folder_is_held_by_one_process_alone(tmp_path: Path) -> None:
    with held(tmp_path) as process:
        with pytest.raises(DataError, match=rf"in use by process {process.pid} on .*: wait until it ends, stop it, or"):
            locked_folder(tmp_path).__enter__()
        assert process.poll() is None


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_kill_lets_go_of_a_folder(tmp_path: Path, how: str) -> None:
    """The lock is also free if a forked child of the killed process is still running."""
    with held(tmp_path, how) as process:
        process.kill()
        process.wait()
        with locked_folder(tmp_path):
            assert (tmp_path / ".lock.pid").read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_held_against_the_same_process_too(tmp_path: Path) -> None:
    with locked_folder(tmp_path), pytest.raises(DataError, match=f"in use by process {os.getpid()}"):
        locked_folder(tmp_path).__enter__()
    with locked_folder(tmp_path):
        pass


def test_a_folder_without_room_for_a_name_is_held_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with locked_folder(tmp_path), pytest.raises(DataError, match="in use by another process"):
        locked_folder(tmp_path).__enter__()


def test_what_cannot_be_locked_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be locked"):
        locked_folder(tmp_path / "file").__enter__()


# room on the disk


@pytest.mark.parametrize("refusal", [None, errno.EOPNOTSUPP, errno.EINVAL, AttributeError])
def test_reserved_room_is_there_and_the_rest_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int | type[Exception] | None
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(refusal, "not here") if isinstance(refusal, int) else AttributeError

    path, stop = tmp_path / "a", 3_000_000
    with path.open("wb") as file:
        file.write(b"head")
        file.truncate(stop)
    assert path.stat().st_blocks * 512 < stop  # a sparse file
    if refusal is not None:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    reserve(path, 4, stop)
    assert path.stat().st_blocks * 512 >= stop
    assert path.stat().st_size == stop
    assert path.read_bytes()[:4] == b"head"


# tensors


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


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """The order of the metadata of safetensors differs from call to call."""
    metadata = {f"key {i}": f"text é \\ \n {i}" for i in range(9)}
    tensors = {"a": torch.arange(5, dtype=torch.int16), "b": torch.ones(3), "é": torch.tensor(True)}
    for name, other in (("one", metadata), ("other", dict(reversed(metadata.items())))):
        write_tensors(tmp_path / name, tensors, other)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    found, texts = read_tensors(tmp_path / "one")
    assert texts == metadata
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (0, 4)])
def test_any_type_and_shape_comes_back(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    value = torch.ones(shape, dtype=dtype)
    write_tensors(tmp_path / "m", {"a": value}, {})
    found = read_tensors(tmp_path / "m")[0]["a"]
    assert found.dtype == dtype
    assert torch.equal(found, value)


def test_single_numbers_of_larger_tensors_are_written(tmp_path: Path) -> None:
    large = torch.arange(32.0).double().reshape(4, 8)
    parts = {"column": large[:, :1][:1], "row": large[1:2, 3:4], "own": large[:, 3], "scalar": large[2, 5]}
    write_tensors(tmp_path / "m.safetensors", parts, {})
    found = read_tensors(tmp_path / "m.safetensors")[0]
    assert all(torch.equal(found[name], value) for name, value in parts.items())


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    write_tensors(path, {"a": torch.arange(3.0), "b": torch.tensor([1, 2])}, {"key": '{"format_version": 1}'})
    content = path.read_bytes()
    for position in range(8 * len(content)):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(ModelError, match=r"damaged|cut short or not a safetensors"):
            read_tensors(path)


def test_a_file_without_a_checksum_is_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "m.safetensors", {"key": "text"})
    tensors, metadata = read_tensors(tmp_path / "m.safetensors")
    assert metadata == {"key": "text"}
    assert torch.equal(tensors["a"], torch.ones(2))


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_files_have_the_permissions_that_others_of_the_user_have(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_tensors(tmp_path / "m.safetensors", {"a": torch.ones(2)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_file_that_may_not_be_read_is_not_called_damaged() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's, which is closed to others
        Path(folder).chmod(0o755)
        path = Path(folder) / "m.safetensors"
        write_tensors(path, {"a": torch.ones(2)}, {})
        path.chmod(0)
        user = os.geteuid()
        os.seteuid(NOBODY if user == ROOT else user)
        try:
            with pytest.raises(ModelError, match=r"permission denied: ask its owner"):
                read_tensors(path)
        finally:
            os.seteuid(user)


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
