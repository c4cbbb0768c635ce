"""Tests of the command lines of the experiments: folders of smoke tests, and imports without the extra dev."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments import protocol

ROOT = Path(__file__).parents[2]
OWN_FOLDERS = {"pretrained"}
"""Experiments whose --quick is not that of `protocol.make_parser`."""

ENTRIES = sorted(
    path
    for path in (*(ROOT / "experiments").rglob("*.py"), *(ROOT / "research").rglob("*.py"))
    if "if __name__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_quick_is_added_in_one_place(path: Path) -> None:
    if path.parent.name not in OWN_FOLDERS:
        assert '"--quick"' not in path.read_text(encoding="utf-8")


def test_a_smoke_test_writes_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "experiments" / "table9"

    def folders(*options: str) -> tuple[Path, Path]:
        monkeypatch.setattr(sys, "argv", ["table9", *options])
        given = protocol.parse(protocol.make_parser("Make table 9.", out, quick="one row"), out)
        assert given.output.is_dir()
        return given.work, given.output

    assert folders() == (Path("runs/table9"), out)
    assert folders("--quick") == (Path("runs/quick/table9"), Path("runs/quick/table9"))
    assert folders("--quick", "--output", "mine", "--work", "own") == (Path("own"), Path("mine"))


def test_the_help_names_both_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = protocol.make_parser("Make it.", ROOT / "experiments" / "figure2", quick="less", work=False).format_help()
    assert "(default: experiments/figure2, with --quick runs/quick/figure2)" in " ".join(text.split())
    assert "--work" not in text
    assert "SUPPRESS" not in text


def test_the_help_needs_no_extra_dev() -> None:
    """All experiments can be imported without the packages that only the extra dev contains."""
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in ENTRIES]
    code = f"""
import importlib, sys
sys.modules.update(dict.fromkeys(("skimage", "hypothesis", "playwright", "efficientnet_lite_pytorch")))
for name in {[name for name in names if name.startswith("experiments.")]!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, check=True)
