"""Tests of exported networks: refused files, specification, batches, metadata."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.pose.network import PoseNetwork, PoseSpec, _encoded, _varint, write_metadata
from deepgllim.pose.predictor import default_model
from tests.pose.tiny import tiny_network

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_network(tmp_path / "tiny.onnx")


def crops(n: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 3, 8, 8)).astype(np.uint8)


def test_many_crops_are_run_in_parts_and_come_back_in_order(file: Path) -> None:
    network = PoseNetwork(file, threads=1)
    whole = network(crops(150))
    assert whole.mean.shape == (150, 3)
    assert whole.mean.dtype == np.float64
    np.testing.assert_allclose(whole.mean[:, 1], crops(150)[:, 0].mean((1, 2)) - 128, rtol=1e-5)
    np.testing.assert_array_equal(network(crops(150)[100:101]).mean, whole.mean[100:101])


def test_no_crops_give_no_answers(file: Path) -> None:
    assert PoseNetwork(file)(crops(0)).covariance.shape == (0, 3, 3)


def test_the_specification(file: Path) -> None:
    assert PoseNetwork(file).spec == PoseSpec(("tilt", "pan", "neck_roll"), 8, 1.4, None, {"made": "by hand"})


def test_a_file_of_an_earlier_version_is_read_with_the_present_names(file: Path) -> None:
    old = with_header(file, targets=["tilt", "pan", "tip"])
    assert PoseNetwork(old).spec.targets == ("tilt", "pan", "neck_roll")
    assert PoseNetwork(default_model()).spec.targets == ("tilt", "pan", "neck_roll")


@pytest.mark.parametrize("wrong", [crops(1)[0], crops(1)[:, :2], crops(1).astype(np.float32), crops(1)[..., :4]])
def test_other_shapes_and_types_are_refused(wrong: npt.NDArray[np.uint8], file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the network takes \(N, 3, 8, 8\) uint8"):
        PoseNetwork(file)(wrong)


def test_files_that_are_no_networks(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: no such file"):
        PoseNetwork(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(ModelError, match=r"text\.onnx: not an ONNX file, or cut short"):
        PoseNetwork(tmp_path / "text.onnx")
    (tmp_path / "short.onnx").write_bytes(file.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"short\.onnx: not an ONNX file, or cut short"):
        PoseNetwork(tmp_path / "short.onnx")
    with pytest.raises(ConfigurationError, match="0 threads"):
        PoseNetwork(file, threads=0)


def with_header(file: Path, **changes: object) -> Path:
    proto = onnx.load(file)
    header = json.loads(proto.metadata_props[0].value) | changes
    helper.set_model_props(proto, {"deepgllim": json.dumps(header)})
    path = file.with_name("changed.onnx")
    onnx.save(proto, path)
    return path


def test_files_of_other_programs_and_newer_versions_are_refused(file: Path, tmp_path: Path) -> None:
    proto = onnx.load(file)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=r"not a deepgllim model.*deepgllim export"):
        PoseNetwork(tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=r"model format 99, this version reads up to 1: upgrade"):
        PoseNetwork(with_header(file, format_version=99))
    with pytest.raises(ModelError, match="its header is not a model's"):
        PoseNetwork(with_header(file, image_size="large"))


def test_a_graph_with_other_outputs_is_refused(tmp_path: Path) -> None:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 3, 8, 8])
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["N", 3, 8, 8])
    graph = helper.make_graph(
        [helper.make_node("Cast", ["pixels"], ["mean"], to=TensorProto.FLOAT)], "g", [pixels], [mean]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    helper.set_model_props(proto, {"deepgllim": PoseSpec(("yaw",), 8, 1.0).to_json()})
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="gives mean, not pixels and covariance, covariances, mean, means, weights"):
        PoseNetwork(tmp_path / "other.onnx")


def test_metadata_are_exchanged_and_nothing_else(file: Path, tmp_path: Path) -> None:
    spec = PoseNetwork(file).spec._replace(calibration={"scales": [1.0, 2.0, 3.0]}, margin=2.0)
    write_metadata(file, tmp_path / "new.onnx", spec)
    assert PoseNetwork(tmp_path / "new.onnx").spec == spec
    before, after = onnx.load(file), onnx.load(tmp_path / "new.onnx")
    del before.metadata_props[:]
    assert [entry.key for entry in after.metadata_props] == ["deepgllim"]
    del after.metadata_props[:]
    assert before == after


def test_metadata_of_other_files(tmp_path: Path) -> None:
    spec = PoseSpec(("yaw",), 8, 1.0)
    with pytest.raises(ModelError, match=r"absent\.onnx: cannot be read"):
        write_metadata(tmp_path / "absent.onnx", tmp_path / "new.onnx", spec)
    (tmp_path / "text.onnx").write_text("not a network at all")
    with pytest.raises(ModelError, match=r"text\.onnx: not an ONNX file"):
        write_metadata(tmp_path / "text.onnx", tmp_path / "new.onnx", spec)
    assert not (tmp_path / "new.onnx").exists()


@given(st.integers(0, 2**63 - 1))
@properties
def test_varints_are_read_as_they_are_written(value: int) -> None:
    written = _encoded(value)
    assert _varint(written, 0, "file") == (value, len(written))


@pytest.mark.parametrize(
    ("notes", "boxes"), [({}, "pointing04"), ({"boxes": "rendered"}, "rendered"), ({"boxes": "other"}, "pointing04")]
)
def test_the_file_names_the_face_boxes_of_its_training_data(notes: dict[str, str], boxes: str) -> None:
    assert PoseSpec(("pitch", "yaw"), 96, 1.4, notes=notes).boxes == boxes
