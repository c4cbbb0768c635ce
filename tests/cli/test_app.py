"""Properties of all commands: help, version, exit codes, warnings, imports; recipes and the reference."""

import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from deepgllim import __version__
from deepgllim.cli import app
from deepgllim.cli.console import complain
from deepgllim.cli.options import SOURCES
from deepgllim.cli.recipes import as_toml
from deepgllim.cli.reference import reference
from deepgllim.data import READERS
from deepgllim.errors import EmptyComponentWarning
from deepgllim.nn.config import Recipe, load_recipe, recipe_names

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]


def test_version(call: Call) -> None:
    assert call("--version").out.strip() == __version__


@pytest.mark.parametrize("name", list(app.COMMANDS))
def test_every_command_has_help_with_an_example_and_documented_options(call: Call, name: str) -> None:
    words = name.split()
    called = call(*words, "--help")
    assert called.code == 0
    assert f"deepgllim {name}" in called.out.split("Usage:")[1].partition("\n")[2]
    parser = app.parser_of(app.make_app(), words)
    for argument in parser.assemble_argument_collection(parse_docstring=True):
        assert argument.parameter.help, f"{name} {argument.name} is not documented"


@pytest.mark.parametrize("name", list(app.GROUPS))
def test_every_group_lists_its_commands(call: Call, name: str) -> None:
    called = call(name, "--help")
    assert called.code == 0
    for command in (words.split()[1] for words in app.COMMANDS if words.startswith(f"{name} ")):
        assert command in called.out


@pytest.mark.parametrize("command", [("train",), ("evaluate",), ("data", "check")])
def test_help_names_every_source_of_data(call: Call, command: tuple[str, ...]) -> None:
    assert list(SOURCES) == list(READERS)
    shown = "".join(call(*command, "--help").out.replace("│", "").split())
    for name, path in SOURCES.items():
        assert f"{name}:{path}" in shown


@pytest.mark.parametrize(("words", "shown"), [([], "recipes"), (["train"], "--recipe"), (["predict"], "--detector")])
def test_help_imports_neither_numpy_nor_torch(words: list[str], shown: str) -> None:
    code = (
        f"import sys; from deepgllim.cli import main; assert main([*{words}, '--help']) == 0;"
        "heavy = {'numpy', 'torch', 'pandas', 'scipy', 'sklearn', 'pydantic', 'PIL'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT / "src")
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


@pytest.mark.parametrize("name", list(app.COMMANDS))
def test_summaries_are_the_first_lines_of_the_docstrings(name: str) -> None:
    command = app.parser_of(app.make_app(name), name.split()).default_command
    assert command is not None
    assert (command.__doc__ or "").partition("\n")[0] == app.COMMANDS[name].summary


def test_a_call_without_arguments_prints_the_help(call: Call) -> None:
    called = call()
    assert called.code == 0
    assert "Commands" in called.out


@pytest.mark.parametrize(
    "words", [["trian"], ["train"], ["demo", "--colour"], ["demo", "--seed", "x"], ["data", "chek"]]
)
def test_invalid_arguments_exit_with_2(refused: Call, words: list[str]) -> None:
    called = refused(*words)
    assert called.code == 2
    assert "--help" in called.err


def test_missing_dependency_is_one_line(refused: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("deepgllim.apps.demo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    called = refused("demo", "--output", tmp_path / "demo")
    assert called.code == 1
    assert "torch is not installed: install it with pip install 'deepgllim[train]'" in called.err


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["doctor", "--data", "folder:faces"], "pip install pandas"),
        (["calibrate", "packaged", "--data", "folder:faces"], "pip install pandas"),
        (["data", "check", "folder:faces"], "pip install pandas"),
        (["evaluate", "--model", "m.safetensors", "--data", "folder:faces"], "pip install 'deepgllim[train]'"),
    ],
)
def test_commands_without_torch_need_pandas_only(words: list[str], remedy: str) -> None:
    """In a new process, since imported modules are kept."""
    code = f"""
import sys
sys.modules["pandas"] = None
sys.exit(app.main({words!r}))
"""
    code = f"from deepgllim.cli import app{code}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stderr.strip() == f"deepgllim: pandas is not installed: install it with {remedy}"
    assert found.returncode == 1


@pytest.mark.parametrize(("option", "value"), [("--box", "1,2,3"), ("--camera-matrix", "800")])
def test_a_refused_text_is_named_once(refused: Call, option: str, value: str) -> None:
    error = refused("predict", "photo.jpg", option, value).err
    assert error.startswith(f"deepgllim: {option} '{value}': give four numbers")
    assert error.count(f"{value!r}") == 1


def test_unexpected_errors_are_raised() -> None:
    def broken() -> NoReturn:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        app.run(broken)


def test_own_warnings_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with app.one_line_warnings():
        warnings.warn("component 2\nlost its samples", EmptyComponentWarning, stacklevel=1)
    assert capsys.readouterr().err == "deepgllim: warning: component 2 lost its samples\n"


def test_messages_keep_brackets_and_stay_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[bold]/a/path[/bold] " + "of many words " * 40
    complain(text)
    assert capsys.readouterr().err == f"deepgllim: {text.strip()}\n"


def test_recipes_are_listed(call: Call) -> None:
    called = call("recipes")
    assert [line.split(":")[0] for line in called.out.splitlines()] == recipe_names()


def test_printed_recipe_is_that_recipe(call: Call, tmp_path: Path) -> None:
    for name in recipe_names():
        file = tmp_path / f"{name}.toml"
        file.write_text(call("recipes", name).out, encoding="utf-8")
        assert load_recipe(str(file)) == load_recipe(name)


def test_printed_recipe_explains_every_option() -> None:
    text = as_toml(Recipe())
    for section, options in tomllib.loads(text).items():
        for option in options:
            description = type(getattr(Recipe(), section)).model_fields[option].description
            assert f"# {description}\n{option} = " in text


def test_unknown_recipe(refused: Call) -> None:
    assert "inverse_regression" in refused("recipes", "best").err


def test_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "write it again: python -m deepgllim.cli.reference > docs/cli.md"
