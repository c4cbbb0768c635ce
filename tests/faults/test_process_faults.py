"""Test a training that is killed in a step, in one process or one of two, and two processes with wrong options."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.model_file import load_model
from deepgllim.storage import read_tensors
from tests.cli.tiny import TINY
from tests.faults.killed_process import run
from tests.nn.processes import ROOT, TIMEOUT, finish, start
from tests.nn.tiny import convolutions

SCRIPT = str(ROOT / "tests" / "faults" / "killed_process.py")
OPTIONS = [*TINY, "--set=network.frozen_depths=[0]", "--set=objective.density_depth=1", "--quiet"]
STEPS = 3
"""Number of steps of a round: 18 of the 24 faces, in batches of 8."""


def messages(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("deepgllim: ")]


def test_a_killed_process_ends_the_training_with_one_line_and_one_process_goes_on(
    face_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    arguments = ["train", "--data", f"folder:{face_folder}", "--output", str(output), *OPTIONS]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    ended = subprocess.run(
        [*torchrun, SCRIPT, "descend", str(STEPS + 1), *arguments],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert ended.returncode != 0
    assert ended.stdout == ""
    (said,) = messages(ended.stderr)
    assert "another process of this training has ended" in said
    assert said.endswith("give the same command with --resume to continue after the last finished round")
    assert '"round": 1' in read_tensors(output / CHECKPOINT)[1]["progress"]
    assert not (output / "model.safetensors").exists()
    assert run([*arguments, "--resume"]) == 0
    assert load_model(output / "model.safetensors", convolutions()).spec.targets == ("pitch", "yaw")


@pytest.mark.parametrize(("place", "number"), [("descend", STEPS + 2), ("solve", 2)], ids=["network step", "EM"])
def test_a_training_killed_in_its_second_round_goes_on_after_the_first(
    place: str, number: int, face_folder: Path, tmp_path: Path
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "run"
    arguments = ["train", "--data", f"folder:{face_folder}", *OPTIONS]
    assert run([*arguments, "--output", str(whole)]) == 0
    ended = subprocess.run(
        [sys.executable, SCRIPT, place, str(number), *arguments, "--output", str(output)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=TIMEOUT,
    )
    assert ended.returncode == -signal.SIGKILL
    assert '"round": 1' in read_tensors(output / CHECKPOINT)[1]["progress"]
    assert run([*arguments, "--output", str(output), "--resume"]) == 0
    expected, found = (read_tensors(folder / "model.safetensors")[0] for folder in (whole, output))
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_an_error_of_both_processes_is_one_line(face_folder: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", f"folder:{face_folder}", "--output", str(tmp_path / "run"), *OPTIONS]
    ended = finish(start([SCRIPT, "descend", "0", *arguments, "--set=schedule.rounds=0"], 2))
    assert [code for code, _, _ in ended] == [1, 1]
    (said,) = messages("".join(err for _, _, err in ended))
    assert "schedule.rounds = 0" in said
    assert not (tmp_path / "run").exists()
