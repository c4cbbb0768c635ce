"""Valid and malicious model files, made from a tiny exported network and a tiny trained model."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from deepgllim.errors import ModelError
from tests.corpus.outcomes import Refused
from tests.nn.tiny import model
from tests.pose.tiny import tiny_network

Tensors = dict[str, torch.Tensor]
JUNK = np.random.default_rng(0).bytes(5000)
DEEP = "[" * 100_000 + "]" * 100_000


class Case(NamedTuple):
    """How a whole file becomes another, and what that must come to: it answers as before, or is refused."""

    change: Callable[[Path], object]
    expected: Refused | None


def refused(words: str) -> Refused:
    return Refused(ModelError, words)


def make_network(path: Path) -> None:
    tiny_network(path)


def proto(edit: Callable[[Any], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        message = onnx.load(path)
        edit(message)
        onnx.save(message, path)

    return change


def header(**entries: object) -> Callable[[Path], object]:
    """Other entries of the JSON header; … leaves one out."""

    def edit(message: Any) -> None:
        values = json.loads(message.metadata_props[0].value) | entries
        text = json.dumps({name: value for name, value in values.items() if value is not ...})
        helper.set_model_props(message, {"deepgllim": text})

    return proto(edit)


def header_text(text: str) -> Callable[[Path], object]:
    return proto(lambda message: helper.set_model_props(message, {"deepgllim": text}))


def constant(name: str, value: float) -> Callable[[Path], object]:
    """Another value of all numbers of a constant."""

    def edit(message: Any) -> None:
        for tensor in message.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(tensor), value), name))

    return proto(edit)


def unsupported(path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


def outside(location: str) -> Callable[[Path], object]:
    """Weights that lie in another file."""

    def edit(message: Any) -> None:
        tensor = message.graph.initializer[1]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "4")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    def change(path: Path) -> None:
        (path.parent.parent / "secret.bin").write_bytes(struct.pack("<f", 128.0))
        proto(edit)(path)

    return change


def renamed_output(message: Any) -> None:
    message.graph.output[0].name = message.graph.node[9].output[0] = "heights"


def without_density(message: Any) -> None:
    del message.graph.output[5]


def unknown_node(message: Any) -> None:
    message.graph.node[0].op_type = "Cats"


def written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut(share: float) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        path.unlink()
        make(path)

    return change


class _Program:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("it-ran",)


PROGRAM = pickle.dumps(_Program())


def make_model(path: Path) -> None:
    torch.manual_seed(0)
    model().save(path)


def tensors(edit: Callable[[Tensors], object]) -> Callable[[Path], object]:
    """Other tensors, without a checksum, as another program writes them."""
    return saved(lambda found, _: edit(found))


def saved(edit: Callable[[Tensors, dict[str, str]], object]) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        found = load_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata())
        metadata.pop("checksum", None)
        edit(found, metadata)
        save_file(found, path, metadata)

    return change


def spec(**entries: object) -> Callable[[Path], object]:
    def edit(_: Tensors, metadata: dict[str, str]) -> None:
        metadata["deepgllim"] = json.dumps(json.loads(metadata["deepgllim"]) | entries)

    return saved(edit)


def spec_text(text: str) -> Callable[[Path], object]:
    return saved(lambda _, metadata: metadata.update(deepgllim=text))


def times(factor: float, name: str = "") -> Callable[[Path], object]:
    def edit(found: Tensors) -> None:
        for key in [key for key, value in found.items() if name in key and value.is_floating_point()]:
            found[key] = found[key] * factor

    return tensors(edit)


def raw(head: bytes, data: bytes = b"", size: int | None = None) -> Callable[[Path], object]:
    return written(struct.pack("<Q", len(head) if size is None else size) + head + data)


def entry(dtype: str, shape: list[int], *offsets: int) -> bytes:
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def without_head(found: Tensors) -> None:
    for name in [name for name in found if name.startswith("head.")]:
        del found[name]


def complex_tensors(found: Tensors) -> None:
    found |= {name: value.to(torch.complex64) for name, value in found.items() if value.is_floating_point()}


NOT_ONNX, NOT_SAFE = refused("not an ONNX file, or cut short"), refused("cut short or not a safetensors file")
NO_HEADER = refused("its header is not a model's")
UPGRADE = refused("upgrade deepgllim")

NETWORKS: dict[str, Case] = {
    "whole": Case(lambda path: None, None),
    "no notes": Case(header(notes=...), None),
    "other notes": Case(header(notes={"licence": "CC0", "of": [1, 2]}), None),
    "no calibration": Case(header(calibration=None), None),
    "other angles": Case(header(targets=["pitch", "yaw", "roll"]), None),
    "no angles": Case(header(targets=["a", "b", "c"]), refused("the model predicts a, b, c: a pose needs")),
    "without density": Case(proto(without_density), None),
    "half": Case(cut(0.5), NOT_ONNX),
    "a byte less": Case(lambda path: path.write_bytes(path.read_bytes()[:-1]), NOT_ONNX),
    "empty": Case(written(b""), refused("")),
    "text": Case(written(b"hello"), NOT_ONNX),
    "zeros": Case(written(bytes(5000)), NOT_ONNX),
    "junk": Case(written(JUNK), NOT_ONNX),
    "program": Case(written(PROGRAM), NOT_ONNX),
    "missing": Case(lambda path: path.unlink(), refused("no such file")),
    "folder": Case(replaced(Path.mkdir), refused("")),
    "pipe": Case(replaced(os.mkfifo), refused("")),
    "endless": Case(replaced(lambda path: path.symlink_to("/dev/zero")), refused("")),
    "unsupported": Case(unsupported, refused("not a deepgllim model")),
    "weights above": Case(outside("../secret.bin"), refused("")),
    "weights anywhere": Case(outside("/etc/hostname"), refused("")),
    "unknown node": Case(proto(unknown_node), refused("Cats")),
    "version 2": Case(header(format_version=2), UPGRADE),
    "version true": Case(header(format_version=True), UPGRADE),
    "no version": Case(header(format_version=...), UPGRADE),
    "header cut": Case(header_text("{"), NO_HEADER),
    "header a list": Case(header_text("[1]"), NO_HEADER),
    "header deep": Case(header_text('{"format_version": 1, "notes": ' + DEEP + "}"), NO_HEADER),
    "number of 5000 digits": Case(header_text('{"format_version": 1, "image_size": ' + "9" * 5000 + "}"), NO_HEADER),
    "image size 0": Case(header(image_size=0), refused("image_size is 0")),
    "image size 10^9": Case(header(image_size=10**9), refused("image_size is 1000000000")),
    "another image size": Case(header(image_size=9), refused("image_size 9")),
    "margin NaN": Case(header(margin=float("nan")), refused("margin is nan")),
    "margin of text": Case(header(margin="1.4"), refused("margin is '1.4'")),
    "two targets": Case(header(targets=["pitch", "yaw"]), refused("2 targets")),
    "four targets": Case(header(targets=["a", "b", "c", "d"]), refused("4 targets")),
    "a target twice": Case(header(targets=["a", "a", "b"]), refused("each once")),
    "a target of escapes": Case(header(targets=["a", "b", "\x1b[31m"]), refused("printable")),
    "calibration a number": Case(header(calibration=5), refused("calibration")),
    "calibration of nothing": Case(header(calibration={}), refused("calibration")),
    "another entry": Case(header(extra=1), refused("extra")),
    "other outputs": Case(proto(renamed_output), refused("gives heights")),
    "means NaN": Case(constant("middle", float("nan")), refused("mean")),
    "variances 0": Case(constant("covariance1", 0.0), refused("a variance that is not positive")),
    "variances negative": Case(constant("covariance1", -1.0), refused("a variance that is not positive")),
    "weights NaN": Case(constant("zero", float("nan")), refused("weights is not finite")),
}

MODELS: dict[str, Case] = {
    "whole": Case(lambda path: None, None),
    "without a checksum": Case(tensors(lambda found: None), None),
    "other notes": Case(spec(notes={"of": [1, 2]}), None),
    "a bias of half precision": Case(
        tensors(lambda f: f.update({n: v.half().to(v.dtype) for n, v in f.items() if n == "projection.bias"})), None
    ),
    "half": Case(cut(0.5), NOT_SAFE),
    "empty": Case(written(b""), NOT_SAFE),
    "text": Case(written(b"hello"), NOT_SAFE),
    "zeros": Case(written(bytes(5000)), refused("")),
    "junk": Case(written(JUNK), NOT_SAFE),
    "program": Case(written(PROGRAM), NOT_SAFE),
    "missing": Case(lambda path: path.unlink(), refused("no such file")),
    "folder": Case(replaced(Path.mkdir), refused("")),
    "pipe": Case(replaced(os.mkfifo), refused("")),
    "a wrong bit": Case(flipped, refused("its checksum is not that of its content")),
    "header of 2^62 bytes": Case(raw(b"{}", size=2**62), NOT_SAFE),
    "header longer than the file": Case(raw(b"{}", size=100_000), NOT_SAFE),
    "header of nothing": Case(raw(b"{}"), refused("not a deepgllim model")),
    "header deep": Case(raw(b"[" * 200_000), NOT_SAFE),
    "tensor of 4 TB": Case(raw(entry("F32", [2**40], 0, 2**42)), NOT_SAFE),
    "tensor of 2^80 numbers": Case(raw(entry("F32", [2**40, 2**40], 0, 4), bytes(4)), NOT_SAFE),
    "tensor of -1 numbers": Case(raw(entry("F32", [-1], 0, 4), bytes(4)), NOT_SAFE),
    "tensor of another kind": Case(raw(entry("F31", [1], 0, 4), bytes(4)), NOT_SAFE),
    "specification deep": Case(spec_text('{"format_version": 1, "notes": ' + DEEP + "}"), NO_HEADER),
    "specification a list": Case(spec_text("[1]"), NO_HEADER),
    "version 99": Case(spec(format_version=99), UPGRADE),
    "another name of its backbone": Case(spec(backbone="my own"), None),
    "weights of the system": Case(spec(backbone_options={"weights": "/etc/passwd"}), refused("weights")),
    "projection to 10^9": Case(spec(projection=10**9), refused("a projection to 1000000000 features")),
    "projection to 0": Case(spec(projection=0), refused("projection")),
    "100,000 targets": Case(spec(targets=[f"t{i}" for i in range(100_000)]), refused("100000 targets")),
    "image size 0": Case(spec(image_size=0), refused("image_size")),
    "margin NaN": Case(spec(margin=float("nan")), refused("margin")),
    "head of another kind": Case(spec(head="least_squares"), refused("do not fit")),
    "without its head": Case(tensors(without_head), refused("do not fit")),
    "not finite": Case(times(float("nan")), refused("not finite")),
    "head not finite": Case(times(float("inf"), "head.A"), refused("not finite")),
    "complex": Case(tensors(complex_tensors), refused("complex")),
    "variances of zeros": Case(times(0.0, "head.Sigma"), refused("its head")),
    "variances negative": Case(times(-1.0, "head.Gamma"), refused("its head")),
}
