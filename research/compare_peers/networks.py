"""Networks in ONNX files: open them, check them against a preset, and run them on crops."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn import AugmentationConfig, DataConfig, prepare_contexts
from deepgllim.pose.runtime import open_session
from research.compare_peers.presets import Poses, Preset, average, decode, network_input

BATCH = 32


def predict(files: Sequence[Path], preset: Preset, faces: Manifest) -> Poses:
    """Return the poses of all faces, averaged over the files; crops are those of our own networks.

    Raises:
        ModelError: the input or output of a file is not that of the preset.
        ImageError: a picture cannot be read.
    """
    sessions = [open_network(file, preset) for file in files]
    parts: list[list[Poses]] = [[] for _ in sessions]
    for pixels in crops(faces, preset):
        for session, found in zip(sessions, parts, strict=True):
            found.append(decode(run(session, network_input(pixels, preset), preset), preset))
    whole = [Poses(*map(np.concatenate, zip(*found, strict=True))) for found in parts]
    return whole[0] if len(whole) == 1 else average(whole, preset.form)


def crops(faces: Manifest, preset: Preset) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of RGB crops of all faces, (N, 3, S, S)."""
    data, paths, boxes = DataConfig(image_size=preset.size, margin=preset.margin), faces.paths, faces.boxes
    for start in range(0, len(faces), BATCH):
        rows = slice(start, start + BATCH)
        yield prepare_contexts(paths[rows], boxes[rows], data, AugmentationConfig.off())


def open_network(file: Path, preset: Preset) -> Any:
    """Return an onnxruntime session for a file with the input and outputs of a preset.

    Raises:
        ModelError: the file is missing, is not ONNX, or has another input or other outputs.
    """
    if not file.is_file():
        raise ModelError(f"{file}: no such file; give the path of an ONNX model")
    try:
        session = open_session(str(file), threads=1)
    except ConfigurationError:
        raise
    except Exception as error:  # the exceptions of onnxruntime have no common class
        cause = " ".join(str(error).split())[:160]
        raise ModelError(f"{file}: not a model that onnxruntime can run ({cause}); export it as ONNX") from None
    _check_input(file, session, preset)
    _check_outputs(file, session, preset)
    return session


def _check_input(file: Path, session: Any, preset: Preset) -> None:
    inputs, side = session.get_inputs(), preset.size
    wanted = ["N", 3, side, side] if preset.layout == "nchw" else ["N", side, side, 3]
    if len(inputs) != 1 or inputs[0].type != "tensor(float)":
        kinds = ", ".join(f"{each.name}: {each.type}" for each in inputs)
        raise ModelError(f"{file}: its inputs are {kinds}; give a network with one input of type tensor(float)")
    shape = inputs[0].shape
    free_or_fixed = [1, *wanted[1:]]
    fits = len(shape) == 4 and all(
        not isinstance(have, int) or have == want for have, want in zip(shape, free_or_fixed, strict=True)
    )
    if not fits:
        raise ModelError(
            f"{file}: its input {inputs[0].name!r} has shape {shape}, not {wanted} (N: 1 or free); "
            "choose another --preset"
        )


def _check_outputs(file: Path, session: Any, preset: Preset) -> None:
    present = [each.name for each in session.get_outputs()]
    missing = [name for name in preset.outputs if name not in present]
    if missing:
        raise ModelError(
            f"{file}: no output {missing[0]!r}, it has {', '.join(present)}: name those of "
            f"{', '.join(preset.order)} with --outputs"
        )


def run(session: Any, values: NDArray[np.float32], preset: Preset) -> list[NDArray[np.float64]]:
    """Return the outputs of a network for a batch, one sample at a time if its batch size is fixed."""
    given = session.get_inputs()[0]
    step = 1 if given.shape[0] == 1 else len(values)
    names = list(preset.outputs) or None
    batches = [session.run(names, {given.name: values[i : i + step]}) for i in range(0, len(values), step)]
    return [np.concatenate(parts).astype(np.float64) for parts in zip(*batches, strict=True)]
