"""Test that inputs are opened where the user said, and nowhere else."""

import os
from pathlib import Path

import pytest

from deepgllim.errors import DataError, ImageError
from deepgllim.pose.scoring import locations
from deepgllim.pose.scoring.locations import Location, open_location, read_file, resolve_entry
from tests.pose.scoring.inputs import local, picture, write_folder

STORE = Location(None, "bucket/faces", "s3")


@pytest.mark.parametrize(
    "address",
    [
        *("http://169.254.169.254/a.jpg", "reference://a.json", "simplecache::s3://bucket/a.tar", "ftp://host/a.tar"),
        *("s3://bucket/a::s3://other/b", "zip://a.zip", "github://org:name@main/"),
    ],
)
def test_other_kinds_of_addresses_are_refused(address: str) -> None:
    with pytest.raises(DataError, match="this kind of address is not read"):
        open_location(address)


@pytest.mark.parametrize(
    "entry",
    [
        *("../secret.png", "a/../../secret.png", "/etc/passwd", "s3://other/1.png", "s3://bucket/other/1.png"),
        *(
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "gs://bucket/faces/1.png",
            "s3://bucket/faces/../1.png",
        ),
        *("s3://bucket/faces-of-others/1.png", "", "a\0b.png", ".", "memory://bucket/faces/1.png"),
    ],
)
def test_entries_outside_the_folder_of_a_manifest_are_refused(entry: str) -> None:
    with pytest.raises(ImageError):
        resolve_entry(STORE, entry)


def test_local_entries_may_not_leave_by_links(tmp_path: Path) -> None:
    write_folder(tmp_path, {"outside/secret.png": b"", "faces/a.png": b""})
    faces = tmp_path / "faces"
    (faces / "link.png").symlink_to(tmp_path / "outside" / "secret.png")
    (faces / "out").symlink_to(tmp_path / "outside")
    for entry in ("link.png", "out/secret.png", str(tmp_path / "outside" / "secret.png"), "../outside/secret.png"):
        with pytest.raises(ImageError, match="lies outside"):
            resolve_entry(local(faces), entry)
    for entry in ("a.png", "./a.png", str(faces / "a.png"), f"file://{faces}/a.png"):
        assert resolve_entry(local(faces), entry) == str((faces / "a.png").resolve())


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="is a pipe"):
        read_file(local(tmp_path / "pipe.png"))
    with pytest.raises(ImageError, match="does not exist"):
        read_file(local(tmp_path / "none.png"))


def test_large_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(picture(7))
    assert read_file(local(tmp_path / "a.png")) == picture(7)
    monkeypatch.setattr(locations, "MAX_BYTES", 20)
    with pytest.raises(ImageError, match="over 0 MiB"):
        read_file(local(tmp_path / "a.png"))
