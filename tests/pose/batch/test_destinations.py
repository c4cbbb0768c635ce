"""Where annotated files go, and what is refused before the work starts."""

from pathlib import Path

import pytest

from deepgllim.errors import DataError
from deepgllim.pose.batch.destinations import file_destination, folder_destinations
from deepgllim.pose.batch.sources import Source


def source(path: Path | str, relative: str | None = None, kind: str = "picture") -> Source:
    return Source(str(path), kind, Path(relative or Path(path).name))  # type: ignore[arg-type]


def test_names_and_folders_are_kept(tmp_path: Path) -> None:
    sources = [
        source("in/a.jpg"),
        source("in/sub/a.jpg", "sub/a.jpg"),
        source("in/b.heic"),
        source("in/c"),
        source("in/walk.avi", kind="video"),
        source("in/walk.mp4", kind="video"),
    ]
    places = folder_destinations(sources, tmp_path / "out")
    written = [path.relative_to(tmp_path / "out").as_posix() for path in places.values()]
    assert written == ["a.jpg", "sub/a.jpg", "b.heic.png", "c.png", "walk.avi.mp4", "walk.mp4"]
    assert (tmp_path / "out" / "sub").is_dir()


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one/a\.jpg and two/a\.jpg would both be saved as .*out/a\.jpg"):
        folder_destinations([source("one/a.jpg"), source("two/a.jpg")], tmp_path / "out")


def test_a_source_is_never_replaced(tmp_path: Path) -> None:
    picture = tmp_path / "a.jpg"
    picture.touch()
    (tmp_path / "link.jpg").symlink_to(picture)
    for place in (picture, tmp_path / "." / "a.jpg", tmp_path / "link.jpg"):
        with pytest.raises(DataError, match="is the picture itself"):
            file_destination(source(picture), place, overwrite=True)
    with pytest.raises(DataError, match="is the picture itself"):
        folder_destinations([source(picture), source(tmp_path / "b.jpg")], tmp_path, overwrite=True)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    sources = [source("in/a.jpg"), source("in/b.jpg")]
    with pytest.raises(DataError, match=r"a\.jpg and 1 more exists already.*--overwrite"):
        folder_destinations(sources, tmp_path)
    assert len(folder_destinations(sources, tmp_path, overwrite=True)) == 2


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("picture", "a.mp4", r"a picture is saved as \.png"),
        ("video", "a.jpg", r"a video is saved as \.mp4"),
        ("camera", "a.webm", r"a video is saved as \.mp4"),
        ("picture", "no/a.png", "cannot be written: check the folder"),
        ("picture", "folder.png", "is a folder"),
    ],
)
def test_files_that_cannot_be(tmp_path: Path, kind: str, name: str, said: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=said):
        file_destination(source("x", kind=kind), tmp_path / name)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="the folder cannot be made"):
        folder_destinations([source("a.jpg")], tmp_path / "file" / "out")
