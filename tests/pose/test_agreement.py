"""Files whose header, graph and outputs contradict each other: each is refused in one line, opened or run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deepgllim import HeadPose
from deepgllim.errors import ModelError
from deepgllim.pose.network import PoseNetwork
from tests.pose.tiny import tiny_network

Change = Callable[[Any], object]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_network(tmp_path / "tiny.onnx")


def changed(file: Path, change: Change) -> Path:
    """The file after a change of its protobuf message."""
    proto = onnx.load(file)
    change(proto)
    onnx.save(proto, file)
    return file


def with_text(file: Path, text: str) -> Path:
    """The file with another text for a header."""
    return changed(file, lambda proto: helper.set_model_props(proto, {"deepgllim": text}))


def with_entries(file: Path, **entries: object) -> Path:
    header = json.loads(onnx.load(file).metadata_props[0].value)
    return with_text(file, json.dumps({k: v for k, v in (header | entries).items() if v is not ...}))


def refused(make: Callable[[], object], *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        make()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 600
    for word in words:
        assert word in text, text


# --- the header by itself


@pytest.mark.parametrize("size", [0, -1, 10**9, "x", "8", 8.0, 8.7, True, None, [8], float("nan"), ...])
def test_sizes_that_are_none(size: object, file: Path) -> None:
    refused(lambda: PoseNetwork(with_entries(file, image_size=size)), "tiny.onnx", "image_size", "deepgllim export")


@pytest.mark.parametrize(
    "margin", [0, -1, float("nan"), float("inf"), 1e308, 1e-300, 10**400, "x", "1.4", True, None, []]
)
def test_margins_that_are_none(margin: object, file: Path) -> None:
    refused(lambda: PoseNetwork(with_entries(file, margin=margin)), "tiny.onnx", "margin", "deepgllim export")


@pytest.mark.parametrize(
    "targets",
    [
        *([], "pyr", 5, None, [1, 2, 3], [["pitch"]], ["pitch", "pitch", "yaw"], ["pitch", "", "yaw"]),
        *(["pitch", "yaw", "\x1b[31mroll"], ["a" * 100000, "b", "c"], [f"t{i}" for i in range(100000)], {"pitch": 1}),
    ],
)
def test_targets_that_are_none(targets: object, file: Path) -> None:
    refused(lambda: PoseNetwork(with_entries(file, targets=targets)), "tiny.onnx", "targets", "deepgllim export")


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ({"calibration": 5}, "calibration"),
        ({"calibration": [1]}, "calibration"),
        ({"notes": 5}, "notes"),
        ({"notes": "made by hand"}, "notes"),
        ({"extra": 1}, "extra"),
        *(({"format_version": version}, "upgrade") for version in (2, 10**50, 0, -1, True, "1", 1.0, None, ...)),
    ],
)
def test_other_entries(entries: dict[str, object], word: str, file: Path) -> None:
    refused(lambda: PoseNetwork(with_entries(file, **entries)), "tiny.onnx", word)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1]", "null", "7", '"text"', '[["format_version", 1]]', "NaN"),
        '{"format_version": 1, "notes": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        "[" * 200_000,
        '{"format_version": 1, "image_size": ' + "9" * 5000 + "}",
    ],
    ids=range(12),
)
def test_headers_that_are_no_json_object(text: str, file: Path) -> None:
    refused(lambda: PoseNetwork(with_text(file, text)), "tiny.onnx", "its header is not a model's")


def test_a_null_for_the_notes_is_none(file: Path) -> None:
    assert PoseNetwork(with_entries(file, notes=None)).spec.notes == {}
    assert PoseNetwork(with_entries(file, notes=...)).spec.notes == {}


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        {"scales": [1.0]},
        {"scales": [float("nan")] * 3, "levels": [0.9], "region": [2.5], "interval": [1.6]},
        {"scales": [10**400] * 3, "levels": [0.9], "region": [2.5], "interval": [1.6]},
        {"scales": "123", "levels": [0.9], "region": [2.5], "interval": [1.6]},
        {"scales": [True] * 3, "levels": [0.9], "region": [2.5], "interval": [1.6]},
        {"scales": [1.0] * 4, "levels": [0.9], "region": [2.5], "interval": [1.6]},
        {"scales": {"a": 1}, "levels": [0.9], "region": [2.5], "interval": [1.6]},
        *(
            {"scales": [1.0] * 3, "levels": [0.9], "region": [2.5], "interval": [1.6], "log_density_threshold": value}
            for value in (float("nan"), float("inf"), "1", [1], 10**400)
        ),
    ],
)
def test_calibrations_that_are_none_are_refused_and_can_be_made_again(
    calibration: dict[str, object], file: Path
) -> None:
    """The network itself is opened, since the remedy is `deepgllim calibrate`."""
    path = with_entries(file, calibration=calibration)
    assert PoseNetwork(path).spec.calibration is not None
    refused(lambda: HeadPose(path, detector=None), "calibration", "calibrate the model again")


# --- the header against the graph


def test_another_size_than_the_graph_s(file: Path) -> None:
    refused(lambda: PoseNetwork(with_entries(file, image_size=9)), "image_size 9", "(N, 3, 9, 9)", "(free, 3, 8, 8)")


@pytest.mark.parametrize("targets", [["pitch"], ["pitch", "yaw"], ["pitch", "yaw", "roll", "age"]])
def test_another_number_of_targets_than_the_graph_s(targets: list[str], file: Path) -> None:
    words = (f"{len(targets)} targets, pitch", f"(N, 1, {len(targets)})", "(free, 1, 3)")
    refused(lambda: PoseNetwork(with_entries(file, targets=targets)), *words)


def shape_of(value: Any, *sides: int | str) -> None:
    del value.type.tensor_type.shape.dim[:]
    for side in sides:
        entry = value.type.tensor_type.shape.dim.add()
        setattr(entry, "dim_value" if isinstance(side, int) else "dim_param", side)


def drop_output(proto: Any, name: str) -> None:
    kept = [value for value in proto.graph.output if value.name != name]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda proto: shape_of(proto.graph.input[0], "N", 3, "H", "W"), "pixels"),
        (lambda proto: shape_of(proto.graph.input[0], 1, 3, 8, 8), "pixels"),
        (lambda proto: shape_of(proto.graph.output[5], "N", "M"), "log_density"),
        (lambda proto: drop_output(proto, "covariance"), "gives weights, means"),
    ],
    ids=["free-sides", "fixed-batch", "rank", "no-covariance"],
)
def test_graphs_that_declare_something_else(change: Change, word: str, file: Path) -> None:
    refused(lambda: PoseNetwork(changed(file, change)), "tiny.onnx", word)


def test_a_graph_may_not_know_log_density(file: Path) -> None:
    network = PoseNetwork(changed(file, lambda proto: drop_output(proto, "log_density")))
    assert network(np.zeros((2, 3, 8, 8), np.uint8)).log_density is None


def test_further_outputs_are_left_alone(file: Path) -> None:
    def change(proto: Any) -> None:
        proto.graph.output.append(helper.make_tensor_value_info("pan", TensorProto.FLOAT, None))

    assert PoseNetwork(changed(file, change))(np.zeros((2, 3, 8, 8), np.uint8)).mean.shape == (2, 3)


# --- the outputs


def constant(proto: Any, name: str, value: Any) -> None:
    """Another value for one of the graph's constants."""
    (entry,) = [each for each in proto.graph.initializer if each.name == name]
    entry.CopyFrom(numpy_helper.from_array(np.asarray(value, numpy_helper.to_array(entry).dtype), name))


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("middle", np.nan, "mean"),
        ("middle", np.inf, "mean"),
        ("place", [[0.0, 3e38, 0.0]], "mean"),
        ("covariance1", np.diag([1.0, np.nan, 1.0])[None], "covariance"),
        ("covariance1", np.diag([1.0, -4.0, 1.0])[None], "variance that is not positive"),
        ("covariance1", np.zeros((1, 3, 3)), "variance that is not positive"),
        ("zero", np.inf, "weights"),
        ("zero", -1.0, "weights are negative or do not add up to 1"),
        ("zero", 1.0, "weights"),
    ],
)
def test_outputs_of_no_distribution_are_refused(name: str, value: object, word: str, file: Path) -> None:
    network = PoseNetwork(changed(file, lambda proto: constant(proto, name, value)))
    crops = np.full((70, 3, 8, 8), 200, np.uint8)
    refused(lambda: network(crops), "tiny.onnx", word, "train and export it again")
    refused(lambda: HeadPose(network, detector=None).predict(np.full((9, 9, 3), 200, np.uint8)), word)


def test_covariances_with_an_indefinite_angle_are_refused(file: Path) -> None:
    """Every variance is positive, and yet there is no such distribution."""
    wrong = np.array([[[1.0, 5.0, 0.0], [5.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    head_pose = HeadPose(changed(file, lambda proto: constant(proto, "covariance1", wrong)), detector=None)
    refused(lambda: head_pose.predict(np.zeros((9, 9, 3), np.uint8)), "no distribution", "train and export it again")


def test_a_graph_that_cannot_be_run_is_refused(file: Path) -> None:
    def change(proto: Any) -> None:
        """Weights of as many rows as the pixels have, whatever is declared."""
        constant(proto, "three", [3, 4])

    network = PoseNetwork(changed(file, change))
    refused(lambda: network(np.zeros((2, 3, 8, 8), np.uint8)), "tiny.onnx", "cannot be run")


def test_shapes_that_depend_on_the_pixels_are_checked_at_every_run(file: Path) -> None:
    """The graph declares one covariance for each crop, and gives as many as the brightest pixel says."""

    def change(proto: Any) -> None:
        kept = [each for each in proto.graph.node if each.output[0] != "rows"]
        counted = [
            helper.make_node("ReduceMax", ["float"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["count"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["count", "one"], ["rows"]),
        ]
        del proto.graph.node[:]
        proto.graph.node.extend([kept[0], *counted, *kept[1:]])

    network = PoseNetwork(changed(file, change))
    refused(lambda: network(np.full((2, 3, 8, 8), 5, np.uint8)), "has shape (5, ", "not (2, ")
    assert network(np.full((5, 3, 8, 8), 5, np.uint8)).covariance.shape == (5, 3, 3)
