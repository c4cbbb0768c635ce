"""onnxruntime: the only place that imports it, with its telemetry off; sessions that work in a forked child too."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.forking import never_destroy, notify_after_fork

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
"""The variable that onnxruntime reads when it is first imported."""

QUIET = 4  # of its levels of severity: what it logs as errors is raised too


class Value(NamedTuple):
    """What a graph declares of an input or output; a side that is free is a text or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


def load_onnxruntime() -> Any:
    """The module onnxruntime, with its telemetry off.

    From 1.29 on its wheels send events to their vendor and keep an identifier in the home folder, unless the variable
    ORT_DISABLE_TELEMETRY is set before the first import. Where another part of the program imported it earlier, its
    events are switched off from now on.

    Raises:
        ConfigurationError: it is not installed.
    """
    os.environ[TELEMETRY_OFF] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(f"onnxruntime cannot be imported ({error}): pip install onnxruntime") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def open_session(source: str | bytes, threads: int = 0, severity: int = QUIET) -> Any:
    """An onnxruntime session on processors, whose idle threads sleep.

    Args:
        source: the path of an ONNX file, or its content.
        threads: of one run; 0 for onnxruntime's own choice, one for each core.
        severity: from which on it logs, 0 to 4.

    Raises:
        ConfigurationError: onnxruntime is not installed.
        Exception: of one of onnxruntime's own classes, for a file that it cannot run.
    """
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = severity
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class Session:
    """A session that is opened again in a forked child, where the threads of the parent's are gone.

    The parent's is left alone there: to destroy it would wait for its threads.

    Args:
        source, threads, severity: as `open_session` takes them.

    Attributes:
        inputs, outputs: what the graph declares.
        metadata: of the file.

    Raises:
        ConfigurationError: onnxruntime is not installed.
        Exception: of one of onnxruntime's own classes, for a file that it cannot run.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, threads: int = 0, severity: int = QUIET) -> None:
        self._source = source if isinstance(source, bytes) else str(Path(source).absolute())
        self._options = (threads, severity)
        self._state = _file_state(self._source) if isinstance(self._source, str) else None
        self._session: Any = open_session(self._source, *self._options)
        self._stale = False
        self.inputs = [_declared(entry) for entry in self._session.get_inputs()]
        self.outputs = [_declared(entry) for entry in self._session.get_outputs()]
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        notify_after_fork(self)

    def run(self, names: list[str], feeds: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        """The outputs of these names.

        Raises:
            ModelError: the file has changed since the parent of this process opened it.
            Exception: of one of onnxruntime's own classes, where the graph cannot be run.
        """
        if self._stale:
            self._open_again()
        answers: list[npt.NDArray[np.float32]] = self._session.run(names, dict(feeds))
        return answers

    def after_fork(self) -> None:
        """Leave the parent's session alone."""
        never_destroy(self._session)
        self._stale = True

    def _open_again(self) -> None:
        if isinstance(self._source, str) and _file_state(self._source) != self._state:
            raise ModelError(
                f"{self._source}: has changed since the parent of this process opened it, and a forked child reads it "
                "again: load the model in the child, or restart the parent"
            )
        self._session = open_session(self._source, *self._options)
        self._stale = False


def _declared(entry: Any) -> Value:
    return Value(str(entry.name), str(entry.type), tuple(entry.shape or ()))


def _file_state(path: str) -> tuple[int, int] | None:
    """Size and time of a file, None where it cannot be read, which onnxruntime reports."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
