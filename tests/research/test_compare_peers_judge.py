"""Tables of predictions in other conventions, and the measures that all systems are judged by."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from deepgllim.data import Manifest, load_data, read_manifest
from deepgllim.errors import ConfigurationError, DataError
from deepgllim.geometry.rotations import (
    NECK_ANGLES,
    angles_from_rotation,
    rotation_from_pan_tilt,
)
from deepgllim.nn.backbones import wrap_module
from deepgllim.nn.config import Recipe
from deepgllim.nn.evaluation import Predictions
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.runs import build_model, evaluate_run
from research.compare_peers import judge as judging
from research.compare_peers.judge import judge, our_poses
from research.compare_peers.measure import Request, measure
from research.compare_peers.presets import angle_poses
from research.compare_peers.tables import ENTRIES, read_predictions
from tests.research.tiny_networks import table_of, write


@pytest.fixture
def faces(face_folder: Path) -> Manifest:
    return load_data(f"folder:{face_folder}")


@pytest.mark.parametrize(
    ("convention", "matrices"),
    [("300w-lp", False), ("openvino", False), ("hopenet", False), ("opal", False), ("opal", True), ("6drepnet", True)],
)
def test_a_table_is_read_in_its_convention(convention: str, matrices: bool, faces: Manifest, tmp_path: Path) -> None:
    file = write(tmp_path / "p.csv", table_of(faces, convention, matrices))
    poses = read_predictions(file, faces, convention)
    np.testing.assert_allclose(poses.angles[:, :2], faces.target_values, atol=1e-9)
    np.testing.assert_allclose(poses.angles[:, 2], 5, atol=1e-9)
    rows = judge(faces, poses)
    assert all(row["mae"] == pytest.approx(0, abs=1e-9) for row in rows)


def without(column: str) -> Callable[[list[dict[str, object]]], list[dict[str, object]]]:
    return lambda rows: [{name: value for name, value in row.items() if name != column} for row in rows]


BAD_TABLES: dict[str, tuple[Callable[[list[dict[str, object]]], list[dict[str, object]]], str]] = {
    "column": (without("yaw"), "column 'yaw' is missing"),
    "path": (without("path"), "column 'path' is missing"),
    "number": (lambda rows: [rows[0] | {"yaw": "left"}, *rows[1:]], "'left' is not a number"),
    "pictures": (lambda rows: rows[2:], "no row for face22.jpg and 1 others, of 24 pictures"),
    "twice": (lambda rows: [*rows, rows[0]], "face23.jpg is listed 2 times"),
}


@pytest.mark.parametrize("fault", BAD_TABLES)
def test_incomplete_tables_are_refused_in_one_line(fault: str, faces: Manifest, tmp_path: Path) -> None:
    change, message = BAD_TABLES[fault]
    file = write(tmp_path / "p.csv", change(table_of(faces, "300w-lp", matrices=False)))
    with pytest.raises(DataError, match=message) as caught:
        read_predictions(file, faces, "300w-lp")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factor", [1.1, -1.0])
def test_matrices_that_are_not_rotations_are_refused(factor: float, faces: Manifest, tmp_path: Path) -> None:
    rows = table_of(faces, "opal", matrices=True)
    rows[0] |= {name: factor * float(str(rows[0][name])) for name in ENTRIES}
    with pytest.raises(DataError, match="picture 24 is not a rotation"):
        read_predictions(write(tmp_path / "p.csv", rows), faces, "opal")


def test_matrices_need_a_convention_of_matrices(faces: Manifest, tmp_path: Path) -> None:
    file = write(tmp_path / "p.csv", table_of(faces, "opal", matrices=True))
    with pytest.raises(ConfigurationError, match="defines angles, not a matrix"):
        read_predictions(file, faces, "openvino")


def test_pictures_with_equal_names_are_matched_by_path(tmp_path: Path) -> None:
    rows = [{"path": f"{folder}/a.jpg", "pitch": 0, "yaw": yaw, "roll": 0} for folder, yaw in (("x", 10), ("y", 20))]
    faces = read_manifest(write(tmp_path / "labels.csv", rows))
    file = write(tmp_path / "p.csv", rows[::-1])
    assert read_predictions(file, faces, "300w-lp").angles[:, 1].tolist() == [10, 20]


def directions(tilt: Sequence[float], pan: Sequence[float], tmp_path: Path) -> Manifest:
    """Labels as Pointing'04 has them, a direction under two names."""
    rows = [
        {"path": f"{i}.jpg", "pitch": t, "yaw": p, "tilt": t, "pan": p}
        for i, (t, p) in enumerate(zip(tilt, pan, strict=True))
    ]
    return read_manifest(write(tmp_path / "labels.csv", rows))


def test_both_interpretations_and_both_parts_are_evaluated(tmp_path: Path) -> None:
    """A correct direction has no error as a direction, and a known error as angles off the axes."""
    tilt, pan = [0.0, 30.0, 30.0, -60.0], [40.0, 0.0, 75.0, 0.0]
    faces = directions(tilt, pan, tmp_path)
    rotations = rotation_from_pan_tilt(pan, tilt, [0, 0, 0, 0])
    poses = angle_poses(angles_from_rotation(rotations), "300w-lp")
    found = {(row["part"], row["reading"]): row for row in judge(faces, poses)}
    assert set(found) == {(part, reading) for part in ("all", "inner") for reading in ("angles", "directions")}
    assert [found[part, "angles"]["n"] for part in ("all", "inner")] == [4, 2]
    for name in ("mae_pitch", "mae_yaw", "mae", "geodesic", "maev"):
        assert found["all", "directions"][name] == pytest.approx(0, abs=1e-6)
        assert found["inner", "angles"][name] == pytest.approx(0, abs=1e-6)
    pitch, yaw, _ = angles_from_rotation(rotation_from_pan_tilt(75, 30))
    assert found["all", "angles"]["mae_pitch"] == pytest.approx((pitch - 30) / 4)
    assert found["all", "angles"]["mae_yaw"] == pytest.approx((75 - yaw) / 4)


def test_geodesic_and_maev_of_directions_are_those_of_the_rotation(tmp_path: Path) -> None:
    """Labels straight ahead, answers a pure turn of 12°: the angle is 12, and two of the three axes move by it."""
    faces = directions([0.0, 0.0], [0.0, 0.0], tmp_path)
    row = next(
        row for row in judge(faces, angle_poses(np.array([[0.0, 12, 0]] * 2), "300w-lp")) if row["part"] == "all"
    )
    assert row["geodesic"] == pytest.approx(12)
    assert row["maev"] == pytest.approx(8)
    rows = judge(faces, angle_poses(np.array([[0.0, 12, 0]] * 2), "300w-lp"))
    assert [(r["geodesic"], r["maev"]) for r in rows] == [(pytest.approx(12), pytest.approx(8))] * 4


def test_roll_is_judged_where_it_is_labelled(tmp_path: Path) -> None:
    rows = [{"path": "a.jpg", "pitch": 1, "yaw": 2, "roll": 3}]
    faces = read_manifest(write(tmp_path / "l.csv", rows))
    (row, _) = judge(faces, angle_poses(np.array([[2.0, 4.0, 6.0]]), "300w-lp"))
    assert (row["mae_pitch"], row["mae_yaw"], row["mae_roll"], row["mae"]) == (1, 2, 3, 2)


def test_labels_without_yaw_are_refused(tmp_path: Path) -> None:
    faces = read_manifest(write(tmp_path / "l.csv", [{"path": "a.jpg", "pitch": 1}]))
    with pytest.raises(DataError, match="pitch and yaw are needed"):
        judge(faces, angle_poses(np.zeros((1, 3)), "300w-lp"))


def deep(targets: tuple[str, ...]) -> DeepRegression:
    spec = ModelSpec(
        backbone="custom", projection=None, head="least_squares", targets=targets, image_size=32, margin=1.4
    )
    return DeepRegression(spec, wrap_module(torch.nn.Flatten(), feature_size=3))


def said(mean: np.ndarray, half: float) -> Callable[..., Predictions]:
    """Predictions with intervals of a half width, as `predict_manifest` gives them."""
    n, size = mean.shape

    def predict_manifest(_: DeepRegression, faces: Manifest) -> Predictions:
        one = np.ones(n)
        return Predictions(
            mean, mean - half, mean + half, np.stack([np.eye(size)] * n), -3 * one, one, faces.target_values
        )

    return predict_manifest


def test_ours_have_likelihood_and_coverage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of pitch and yaw: in the reading as angles, each part its own."""
    faces = directions([0.0, 60.0], [0.0, 10.0], tmp_path)
    monkeypatch.setattr(judging, "predict_manifest", said(np.array([[1.0, 5.0], [70.0, 12.0]]), half=3.0))
    poses, spread = our_poses(deep(("pitch", "yaw")), faces)
    found = {(row["part"], row["reading"]): row for row in judge(faces, poses, spread)}
    assert (found["all", "angles"]["coverage_90_pitch"], found["all", "angles"]["coverage_90_yaw"]) == (0.5, 0.5)
    assert (found["inner", "angles"]["coverage_90_pitch"], found["inner", "angles"]["coverage_90_yaw"]) == (1, 0)
    assert found["all", "angles"]["nll"] == 3
    assert "nll" not in found["all", "directions"]
    assert found["all", "angles"]["mae"] == pytest.approx((1 + 10 + 5 + 2) / 4)


def test_ours_of_neck_angles_are_judged_as_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The neck roll has no label: no likelihood, but coverage of tilt and pan."""
    faces = directions([30.0], [75.0], tmp_path)
    monkeypatch.setattr(judging, "predict_manifest", said(np.array([[30.0, 70.0, 8.0]]), half=1.0))
    poses, spread = our_poses(deep(NECK_ANGLES), faces)
    found = {(row["part"], row["reading"]): row for row in judge(faces, poses, spread)}
    row = found["all", "directions"]
    assert (row["mae_pitch"], row["mae_yaw"]) == (pytest.approx(0, abs=1e-9), pytest.approx(5))
    assert (row["coverage_90_pitch"], row["coverage_90_yaw"]) == (1, 0)
    assert "nll" not in row
    assert "coverage_90_pitch" not in found["all", "angles"]


def test_ours_of_other_targets_are_refused(faces: Manifest) -> None:
    with pytest.raises(ConfigurationError, match="the model predicts age"):
        our_poses(deep(("age",)), faces)


def test_a_file_of_ours_is_measured_at_its_own_margin(face_folder: Path, tmp_path: Path) -> None:
    """An untrained network: its figures are those that the package's own evaluation gives."""
    recipe = Recipe().override({"data.image_size": 32, "data.margin": 1.3, "network.weights": "none"})
    path = tmp_path / "run" / "model.safetensors"
    path.parent.mkdir()
    build_model(recipe, ("pitch", "yaw")).save(path)
    (row, _) = measure(Request(f"folder:{face_folder}", model=path))
    own = evaluate_run(path, f"folder:{face_folder}")
    assert (row["system"], row["margin"], row["reading"]) == ("ours, run", "1.3", "angles")
    for name in ("n", "mae_pitch", "mae_yaw", "mae", "geodesic", "maev", "nll", "coverage_90_pitch", "coverage_90_yaw"):
        assert row[name] == pytest.approx(own[name]), name
