"""Folders in which a set can be started or resumed."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepgllim.errors import ConfigurationError, DataError, DeepGLLiMError
from deepgllim.storage import locked_folder
from deepgllim.synthetic import SceneSampler, render_set
from tests.synthetic.fakes import SAMPLER, FakeRenderer, contents, draws

Render = Callable[..., Path]


def test_a_folder_with_other_files_is_not_changed(render: Render, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="is not empty"):
        render()
    with pytest.raises(DataError, match=r"nothing to resume \(no render.json\)"):
        render(resume=True)
    assert contents(tmp_path) == before


def test_a_set_is_not_begun_twice(render: Render, log: Path) -> None:
    render(3)
    with pytest.raises(DataError, match="holds a set already: go on with it by --resume"):
        render(3)
    assert draws(log) == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 1}, "begun with seed 9, not 1"),
        ({"name": "uniform"}, "begun with set wide, not uniform"),
        ({"identities": 5}, "begun with identities 4, not 5"),
        ({"size": 32}, "begun with size 24, not 32"),
        ({"leave_out": ("light",)}, "begun with leave_out of 0 entries, not light"),
        ({"pictures": ("a.jpg",)}, "begun with backgrounds of 0 entries, not a.jpg"),
    ],
)
def test_another_configuration_is_not_resumed(
    render: Render, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    render(3)
    before = contents(tmp_path)
    options: dict[str, Any] = {"name": "wide", "identities": 4, "size": 24, "seed": 9} | changed
    with pytest.raises(ConfigurationError, match=said):
        render(3, resume=True, sampler=SceneSampler(**options))
    with pytest.raises(ConfigurationError, match="begun with layout folder, not shards"):
        render(3, resume=True, layout="shards")
    with pytest.raises(ConfigurationError, match="a set of 3 pictures, not 2: give 3, or more to extend it"):
        render(2, resume=True)
    assert contents(tmp_path) == before


def test_another_version_is_resumed(render: Render, tmp_path: Path) -> None:
    render(3)
    path = tmp_path / "set" / "render.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "0.0.1"}))
    render(3, resume=True)


def test_a_damaged_configuration_raises_a_data_error(render: Render, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "render.json").write_text('{"images": ')
    with pytest.raises(DataError, match=r"render\.json: not a set's configuration"):
        render(resume=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": 0}, "0 pictures: give a number from 1"),
        ({"processes": 0}, "0 processes: give a number from 1"),
        ({"layout": "zip"}, "unknown layout 'zip': use one of folder, shards, biwi"),
    ],
)
def test_numbers_and_layouts_out_of_range(render: Render, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        render(**options)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("below", [False, True])
def test_output_that_is_a_file(tmp_path: Path, below: bool) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(DataError, match="is a file, or lies below one"):
        render_set(SAMPLER, 1, file / "set" if below else file, renderer=FakeRenderer)
    assert file.read_text() == "mine"


def test_output_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(
        DeepGLLiMError, match=r"cannot be used \(Permission denied\): give a folder that can be written"
    ):
        render_set(SAMPLER, 1, tmp_path / "set", renderer=FakeRenderer)


@pytest.mark.parametrize("layout", ["folder", "shards"])
@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_that_is_rendered_into_is_refused(
    render: Render, tmp_path: Path, log: Path, layout: str, resume: bool
) -> None:
    """A second process would remove the first one's unfinished files and parts."""
    said: list[str] = []

    def again(done: int, images: int) -> None:
        unfinished = tmp_path / "set" / ".000000.jpg.77.tmp"
        unfinished.write_text("half")
        before = contents(tmp_path)
        with locked_out() as refusal:
            render(3, resume=resume, layout=layout)
        said.append(refusal[0])
        assert contents(tmp_path) == before
        unfinished.unlink()

    render(3, layout=layout, progress=again)
    # without --resume it is a set already
    expected = f"in use by process {os.getpid()} on " if resume else "holds a set already: go on with it by --resume"
    assert said
    assert all(expected in text for text in said)
    assert draws(log) == 3
    assert not {".lock", ".lock.pid"} & {path.name for path in (tmp_path / "set").iterdir()}


@contextmanager
def locked_out() -> Iterator[list[str]]:
    """What is refused meanwhile."""
    said: list[str] = []
    with pytest.raises(DataError) as caught:
        yield said
    said.append(str(caught.value))


def test_a_start_that_another_one_overtook_is_refused(render: Render, tmp_path: Path, log: Path) -> None:
    (tmp_path / "set").mkdir()
    with locked_folder(tmp_path / "set"), pytest.raises(DataError, match=f"in use by process {os.getpid()} on "):
        render(3)
    assert draws(log) == 0
    render(3)


def test_a_start_that_was_killed_does_not_stand_in_the_way(render: Render, tmp_path: Path) -> None:
    """Before its configuration is there, it can be begun and not resumed."""
    folder = tmp_path / "set"
    folder.mkdir()
    left = {name: folder / name for name in (".lock", ".lock.pid", ".render.json.77.tmp")}
    for path in left.values():
        path.write_text("process 77 on another machine")
    with pytest.raises(DataError, match="nothing to resume"):
        render(3, resume=True)
    render(3)
    assert not [path for path in left.values() if path.exists()]
