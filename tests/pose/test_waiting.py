"""Tests that idle threads of onnxruntime sleep instead of spinning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepgllim.pose.detection import centerface
from deepgllim.pose.network import PoseNetwork
from deepgllim.pose.runtime import load_onnxruntime
from tests.pose.tiny import tiny_network


@pytest.mark.parametrize("open_network", [PoseNetwork, centerface.load_network])
def test_sessions_do_not_spin(
    open_network: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries: list[tuple[str, str]] = []
    options = load_onnxruntime().SessionOptions
    add = options.add_session_config_entry

    def record(self: Any, name: str, value: str) -> None:
        entries.append((name, value))
        add(self, name, value)

    monkeypatch.setattr(options, "add_session_config_entry", record)
    monkeypatch.setattr(centerface, "with_free_sizes", lambda content: content)  # of a file that is not CenterFace's
    open_network(tiny_network(tmp_path / "tiny.onnx"), threads=2)
    assert ("session.intra_op.allow_spinning", "0") in entries
