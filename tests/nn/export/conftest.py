"""Let the exports of these tests share the table of operators, which torch makes anew for each."""

import functools
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def shared_operators() -> Iterator[None]:
    """Make torch's table of operators once: it takes a second, more than the rest of the export of a small network."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield
