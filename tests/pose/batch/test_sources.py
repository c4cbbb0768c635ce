"""Inputs: files, folders, patterns, cameras, and what is none of them."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from deepgllim.pose.batch.sources import PICTURES, find_sources, kind_of, printable
from deepgllim.pose.video.frames import SUFFIXES


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/b.jpg, photos/a.PNG, photos/sub/c.jpg, photos/sub/walk.mp4 and others; the working folder above."""
    for name in ("b.jpg", "a.PNG", "notes.txt", "README", ".hidden.jpg", "sub/c.jpg", "sub/walk.mp4", ".git/d.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def names(*inputs: str, besides: Path | None = None) -> list[str]:
    return [source.path for source in find_sources(inputs, besides).found]


def test_a_folder_is_searched_with_all_below_it_in_order(photos: Path) -> None:
    sources = find_sources(["photos"])
    places = [(source.path, source.kind, source.relative.as_posix()) for source in sources.found]
    assert places == [
        ("photos/a.PNG", "picture", "a.PNG"),
        ("photos/b.jpg", "picture", "b.jpg"),
        ("photos/sub/c.jpg", "picture", "sub/c.jpg"),
        ("photos/sub/walk.mp4", "video", "sub/walk.mp4"),
    ]
    assert (sources.skipped, sources.problems, sources.single) == ({".txt": 1, "no suffix": 1}, (), False)


def test_patterns_keep_the_folders_behind_their_fixed_part(photos: Path) -> None:
    assert names("photos/*.jpg") == ["photos/b.jpg"]
    found = find_sources(["photos/**/*.jpg"]).found
    assert [source.relative.as_posix() for source in found] == ["b.jpg", "sub/c.jpg"]
    assert find_sources(["ph*/b.*"]).found[0].relative.as_posix() == "photos/b.jpg"


def test_home_is_known_in_patterns(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos))
    assert names("~/*.jpg") == [str(photos / "b.jpg")]


def test_a_file_of_the_very_name_goes_before_a_pattern(photos: Path) -> None:
    (photos / "[b].jpg").touch()
    sources = find_sources(["photos/[b].jpg"])
    assert (sources.found[0].path, sources.single) == ("photos/[b].jpg", True)


def test_a_file_named_by_itself_may_be_anything_and_need_not_exist(photos: Path) -> None:
    assert [find_sources([name]).found[0].kind for name in ("photos/notes.txt", "absent.jpg", "absent.mp4")] == [
        "picture",
        "picture",
        "video",
    ]
    assert names("photos/.hidden.jpg") == ["photos/.hidden.jpg"]


def test_each_file_comes_once(photos: Path) -> None:
    (photos / "link.jpg").symlink_to(photos / "b.jpg")
    assert names("photos/b.jpg", "photos", "photos/*.jpg").count("photos/b.jpg") == 1
    assert "photos/link.jpg" not in names("photos/b.jpg", "photos")


def test_the_folder_of_results_is_no_input(photos: Path) -> None:
    (photos / "drawn").mkdir()
    (photos / "drawn" / "b.jpg").touch()
    assert "photos/drawn/b.jpg" in names("photos")
    assert "photos/drawn/b.jpg" not in names("photos", besides=photos / "drawn")
    assert "photos/drawn/b.jpg" not in names("photos/**/*.jpg", besides=photos / "drawn")
    assert names("photos", besides=photos) == names("photos")
    assert names("photos/*.jpg", besides=photos) == ["photos/b.jpg"]


def test_inputs_that_hold_nothing_are_problems(photos: Path) -> None:
    (photos / "empty").mkdir()
    sources = find_sources(["photos/empty", "photos/*.bmp", "photos/*.txt", "photos/b.jpg"])
    said = [str(problem.error) for problem in sources.problems]
    assert [source.path for source in sources.found] == ["photos/b.jpg"]
    assert "photos/empty: the folder holds no file" in said[0]
    assert "photos/*.bmp: no file fits" in said[1]
    assert "photos/*.txt: no picture or video fits this pattern, only 1 other" in said[2]


def test_a_loop_of_links_ends(photos: Path) -> None:
    (photos / "sub" / "loop").symlink_to(photos, target_is_directory=True)
    assert len(names("photos")) == 4


def test_names_that_are_no_text_can_be_printed(photos: Path) -> None:
    name = os.fsdecode(b"photos/caf\xe9.jpg")
    try:
        Path(name).touch()
    except OSError:
        pytest.skip("this file system takes text only")
    source = next(source for source in find_sources(["photos"]).found if "caf" in source.path)
    assert source.name == printable(name) == "photos/caf\N{REPLACEMENT CHARACTER}.jpg"


def test_no_suffix_means_two_things() -> None:
    assert not PICTURES & SUFFIXES
    assert [kind_of(name) for name in ("camera:0", "camera.jpg", "a.MOV", "a")] == ["camera", "picture", "video", None]


def test_heic_is_a_picture_so_that_none_is_passed_over(photos: Path) -> None:
    for name in ("IMG_1.HEIC", "b.heif", "c.hif"):
        (photos / name).touch()
    sources = find_sources(["photos"])
    assert {"IMG_1.HEIC", "b.heif", "c.hif"} <= {source.relative.name for source in sources.found}
    assert ".heic" not in sources.skipped


def test_an_address_is_one_input_whatever_its_signs(photos: Path) -> None:
    for address, kind in (("rtsp://host/stream?channel=1", "video"), ("https://host/[a].jpg", "picture")):
        sources = find_sources([address])
        assert [(source.path, source.kind) for source in sources.found] == [(address, kind)]
        assert sources.single


def test_programs_in_typescript_are_no_videos(photos: Path) -> None:
    (photos / "main.ts").write_text("const a: number = 1;\n" * 40)
    (photos / "walk.ts").write_bytes(b"G" + bytes(187) + b"G" + bytes(187))
    (photos / "walk.m2ts").write_bytes(b"")
    sources = find_sources(["photos"])
    assert {source.relative.name for source in sources.found if source.kind == "video"} == {
        "walk.mp4",
        "walk.ts",
        "walk.m2ts",
    }
    assert sources.skipped[".ts"] == 1
    assert find_sources(["photos/*.ts"]).found[0].path == "photos/walk.ts"
    assert find_sources(["photos/main.ts"]).found[0].kind == "video"  # named by itself


@pytest.fixture
def closed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/closed/e.jpg, in a folder that may not be listed (root may list any)."""
    (photos / "closed").mkdir()
    (photos / "closed" / "e.jpg").touch()
    scan = os.scandir

    def refused(path: str | Path | int) -> Any:
        if not isinstance(path, int) and Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    return photos / "closed"


def test_a_folder_below_that_cannot_be_read_is_a_problem(closed: Path) -> None:
    for text in ("photos", "photos/**/*.jpg", "photos/*/*.jpg"):
        sources = find_sources([text])
        (problem,) = sources.problems
        expected = "photos/closed: the folder cannot be read (Permission denied); check its permissions"
        assert str(problem.error) == expected
        assert "photos/sub/c.jpg" in [source.path for source in sources.found]
    assert [str(problem.error) for problem in find_sources(["photos/closed"]).problems] == [expected]
    assert not find_sources(["photos/*.jpg"]).problems


def test_what_is_no_file_is_an_input_that_fails(photos: Path) -> None:
    os.mkfifo(photos / "fifo.jpg")
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    for text in ("photos", "photos/*.jpg"):
        assert {"photos/fifo.jpg", "photos/gone.jpg"} <= set(names(text))
