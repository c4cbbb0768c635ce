"""`deepgllim render`: its files, its output, resuming, and errors."""

import csv
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deepgllim.errors import RenderError
from deepgllim.synthetic import Renderer, SceneRenderer, render_set
from deepgllim.synthetic import output as written
from tests.synthetic.fakes import FakeRenderer, contents, unable

Call = Callable[..., Any]
Use = Callable[[Callable[[], SceneRenderer]], None]
WORDS = ("--images", 4, "--identities", 2, "--processes", 1)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Return a function that sets the renderer of the command."""
    return lambda maker: monkeypatch.setattr(written, "render_set", partial(render_set, renderer=maker))


@pytest.fixture(autouse=True)
def fake(use: Use) -> None:
    """Use a renderer that needs no GL driver."""
    use(FakeRenderer)


def test_render_writes_a_set_and_prints_the_next_command(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    called = call("render", "--set", "uniform", "--size", 32, "--output", folder, *WORDS)
    assert (called.code, called.err) == (0, "")
    assert called.out.splitlines() == [
        f"manifest: {folder / 'manifest.csv'}",
        f"next: deepgllim train --data folder:{folder} --recipe inverse_regression --targets tilt,pan,neck_roll "
        "--output runs/heads",
    ]
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == ["rendered:uniform"] * 4
    with Image.open(folder / rows[0]["path"]) as picture:
        assert picture.size == (32, 32)


def test_options_reach_the_set(call: Call, tmp_path: Path) -> None:
    backgrounds = tmp_path / "walls"
    backgrounds.mkdir()
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (backgrounds / name).write_bytes(b"")
    words = ("--seed", 7, "--leave-out", "light, torso", "--backgrounds", backgrounds, "--quiet")
    assert call("render", "--output", tmp_path / "heads", *WORDS, *words).code == 0
    configuration = json.loads((tmp_path / "heads" / "render.json").read_text())
    assert configuration["set"] == "wide"
    assert configuration["size"] == 224
    assert configuration["seed"] == 7
    assert configuration["leave_out"] == ["light", "torso"]
    assert configuration["backgrounds"] == [str(backgrounds / "a.jpg"), str(backgrounds / "b.PNG")]


def test_resume_extends_a_set(call: Call, tmp_path: Path) -> None:
    words = ("--size", 32, "--identities", 2, "--processes", 1, "--output")
    assert call("render", "--images", 3, *words, tmp_path / "heads").code == 0
    assert call("render", "--images", 6, *words, tmp_path / "heads", "--resume").code == 0
    assert call("render", "--images", 6, *words, tmp_path / "whole").code == 0
    assert contents(tmp_path / "heads") == contents(tmp_path / "whole")


@pytest.mark.parametrize(("layout", "first"), [("shards", "shard-000000.tar"), ("biwi", "01/frame_00003_pose.txt")])
def test_other_layouts(call: Call, tmp_path: Path, layout: str, first: str) -> None:
    called = call("render", "--layout", layout, "--output", tmp_path / "heads", *WORDS)
    assert called.code == 0
    assert called.out == f"{layout}: {tmp_path / 'heads'}\n"
    assert (tmp_path / "heads" / first).is_file()
    configuration = json.loads((tmp_path / "heads" / "render.json").read_text())
    assert configuration["set"] == {"shards": "wide", "biwi": "natural"}[layout]


def test_an_interrupt_prints_how_to_continue(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: FakeRenderer, scene: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeRenderer, "draw", interrupted)
    called = call("render", "--output", tmp_path / "heads", *WORDS)
    assert called.code == 130
    assert called.err == "deepgllim: interrupted: give the same command with --resume to continue\n"
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "narrow"], ["narrow", "uniform", "wide"]),
        (["--images", "0"], ["0 pictures", "from 1"]),
        (["--processes", "0"], ["0 processes", "from 1"]),
        (["--identities", "0"], ["0 identities"]),
        (["--size", "8"], ["8 pixels", "16"]),
        (["--seed", "-1"], ["seed -1"]),
        (["--leave-out", "hair"], ["hair", "background"]),
        (["--backgrounds", "/no/such"], ["/no/such", "no such folder"]),
        (["--layout", "biwi", "--size", "96"], ["--size 96", "640 x 480"]),
        (["--layout", "biwi", "--identities", "100"], ["100 identities", "99"]),
        (["--resume"], ["nothing to resume", "leave --resume out"]),
    ],
)
def test_invalid_options(refused: Call, tmp_path: Path, words: list[str], said: list[str]) -> None:
    called = refused("render", "--output", tmp_path / "heads", *words)
    assert called.code == 1
    assert all(text in called.err for text in said), called.err
    assert not (tmp_path / "heads").exists()


def test_an_unknown_layout_exits_with_2(refused: Call, tmp_path: Path) -> None:
    assert refused("render", "--output", tmp_path / "heads", "--layout", "zip").code == 2


def test_backgrounds_without_an_image(refused: Call, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    called = refused("render", "--output", tmp_path / "heads", "--backgrounds", tmp_path)
    assert "contains no image" in called.err


def test_a_machine_without_a_driver_is_one_line(refused: Call, tmp_path: Path, use: Use) -> None:
    use(unable)
    called = refused("render", "--output", tmp_path / "heads", *WORDS)
    assert called.code == 1
    assert "apt-get install libegl1" in called.err


def test_missing_moderngl_names_its_extra(
    refused: Call, tmp_path: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Renderer)
    monkeypatch.setitem(sys.modules, "moderngl", None)
    called = refused("render", "--output", tmp_path / "heads", *WORDS)
    assert called.code == 1
    assert "moderngl is not installed: install it with pip install 'deepgllim[render]'" in called.err


def test_the_real_renderer_draws_a_set(call: Call, tmp_path: Path, use: Use) -> None:
    """Render with EGL; skipped if it is not available."""
    pytest.importorskip("moderngl")
    try:
        Renderer().close()
    except RenderError as error:
        pytest.skip(str(error))
    use(Renderer)
    words = ("--size", 32, "--images", 3, "--identities", 2, "--quiet")
    assert call("render", "--output", tmp_path / "one", "--processes", 1, *words).code == 0
    assert call("render", "--output", tmp_path / "two", "--processes", 2, *words).code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    with Image.open(tmp_path / "one" / "images" / "000" / "000001.jpg") as picture:
        low, high = picture.convert("L").getextrema()
    assert high - low > 20  # type: ignore[operator]
