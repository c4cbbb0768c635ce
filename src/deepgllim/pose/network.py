"""Prediction with an exported network, by numpy and onnxruntime, without torch."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.geometry.names import present_names
from deepgllim.pose.agreement import REMEDY, check_graph, check_header, check_outputs
from deepgllim.pose.detection.boxes import BOX_KINDS, DEFAULT_BOXES
from deepgllim.pose.runtime import Session
from deepgllim.storage import read_header, refuse_irregular, refuse_unreadable, write_atomically

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

FORMAT_VERSION = 1
KEY = "deepgllim"
MAX_THREADS = 1024
"""Largest number of threads of a session; each takes memory for its stack."""

BATCH = 64

_METADATA = 14  # field number of metadata_props in ModelProto


class PoseSpec(NamedTuple):
    """The specification in the file of a network.

    Attributes:
        targets: names of the predicted targets.
        image_size: side of the crops, pixels.
        margin: side of a crop over the longer side of the face box.
        calibration: dictionary of `Calibration.to_json`; None if the network is not calibrated.
        notes: other entries, such as data, licence and version.
    """

    targets: tuple[str, ...]
    image_size: int
    margin: float
    calibration: Mapping[str, Any] | None = None
    notes: Mapping[str, Any] = MappingProxyType({})

    @property
    def boxes(self) -> str:
        """The kind of face boxes of the training data, by which detectors convert theirs; `notes` may have it."""
        kind = self.notes.get("boxes", DEFAULT_BOXES)
        return kind if kind in BOX_KINDS else DEFAULT_BOXES

    def to_json(self) -> str:
        """Return the metadata entry of the file."""
        return json.dumps({"format_version": FORMAT_VERSION, **self._asdict(), "notes": dict(self.notes)})


class NetworkOutputs(NamedTuple):
    """The outputs for N crops: mixtures of K components over L targets.

    Attributes:
        weights: weights of the components, (N, K).
        means: means of the components, (N, K, L), degrees for angles.
        covariances: covariances of the components, (N, K, L, L).
        mean: mean of the mixture, (N, L).
        covariance: covariance of the mixture, (N, L, L).
        log_density: log p(x), (N,); None if the network does not compute it.
    """

    weights: Array
    means: Array
    covariances: Array
    mean: Array
    covariance: Array
    log_density: Array | None


class PoseNetwork:
    """An exported network.

    Pickling stores the path and the number of threads. Unpickling, and the first use in a forked process, read the file
    again.

    Args:
        path: path of the ONNX file.
        threads: number of threads of one prediction; None for the number of cores. Idle threads sleep.

    Attributes:
        path: path of the ONNX file.
        threads: number of threads of one prediction.
        spec: specification in the file, a `PoseSpec`.

    Raises:
        ModelError: the file does not exist, is truncated, is not an ONNX file of this package, has a newer version, or
            its header does not match its graph.
        ConfigurationError: `threads` is under 1.

    Example:
        >>> network = PoseNetwork("headpose.onnx")  # doctest: +SKIP
        >>> network(crops).mean.shape  # doctest: +SKIP
        (8, 3)
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        self.path = Path(path)
        self.threads = threads
        self._session = _session(self.path, threads)
        self.spec = _spec(self.path, self._session.metadata)
        self._shapes = check_graph(
            self.path, self.spec.image_size, self.spec.targets, self._session.inputs, self._session.outputs
        )

    def __reduce__(self) -> "tuple[type[PoseNetwork], tuple[Path, int | None]]":
        """Return class and arguments, with an absolute path, since another process may have another working folder."""
        return type(self), (self.path.absolute(), self.threads)

    def __call__(self, pixels: Pixels) -> NetworkOutputs:
        """Run the network on crops, at most 64 at a time.

        Args:
            pixels: RGB crops, uint8, (N, 3, S, S), where S is `spec.image_size`.

        Raises:
            ConfigurationError: the shape or type is wrong.
            ModelError: the graph cannot be run, or its outputs are not a mixture: numbers that are not finite, weights
                that do not add up to 1, variances that are not positive.
        """
        size = self.spec.image_size
        if pixels.ndim != 4 or pixels.shape[1:] != (3, size, size) or pixels.dtype != np.uint8:
            raise ConfigurationError(
                f"crops of shape {pixels.shape} and type {pixels.dtype}: the network takes (N, 3, {size}, {size}) uint8"
            )
        parts = [self._run(block) for block in _blocks(pixels)]
        joined = {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in self._shapes}
        return NetworkOutputs(**{name: joined.get(name) for name in NetworkOutputs._fields})  # type: ignore[arg-type]

    def _run(self, pixels: Pixels) -> dict[str, npt.NDArray[np.float32]]:
        names = list(self._shapes)
        try:
            answers = dict(zip(names, self._session.run(names, {"pixels": pixels}), strict=True))
        except ModelError:
            raise
        except Exception as error:  # the exception classes of onnxruntime are not public
            raise ModelError(
                f"{self.path}: its graph cannot be run ({first_line(error)}): copy it again, or {REMEDY}"
            ) from None
        check_outputs(self.path, answers, self._shapes, len(pixels))
        return answers


def _blocks(pixels: Pixels) -> Iterator[Pixels]:
    """Yield parts of at most `BATCH` crops; one empty part if there are none, so that the outputs have their shapes."""
    for start in range(0, max(len(pixels), 1), BATCH):
        yield np.ascontiguousarray(pixels[start : start + BATCH])


def _session(path: Path, threads: int | None) -> Session:
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise ConfigurationError(f"{threads} threads: give 1 to {MAX_THREADS}, or None for all cores")
    refuse_irregular(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such file: give the path of an exported model; {REMEDY}")
    refuse_unreadable(path)
    if path.suffix.lower() == ".safetensors":
        raise ModelError(
            f"{path}: a trained model, not an ONNX file: export it with deepgllim export {path} MODEL.onnx (deepgllim "
            "train exports its model at its end)"
        )
    try:
        return Session(path, threads or 0)
    except ConfigurationError:
        raise
    except Exception as error:  # the exception classes of onnxruntime are not public
        raise ModelError(
            f"{path}: not an ONNX file, or cut short ({first_line(error)}): copy it again, or {REMEDY}"
        ) from None


def first_line(error: Exception) -> str:
    """Return the first line of the message of an exception of onnxruntime.

    Example:
        >>> first_line(RuntimeError("Reshape failed\\nat line 3"))
        'Reshape failed'
    """
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0]


def _spec(path: Path, metadata: dict[str, str]) -> PoseSpec:
    values = read_header(path, metadata, KEY, FORMAT_VERSION, REMEDY)
    values.pop("format_version")
    check_header(path, values)
    try:
        spec = PoseSpec(**values)
    except TypeError as error:
        raise ModelError(f"{path}: its header is not a model's ({error}); {REMEDY}") from None
    return spec._replace(targets=present_names(spec.targets), margin=float(spec.margin), notes=dict(spec.notes or {}))


def write_metadata(source: str | os.PathLike[str], target: str | os.PathLike[str], spec: PoseSpec) -> None:
    """Write a copy of the file of a network with another specification; all other bytes stay the same.

    A protobuf message is a list of fields (number, value). The metadata are fields of their own, so that the others are
    copied without parsing them.

    Args:
        source: the ONNX file to copy.
        target: the file to write.
        spec: the new specification.

    Raises:
        ModelError: a file cannot be read or written, or is not a protobuf message.
    """
    try:
        content = Path(source).read_bytes()
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror}): check the path") from None
    kept = [content[start:stop] for number, start, stop in _fields(content, source) if number != _METADATA]
    entry = _delimited(1, KEY.encode()) + _delimited(2, spec.to_json().encode())
    whole = b"".join([*kept, _delimited(_METADATA, entry)])
    write_atomically(Path(target), lambda place: place.write_bytes(whole), ModelError)


def _fields(content: bytes, source: object) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each top-level field."""
    position = 0
    while position < len(content):
        start = position
        key, position = _varint(content, position, source)
        kind = key & 7
        if kind == 0:
            _, position = _varint(content, position, source)
        elif kind == 2:
            length, position = _varint(content, position, source)
            position += length
        else:
            position += {1: 8, 5: 4}.get(kind, len(content) + 1)
        if position > len(content):
            raise ModelError(f"{source}: not an ONNX file, or cut short: copy it again, or {REMEDY}")
        yield key >> 3, start, position


def _varint(content: bytes, position: int, source: object) -> tuple[int, int]:
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
    raise ModelError(f"{source}: not an ONNX file, or cut short: copy it again, or {REMEDY}")


def _delimited(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    """Return a number as a varint.

    Example:
        >>> _encoded(300)
        b'\\xac\\x02'
    """
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
