"""Test the documentation: Python blocks run, and links, commands, options, files and names exist."""

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "experiments", "research", "benchmarks")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
CODE = sorted(path for folder in ("src", "examples", "tools") for path in (ROOT / folder).rglob("*.py"))
FILES = {
    path.relative_to(ROOT).as_posix()
    for folder in ("src", "tests", "tools", *FOLDERS, "examples")
    for path in (ROOT / folder).rglob("*.*")
} | {path.name for path in ROOT.glob("*.*")}
EXTERNAL = {"efficientnet_lite_builder.py", "part.py"}
"""Files of other packages and of users that the documentation names."""

FILE = re.compile(r"(?<![\w/.*-])(?:[\w-]+/)*[\w-]+\.(?:py|md)\b")
NAME = re.compile(r"\bdeepgllim(?:\.[A-Za-z_]\w*)+")


def relative(path: Path) -> str:
    """Return a path below the repository, as the identity of a test."""
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub forms them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_python_blocks_run(page: Path) -> None:
    """Blocks fenced as `python` run as they are; blocks fenced as `py` need files of the reader."""
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE):
        exec(compile(block, str(page), "exec"), {})


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """Return the options of each command."""
    from deepgllim.cli.app import COMMANDS, make_app, parser_of

    app = make_app()
    parsers = {name: parser_of(app, name.split()) for name in COMMANDS}
    return {
        name: {word for argument in parser.assemble_argument_collection() for word in argument.names}
        for name, parser in parsers.items()
    }


def fenced(text: str) -> str:
    """Return the blocks of code of a page."""
    return "\n".join(re.findall(r"^ *```\w*\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_and_their_options_exist(page: Path, options: dict[str, set[str]]) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^ *(?:\$ )?deepgllim (\w.*)", fenced(text), flags=re.MULTILINE):
        words = line.split("#")[0].split()
        command = next((name for name in (" ".join(words[:2]), words[0]) if name in options), None)
        assert command, f"{page.name} names deepgllim {line}"
        unknown = {word.split("=")[0] for word in words if word.startswith("--")} - options[command] - {"--help"}
        assert not unknown, f"{page.name}: deepgllim {command} has no option {unknown}"


def texts(path: Path) -> Iterator[str]:
    """Yield the text of a page, or the docstrings of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def is_file(name: str, near: Path) -> bool:
    """Return whether a name is a file of the repository, beside a page, or the end of such a path."""
    return name in EXTERNAL or (near.parent / name).exists() or any(f"/{path}".endswith(f"/{name}") for path in FILES)


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=relative)
def test_named_files_exist(path: Path) -> None:
    for line in (line for text in texts(path) for line in text.splitlines()):
        names = FILE.findall(re.sub(r"\]\([^)]*\)|https?://\S+", "", line))  # links have a test of their own
        missing = [name for name in names if not is_file(name, path)]
        assert not missing, f"{relative(path)} names {missing}"


def resolves(name: str) -> bool:
    """Return whether a dotted name is a module or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=relative)
def test_named_objects_exist(path: Path) -> None:
    for text in texts(path):
        missing = {name for name in NAME.findall(text) if not resolves(name)}
        assert not missing, f"{relative(path)} names {missing}"


def test_dead_references_are_found() -> None:
    assert FILE.findall("letters as in docs/notation.md, see distributions.py") == [
        "docs/notation.md",
        "distributions.py",
    ]
    assert not is_file("docs/notation.md", ROOT / "docs" / "index.md")
    assert not resolves("deepgllim.gllim.expectation_of_everything")
    assert resolves("deepgllim.gllim.fit")
    assert not resolves("deepgllim.nothing.fit")


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: pip install 'deepgllim[docs]'"
)
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=variables, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "site" / "reference" / "gllim.html").exists()
