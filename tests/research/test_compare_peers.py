"""Test the presets of other systems with tiny networks of known output: input, order and signs."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from deepgllim.data import Manifest, load_data, read_manifest
from deepgllim.errors import ConfigurationError, DeepGLLiMError, ModelError
from deepgllim.geometry.rotations import (
    rotation_from_angles,
)
from research.compare_peers.__main__ import main
from research.compare_peers.measure import Request, evenly, measure
from research.compare_peers.networks import open_network, predict
from research.compare_peers.presets import PRESETS, angle_poses, average, decode, nearest_rotations, preset
from tests.research.tiny_networks import POSE, answer, means, network, save, shape_of, table_of, write


@pytest.fixture
def faces(face_folder: Path) -> Manifest:
    return load_data(f"folder:{face_folder}")


@pytest.fixture
def colours(tmp_path: Path) -> Manifest:
    """Two pictures of one colour each: their crops are that colour wherever they are cut."""
    rows = []
    for name, colour in (("a.png", (200, 100, 50)), ("b.png", (10, 20, 30))):
        Image.new("RGB", (80, 60), colour).save(tmp_path / name)
        rows.append({"path": name, "pitch": 0, "yaw": 0})
    write(tmp_path / "colours.csv", rows)
    return read_manifest(tmp_path / "colours.csv")


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_reads_the_known_pose(name: str, faces: Manifest, tmp_path: Path) -> None:
    """The chain of file, order, sign, convention; atol: single precision, and bins that are not quite empty."""
    file = network(tmp_path / "net.onnx", shape_of(PRESETS[name]), answer(name))
    poses = predict([file], PRESETS[name], faces.subset([0, 1]))
    np.testing.assert_allclose(poses.angles, [POSE, POSE], atol=1e-4)
    np.testing.assert_allclose(poses.rotations, [rotation_from_angles(*POSE)] * 2, atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_feeds_its_channels_in_order_and_scale(name: str, colours: Manifest, tmp_path: Path) -> None:
    """Networks that answer the mean of each channel: of plain colours, what the documentation says of one pixel.

    A sum of 50,000 equal numbers in single precision is exact to a few 1e-5.
    """
    chosen = PRESETS[name]
    file = means(tmp_path / "net.onnx", shape_of(chosen), [2, 3] if chosen.layout == "nchw" else [1, 2])
    reader = chosen._replace(outputs=(), form="angles", order=("pitch", "yaw", "roll"), convention="300w-lp")
    seen = predict([file], reader, colours).angles
    rgb = np.array([[200.0, 100.0, 50.0], [10.0, 20.0, 30.0]])
    expected = {
        "fsanet": (rgb[:, ::-1] - 127.5) / 128,
        "openvino": rgb[:, ::-1],
    }.get(name, (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])
    np.testing.assert_allclose(seen, expected, rtol=2e-4)


def test_the_crop_is_the_box_times_the_margin(tmp_path: Path) -> None:
    """A white square on black fills 1/m² of the crop of margin m, but for edges that resampling blurs."""
    picture = np.zeros((200, 200, 3), dtype=np.uint8)
    picture[80:120, 80:120] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    box = {"x0": 80, "y0": 80, "x1": 120, "y1": 120}
    faces = read_manifest(write(tmp_path / "t.csv", [{"path": "a.png", "pitch": 0, "yaw": 0, **box}]))
    chosen = PRESETS["openvino"]._replace(outputs=())
    file = means(tmp_path / "net.onnx", shape_of(chosen), [2, 3])
    for margin in (1.0, 2.0, 4.0):
        share = predict([file], chosen._replace(margin=margin), faces).angles[0, 2] / 255
        assert share == pytest.approx(1 / margin**2, abs=0.02)


def test_a_fixed_batch_of_one_gives_the_same(faces: Manifest, tmp_path: Path) -> None:
    chosen = PRESETS["fsanet"]
    files = [means(tmp_path / f"{batch}.onnx", shape_of(chosen, batch), [2, 3]) for batch in ("N", 1)]
    free, one = (predict([file], chosen, faces).angles for file in files)
    assert free.shape == (24, 3)
    assert np.ptp(free, axis=0).min() > 0  # the pictures differ, so the order is tested too
    np.testing.assert_allclose(free, one, rtol=1e-5, atol=1e-6)


def test_two_files_are_averaged(faces: Manifest, tmp_path: Path) -> None:
    chosen = PRESETS["fsanet"]
    files = [
        network(tmp_path / f"{yaw}.onnx", shape_of(chosen), {"output": np.array([yaw, 4, 0])}) for yaw in (100, 140)
    ]
    poses = predict(files, chosen, faces.subset([0]))
    np.testing.assert_allclose(poses.angles, [[4, 120, 0]], atol=1e-5)  # a yaw beyond 90 stays


def test_matrices_are_averaged_as_rotations() -> None:
    several = [angle_poses(np.array([[0.0, yaw, 0.0]]), "300w-lp") for yaw in (10, 50)]
    np.testing.assert_allclose(average(several, "matrix").angles, [[0, 30, 0]], atol=1e-9)


def test_the_nearest_rotation_is_one_and_keeps_rotations() -> None:
    R = rotation_from_angles(*POSE)
    noisy = np.stack([R, R + 1e-3, -R])
    nearest = nearest_rotations(noisy)
    np.testing.assert_allclose(nearest @ np.swapaxes(nearest, -1, -2), [np.eye(3)] * 3, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(nearest), 1)
    np.testing.assert_allclose(nearest[0], R, atol=1e-12)
    assert np.abs(nearest[1] - R).max() < 3e-3


def test_other_names_of_outputs_can_be_given(faces: Manifest, face_folder: Path, tmp_path: Path) -> None:
    said = {"yaw:0": np.array([20.0]), "pitch:0": np.array([-10.0]), "roll:0": np.array([30.0])}
    file = network(tmp_path / "net.onnx", shape_of(PRESETS["openvino"]), said)
    request = Request(f"folder:{face_folder}", onnx=[file], preset="openvino")
    with pytest.raises(ModelError, match=r"no output 'angle_y_fc'.*--outputs"):
        measure(request)
    rows = measure(request._replace(outputs=["yaw:0", "pitch:0", "roll:0"]))
    truth = faces.target_values
    assert rows[0]["mae_pitch"] == pytest.approx(np.abs(truth[:, 0] - 10).mean(), abs=1e-4)
    assert rows[0]["mae_yaw"] == pytest.approx(np.abs(truth[:, 1] + 20).mean(), abs=1e-4)


def flat(path: Path) -> Path:
    """A network of three axes."""
    return save(path, [helper.make_node("Identity", ["input"], ["output"])], [], ["N", 3, 64], {"output": 3})


BAD_NETWORKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "text": (lambda path: path.write_text("not a model"), "not a model that onnxruntime can run"),
    "empty": (lambda path: path.write_bytes(b""), "not a model that onnxruntime can run"),
    "rank": (flat, "shape .*, not"),
    "size": (lambda path: network(path, ["N", 3, 32, 32], {"output": POSE}), r"shape .*, not \['N', 3, 64, 64\]"),
    "layout": (lambda path: network(path, ["N", 64, 64, 3], {"output": POSE}), "shape .*, not"),
    "batch": (lambda path: network(path, [8, 3, 64, 64], {"output": POSE}), "N: 1 or free"),
    "type": (lambda path: network(path, ["N", 3, 64, 64], {"output": POSE}, TensorProto.UINT8), "tensor.uint8."),
    "output": (lambda path: network(path, ["N", 3, 64, 64], {"pose": POSE}), "no output 'output', it has pose"),
    "angles": (lambda path: network(path, ["N", 3, 64, 64], {"output": POSE[:2]}), "not three angles"),
}


@pytest.mark.parametrize("fault", BAD_NETWORKS)
def test_a_file_that_does_not_fit_is_refused_in_one_line(fault: str, faces: Manifest, tmp_path: Path) -> None:
    make, message = BAD_NETWORKS[fault]
    file = tmp_path / "net.onnx"
    make(file)
    with pytest.raises(ModelError, match=message) as caught:
        predict([file], PRESETS["fsanet"], faces.subset([0]))
    assert "\n" not in str(caught.value)


def test_outputs_of_another_form_are_refused() -> None:
    with pytest.raises(ModelError, match="one 3 × 3 matrix"):
        decode([np.zeros((2, 6))], PRESETS["6drepnet"])
    with pytest.raises(ModelError, match="three sets of bins"):
        decode([np.zeros((2, 66))] * 2, PRESETS["hopenet"])


def test_an_unknown_preset_or_convention_is_named() -> None:
    with pytest.raises(ConfigurationError, match="unknown preset 'fsa': the known ones are fsanet, openvino"):
        preset("fsa")
    with pytest.raises(ConfigurationError, match="unknown convention 'left'"):
        angle_poses(np.zeros((1, 3)), "left")
    for other in ("openface", "mediapipe"):
        with pytest.raises(ConfigurationError, match=f"'{other}' has no pitch, yaw and roll"):
            angle_poses(np.zeros((1, 3)), other)


def test_a_limit_spreads_over_the_table(faces: Manifest) -> None:
    assert evenly(faces, 3).paths == [faces.paths[0], faces.paths[12], faces.paths[23]]
    assert evenly(faces, 100) is faces


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": None}, "--onnx needs --preset"),
        ({"limit": 0}, "--limit 0"),
        ({"margin": 9.0}, "--margin 9"),
        ({"onnx": None, "predictions": Path("p.csv")}, "--predictions needs --convention"),
    ],
)
def test_what_is_asked_for_is_checked(change: dict[str, Any], message: str, face_folder: Path) -> None:
    request = Request(f"folder:{face_folder}", onnx=[Path("net.onnx")], preset="fsanet")
    with pytest.raises(DeepGLLiMError, match=message):
        measure(request._replace(**change))


def test_the_command_adds_rows_and_replaces_its_own(
    face_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = f"folder:{face_folder}", tmp_path / "tables"
    file = network(tmp_path / "net.onnx", shape_of(PRESETS["fsanet"]), answer("fsanet"))
    table = write(tmp_path / "p.csv", table_of(load_data(data), "opal", matrices=False))
    ours = ["--onnx", file, "--preset", "fsanet", "--margin", 2]
    for options in (ours, ["--predictions", table, "--convention", "opal", "--name", "right"], [*ours, "--limit", 5]):
        monkeypatch.setattr(sys, "argv", ["compare_peers", *map(str, ["--data", data, "--output", out, *options])])
        capsys.readouterr()
        main()
    with (out / "results.csv").open() as results:
        rows = list(csv.DictReader(results))
    assert [(row["system"], row["part"], row["n"]) for row in rows if row["part"] == "all"] == [
        ("right", "all", "24"),
        ("fsanet", "all", "5"),
    ]
    assert {row["nll"] for row in rows} == {""}
    assert {row["margin"] for row in rows} == {"", "2"}
    assert capsys.readouterr().out.count("\n| ") == 1 + len(rows)  # under the heading: the rule and a line a row


def test_the_command_fails_with_one_line(face_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.onnx").write_text("text")
    options = ["--data", f"folder:{face_folder}", "--onnx", str(tmp_path / "net.onnx"), "--preset", "fsanet"]
    monkeypatch.setattr(sys, "argv", ["compare_peers", *options, "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^error: [^\n]+$"):
        main()
    assert not (tmp_path / "results.csv").exists()


def test_a_network_runs_on_pictures_in_the_layout_of_pointing04(rendered_pointing04: Path, tmp_path: Path) -> None:
    """One that always says straight ahead: its error is the mean size of the labels, the same in both readings."""
    file = network(tmp_path / "net.onnx", shape_of(PRESETS["6drepnet"]), {"R": np.eye(3)})
    rows = measure(Request(f"pointing04:{rendered_pointing04}", onnx=[file], preset="6drepnet", limit=6))
    labels = np.abs(evenly(load_data(f"pointing04:{rendered_pointing04}"), 6).target_values).mean(axis=0)
    assert [row["mae_pitch"] for row in rows[:2]] == [pytest.approx(labels[0])] * 2
    assert [row["mae_yaw"] for row in rows[:2]] == [pytest.approx(labels[1])] * 2
    assert open_network(file, PRESETS["6drepnet"]).get_inputs()[0].name == "input"
