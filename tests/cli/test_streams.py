"""Output in any encoding, escaped control characters, and outputs that cannot be written."""

import io
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deepgllim.cli import main
from deepgllim.cli.console import complain, print_json, results, table
from deepgllim.cli.streams import ERRORS, OutputError, standard_streams, visible
from deepgllim.nn.config import load_recipe
from deepgllim.pose.detection import Face, faces
from tests.pose.tiny import tiny_network

ENCODINGS = ["ascii", "cp1252", "cp437", "cp866", "latin-1", "shift_jis", "gb18030", "cp037", "utf-8", "utf-16"]
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
POSIX = pytest.mark.skipif(os.name != "posix", reason="file descriptors of a shell")

Run = Callable[..., tuple[int, str]]


class Detector:
    """A detector that returns one box."""

    def detect(self, image: Image.Image) -> list[Face]:
        return [Face((5.0, 5.0, 25.0, 30.0), 0.9)]


@pytest.fixture(autouse=True)
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "make_detector", lambda name, **_: Detector())
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")))


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a.png and Ж😀.png of a head turned to the image's right into the working directory."""
    for name in ("a.png", "Ж😀.png"):
        Image.new("RGB", (120, 80), (108, 0, 1)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function: `output("cp437", "predict", …)` returns the exit code and standard output in an encoding."""

    def call(encoding: str, *words: str, errors: str = "strict") -> tuple[int, str]:
        stream = io.TextIOWrapper(io.BytesIO(), encoding, errors)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            code = main(words)
            assert sys.stdout is stream
        assert stream.errors == errors
        return code, stream.buffer.getvalue().decode(encoding)

    return call


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_words_in_any_encoding(output: Run, pictures: Path, encoding: str) -> None:
    code, text = output(encoding, "predict", "a.png")
    assert code == 0
    assert text.startswith("looking roughly into the camera, pitch 0")
    assert "20" in text
    assert output(encoding, "predict", "Ж😀.png", "a.png")[0] == 0


def test_missing_characters_are_replaced(output: Run, pictures: Path) -> None:
    assert "yaw -20 deg +/- 33 deg" in output("ascii", "predict", "a.png")[1]
    assert "yaw -20° ± 33°" in output("cp1252", "predict", "a.png")[1]
    assert "yaw −20° ± 33°" in output("utf-8", "predict", "a.png")[1]
    assert "\\u0416\\U0001f600.png" in output("ascii", "predict", "Ж😀.png", "a.png")[1]


def test_the_error_handler_of_the_user_is_kept(output: Run, pictures: Path) -> None:
    assert "yaw ?20? ? 33?" in output("ascii", "predict", "a.png", errors="replace")[1]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("names", [["Ж😀.png"], ["Ж😀.png", "a.png"]])
def test_json_is_json_in_any_encoding(output: Run, pictures: Path, encoding: str, names: list[str]) -> None:
    code, text = output(encoding, "predict", "--json", *names)
    assert code == 0
    found = [json.loads(text)] if len(names) == 1 else [json.loads(line) for line in text.splitlines()]
    assert [each["source"] for each in found] == names
    assert len(found[0]["faces"]) == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"], ["recipes"]])
def test_help_in_any_encoding(output: Run, encoding: str, words: list[str]) -> None:
    code, text = output(encoding, *words)
    assert code == 0
    assert len(text) > 100


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_a_printed_recipe_is_toml_in_any_encoding(output: Run, tmp_path: Path, encoding: str) -> None:
    code, text = output(encoding, "recipes", "paper")
    (tmp_path / "mine.toml").write_bytes(text.encode(encoding))
    assert code == 0
    assert load_recipe(str(tmp_path / "mine.toml")) == load_recipe("paper")


def test_a_recipe_of_other_letters_is_toml_in_ascii(output: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[network]\nweights = "Ж😀\\u007f.pth"\n', encoding="utf-8")
    _, text = output("ascii", "recipes", str(tmp_path / "mine.toml"))
    assert tomllib.loads(text)["network"]["weights"] == "Ж😀\x7f.pth"


HOSTILE = ["\x1b[2J", "\x9b2J", "\x07", "\x7f", "\r", "‮gpj.a", "⁦", "\u2028", "\udce9"]


@pytest.mark.parametrize("name", HOSTILE)
def test_control_characters_in_names_are_escaped(capsys: pytest.CaptureFixture[str], name: str) -> None:
    complain(f"{name}: it broke")
    results().print(f"{name}: done\nnext")
    results().print(table((name, "n"), [(name, 1)]))
    print_json({"source": name})
    out, err = capsys.readouterr()
    assert name not in out + err
    assert err.count("\n") == 1
    assert ": done\nnext\n" in out
    assert json.loads(out[out.index("{") :])["source"] == name


@POSIX
@pytest.mark.parametrize("words", [[], ["--json"], ["--output", "t.csv"], ["--box", "500,500,600,600"]])
def test_escapes_in_file_names_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], pictures: Path, words: list[str]
) -> None:
    name = "\x1b]0;owned\x07\n\u202e.png"
    (pictures / "a.png").rename(name)
    (pictures / f"broken{name}").touch()
    main(["predict", *([name] if "--box" in words else ["."]), *words])
    text = "".join(capsys.readouterr())
    assert "owned" in text or words[:1] == ["--output"]
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_ordinary_names_are_shown_as_they_are() -> None:
    name = "C:\\photos\\Zoë Ж 写真 😀 می‌خواهم [1].jpg"
    assert visible(name) == name


def test_only_encoding_errors_are_handled() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", ERRORS)


@FULL
@pytest.mark.parametrize("words", [["predict", "a.png"], ["predict", "a.png", "--json"], ["recipes"], ["--help"]])
def test_standard_output_on_a_full_disk_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pictures: Path, words: list[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stdout", full)
        assert main(words) == 1
    assert capsys.readouterr().err == (
        "deepgllim: standard output: cannot be written (No space left on device): check its destination\n"
    )


@FULL
def test_a_large_text_on_a_full_disk_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pictures: Path
) -> None:
    """Test a text larger than the buffers, so that the write fails and not the last flush."""
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stdout", full)
        assert main(["predict", "--json", *["--box", "5,5,25,30"] * 50, "a.png"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_failure_keeps_its_message_and_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pictures: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert main(["predict", "a.png", "absent.png"]) == 1
        assert main(["trian"]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert "absent.png" in first
    assert "standard output: cannot be written (Bad file descriptor)" in second
    assert "trian" in third


@FULL
def test_standard_error_on_a_full_disk_changes_no_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stderr", full)
        assert main(["trian"]) == 2
        assert main(["recipes", "absent"]) == 1


def test_no_standard_error_changes_no_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        assert main(["trian"]) == 2


def test_a_closed_pipe_prints_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as gone, monkeypatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stdout", gone)
        assert main(["recipes"]) == 1
    assert capsys.readouterr().err == ""


def test_other_streams_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with standard_streams():
        print("−")
    assert stream.getvalue() == "−\n"
    stream.close()
    with pytest.raises(ValueError, match="closed"), standard_streams():
        print("x")
    assert not issubclass(ValueError, OutputError)


@POSIX
@FULL
@pytest.mark.parametrize(
    ("redirection", "code", "lines"), [(">/dev/full", 1, 1), (">&-", 1, 1), ("2>/dev/full", 0, 0), ("<&- 2>&-", 0, 0)]
)
def test_the_interpreter_prints_nothing_at_exit(redirection: str, code: int, lines: int) -> None:
    command = (
        f'exec "$0" -c "import sys; from deepgllim.cli import main; sys.exit(main([\'--version\']))" {redirection}'
    )
    done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, lines), done.stderr
