"""Test the plot of the throughput over processes and actors."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import throughput


def test_the_slope_is_fitted_up_to_the_number_of_cores() -> None:
    growth = throughput.Growth("Ray", {1: 1.0, 2: 2.0, 4: 4.0, 8: 4.0}, cores=4)
    assert growth.slope() == pytest.approx(1.0)


def test_the_plot_and_the_slopes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"processes": 2, "ratio": 2**0.5, "ratio_of_independent_trainings": 2.0}
    (tmp_path / "training.json").write_text(json.dumps({"cores": 2, "runs": [run]}))
    (tmp_path / "scoring.json").write_text(json.dumps({"processors": 2, "actors_relative_to_one": {"1": 1, "2": 2}}))
    files = {name: str(tmp_path / f"{name}.json") for name in ("training", "scoring")}
    words = [f"--{name}={file}" for name, file in files.items()]
    monkeypatch.setattr(sys, "argv", ["throughput", *words, "--plot", str(tmp_path / "plot.png")])
    throughput.main()
    slopes = json.loads(capsys.readouterr().out)
    assert slopes["processes of a training"] == {"one training": 0.5, "independent trainings": 1.0}
    assert slopes["actors of scoring"] == {"Ray": 1.0}
    assert (tmp_path / "plot.png").stat().st_size > 10_000
