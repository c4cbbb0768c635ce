"""Test the experiments on rendered heads in quick mode, and their metrics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from deepgllim.data import make_manifest
from deepgllim.errors import RenderError
from deepgllim.geometry.rotations import NECK_ANGLES, angles_from_rotation, rotation_from_pan_tilt
from deepgllim.nn.backbones import wrap_module
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.synthetic import Renderer
from experiments import protocol
from experiments.rendered import Heads, faces
from experiments.synthetic_to_real import judge as judging

SMALL = Heads("wide", images=12, identities=4, size=32, seed=5)


@pytest.fixture(scope="module", autouse=True)
def egl() -> None:
    try:
        Renderer().close()
    except RenderError as error:
        pytest.skip(str(error))


@pytest.fixture
def quick(run_experiment: Callable[..., str], tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Return a function that runs an experiment in its quick mode and returns its table of results."""

    def run(name: str, *options: str) -> pd.DataFrame:
        printed = run_experiment(
            name, *options, "--work", tmp_path / "work", "--output", tmp_path / "tables", "--quick"
        )
        results = protocol.read_table(tmp_path / "tables" / "results.csv")
        assert printed.count("\n| ") >= len(results)
        return results

    return run


def test_quick_mode_fills_table2(quick: Callable[..., pd.DataFrame]) -> None:
    results = quick("table2")
    assert list(zip(results["set"], results.K, strict=True)) == [("S2G", 1), ("SSV", 1), ("S2G", 2), ("SSV", 2)]
    assert results.mae.between(0, 180).all()
    assert (results.pictures == 64).all()  # 2 pictures of each of 32 people


def test_quick_mode_evaluates_two_methods_on_photographs(
    quick: Callable[..., pd.DataFrame], rendered_pointing04: Path
) -> None:
    results = quick("synthetic_to_real", "--data", f"pointing04:{rendered_pointing04}")
    assert len(results) == 2
    assert results.all_direction_mean.between(0, 90).all()
    np.testing.assert_allclose(
        results.all_direction_mean, (results.all_direction_tilt + results.all_direction_pan) / 2, rtol=1e-5
    )


def test_a_set_is_rendered_once_and_split_by_person(tmp_path: Path) -> None:
    first = faces(SMALL, tmp_path, NECK_ANGLES, slice(0, 3))
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    second = faces(SMALL, tmp_path, NECK_ANGLES, slice(3, 4))
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert set(first.subjects) == {"p0000", "p0001", "p0002"}
    assert set(second.subjects) == {"p0003"}
    assert np.isnan(first.boxes).all()  # whole pictures


def test_both_interpretations_of_labels_agree_on_the_axes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A correct direction has a pitch error of 36° where labels are interpreted as angles of our convention."""
    truth = np.array([[0.0, 40.0], [30.0, 0.0], [30.0, 75.0]])  # tilt, pan
    frame = pd.DataFrame({"path": "a.jpg", "tilt": truth[:, 0], "pan": truth[:, 1]}, index=range(3))
    spec = ModelSpec(backbone="custom", projection=None, head="least_squares", targets=NECK_ANGLES, image_size=32)
    model = DeepRegression(spec, wrap_module(torch.nn.Flatten(), feature_size=3))

    class Answer:
        mean = np.column_stack([truth, np.zeros(3)])

    monkeypatch.setattr(judging, "picture_size", lambda _: (32, 1.0))
    monkeypatch.setattr(judging, "face_inputs", lambda *_: None)
    monkeypatch.setattr(judging, "predict_inputs", lambda *_: Answer)
    figures = judging.judge(model, make_manifest(frame, ["tilt", "pan"]))
    assert figures["all_direction_mean"] == pytest.approx(0.0)
    pitch, yaw, _ = angles_from_rotation(rotation_from_pan_tilt(75, 30))
    assert figures["all_angles_tilt"] == pytest.approx((pitch - 30) / 3)
    assert figures["all_angles_pan"] == pytest.approx((75 - yaw) / 3)
    assert figures["inner_angles_mean"] == pytest.approx(0.0)
