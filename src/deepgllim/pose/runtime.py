"""Sessions of onnxruntime without telemetry, which also work in forked processes.

No other module of the package imports onnxruntime.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.forking import never_destroy, notify_after_fork

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
"""The environment variable that onnxruntime reads at its first import."""

QUIET = 4  # log severity: errors are also raised as exceptions


class Value(NamedTuple):
    """A declared input or output of a graph; free dimensions are a text or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


def load_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry disabled.

    Since version 1.29 its wheels send events to their vendor and store an identifier in the home folder, unless the
    variable ORT_DISABLE_TELEMETRY is set before the first import. If the program imported it earlier, events are
    disabled from now on.

    Returns:
        The module onnxruntime.

    Raises:
        ConfigurationError: onnxruntime is not installed.
    """
    os.environ[TELEMETRY_OFF] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(f"onnxruntime cannot be imported ({error}): pip install onnxruntime") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def open_session(source: str | bytes, threads: int = 0, severity: int = QUIET) -> Any:
    """Open an onnxruntime session on the CPU, whose idle threads sleep.

    Args:
        source: path of an ONNX file, or its content.
        threads: number of threads of one run; 0 for the default of onnxruntime, one for each core.
        severity: least severity of the messages that are logged, 0 to 4.

    Raises:
        ConfigurationError: onnxruntime is not installed.
        Exception: an exception of onnxruntime, if it cannot run the file.
    """
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = severity
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class Session:
    """A session that is opened again in a forked process, where the threads of the parent do not exist.

    The session of the parent is never destroyed there, since its destructor waits for those threads.

    Args:
        source: as in `open_session`.
        threads: as in `open_session`.
        severity: as in `open_session`.

    Attributes:
        inputs: declared inputs of the graph.
        outputs: declared outputs of the graph.
        metadata: metadata of the file.

    Raises:
        ConfigurationError: onnxruntime is not installed.
        Exception: an exception of onnxruntime, if it cannot run the file.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, threads: int = 0, severity: int = QUIET) -> None:
        self._source = source if isinstance(source, bytes) else str(Path(source).absolute())
        self._options = (threads, severity)
        self._stamp = _file_stamp(self._source) if isinstance(self._source, str) else None
        self._session: Any = open_session(self._source, *self._options)
        self._stale = False
        self.inputs = [_declared(entry) for entry in self._session.get_inputs()]
        self.outputs = [_declared(entry) for entry in self._session.get_outputs()]
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        notify_after_fork(self)

    def run(self, names: list[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        """Run the graph.

        Args:
            names: names of the outputs.
            feeds: inputs by name.

        Returns:
            The outputs in the order of `names`.

        Raises:
            ModelError: the file has changed since the parent of this process opened it.
            Exception: an exception of onnxruntime, if the graph cannot be run.
        """
        if self._stale:
            self._open_again()
        outputs: list[npt.NDArray[np.float32]] = self._session.run(names, dict(feeds))
        return outputs

    def after_fork(self) -> None:
        """Mark the session of the parent as unusable in this process."""
        never_destroy(self._session)
        self._stale = True

    def _open_again(self) -> None:
        if isinstance(self._source, str) and _file_stamp(self._source) != self._stamp:
            raise ModelError(
                f"{self._source}: has changed since the parent of this process opened it, and a forked child reads it "
                "again: load the model in the child, or restart the parent"
            )
        self._session = open_session(self._source, *self._options)
        self._stale = False


def _declared(entry: Any) -> Value:
    return Value(str(entry.name), str(entry.type), tuple(entry.shape or ()))


def _file_stamp(path: str) -> tuple[int, int] | None:
    """Return size and time of a file; None if it cannot be read, which onnxruntime reports."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
