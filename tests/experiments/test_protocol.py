"""Test what the experiments share: options, parallel tasks, and trainings that are continued."""

import argparse
import ast
import subprocess
import sys
from pathlib import Path

import pytest

from deepgllim.nn import Recipe
from experiments import protocol
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


RUNNERS = sorted((ROOT / "experiments").glob("*/__main__.py"))


@pytest.mark.parametrize("path", RUNNERS, ids=lambda path: path.parent.name)
def test_tasks_of_other_processes_are_not_in_the_main_module(path: Path) -> None:
    """A spawned process does not import `__main__.py` of a package, so it cannot unpickle a function from there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    sent = {
        argument.id
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] in ("partial", "run_tasks", "run_all", "submit")
        for argument in call.args
        if isinstance(argument, ast.Name)
    }
    assert not own & sent


def test_a_job_without_result_and_model_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are in the repository, the models are not."""
    jobs = [protocol.Job("a", Recipe(), 0.5, seed) for seed in range(4)]
    trained: list[int] = []

    def run_job(job: protocol.Job, **options: object) -> dict[str, object]:
        trained.append(job.seed)
        (tmp_path / job.name).mkdir(exist_ok=True)
        (tmp_path / job.name / "model.safetensors").touch()
        return protocol.identity(job) | {"new": 1}

    monkeypatch.setattr(protocol, "run_job", run_job)
    monkeypatch.setattr(protocol, "judge", lambda job, **options: protocol.identity(job) | {"test_mae": 1.0})
    protocol.write_rows([protocol.identity(job) | {"new": 0} for job in jobs[:3]], tmp_path / "runs.csv")
    protocol.write_rows([protocol.identity(jobs[0]) | {"test_mae": 2.0}], tmp_path / "results.csv")
    (tmp_path / jobs[1].name).mkdir()
    (tmp_path / jobs[1].name / "model.safetensors").touch()
    arguments = argparse.Namespace(output=tmp_path, work=tmp_path, data="", quick=False, jobs=1)
    runs, results = protocol.train_and_judge(jobs, arguments)
    assert trained == [2, 3]
    assert runs.sort_values("seed")["new"].tolist() == [0, 0, 1, 1]
    assert results.sort_values("seed")["test_mae"].tolist() == [2.0, 1.0, 1.0, 1.0]
