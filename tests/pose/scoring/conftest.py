"""Fixtures: a tiny exported model."""

from pathlib import Path

import pytest

from tests.pose.tiny import tiny_network


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a small network."""
    return tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")
