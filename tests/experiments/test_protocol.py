"""Test the options that the experiments share, and that their help needs no extra of development."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.protocol import Parser

ROOT = Path(__file__).parents[2]
ENTRIES = sorted(
    path
    for folder in ("experiments", "research")
    for path in (ROOT / folder).rglob("*.py")
    if "if __name__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("words", "output", "work"),
    [
        ([], "experiments/a", "runs/a"),
        (["--quick"], "runs/quick/a", "runs/quick/a"),
        (["--quick", "--output", "b"], "b", "runs/quick/a"),
        (["--quick", "--work", "b"], "runs/quick/a", "b"),
        (["--output", "b"], "b", "runs/a"),
    ],
)
def test_a_smoke_test_replaces_no_results(words: list[str], output: str, work: str) -> None:
    parser = Parser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("experiments/a"))
    parser.add_argument("--work", type=Path, default=Path("runs/a"))
    found = parser.parse_args(words)
    assert (found.output, found.work) == (Path(output), Path(work))


def test_a_smoke_test_without_folders_is_possible() -> None:
    parser = Parser()
    parser.add_argument("--quick", action="store_true")
    assert parser.parse_args(["--quick"]) == argparse.Namespace(quick=True)


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_smoke_test_has_this_parser(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert '"--quick"' not in text or "argparse.ArgumentParser(" not in text


def test_the_help_needs_no_extra_of_development() -> None:
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ENTRIES]
    code = f"""
import importlib, sys
sys.modules.update(dict.fromkeys(("skimage", "hypothesis", "playwright", "efficientnet_lite_pytorch")))
for name in {[name for name in names if name.startswith("experiments.")]!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True)
