"""The parts of a TFLite file that the converters read: the graph in a wheel, kinds of operators, constants."""

import hashlib

import numpy as np
import tflite

DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}


def check_digest(content: bytes, expected: str, label: str, remedy: str) -> None:
    """Exit with a message if the SHA-256 of a file does not begin with the expected digits."""
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(expected):
        raise SystemExit(f"{label} has the SHA-256 {digest[:16]}…, not {expected}…: {remedy}")


def operator_kind(model: tflite.Model, operator: tflite.Operator) -> int:
    """Return the kind of an operator, a value of `tflite.BuiltinOperator`."""
    code = model.OperatorCodes(operator.OpcodeIndex())
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())


def constant_values(model: tflite.Model, tensor: tflite.Tensor) -> np.ndarray | None:
    """Return the stored values of a tensor, (N,); None if it is no constant."""
    buffer = model.Buffers(tensor.Buffer())
    return np.frombuffer(buffer.DataAsNumpy().tobytes(), DTYPES[tensor.Type()]) if buffer.DataLength() else None
