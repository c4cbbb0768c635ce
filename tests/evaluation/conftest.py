"""Faces for the audit: pictures of one grey level each, whose pan is that level less 128 as `tiny_network` says it."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepgllim.data import Manifest, make_manifest
from deepgllim.pose.network import PoseNetwork
from tests.pose.tiny import tiny_network

PEOPLE, EACH = 12, 10


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> PoseNetwork:
    """Says pan = grey level − 128 with a deviation of 20, tilt and neck roll 0 with 10 and 5."""
    return PoseNetwork(tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx"), threads=1)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Labels that err by 10 degrees in pan and 5 in tilt from what the network will say; each person has a shift."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    rows = []
    for person in range(PEOPLE):
        shift = 3.0 * rng.standard_normal()
        for number in range(EACH):
            level = int(rng.integers(60, 196))
            path = folder / f"{person}_{number}.png"
            Image.new("RGB", (20, 20), (level, level, level)).save(path)
            pan = level - 128 + shift + 10 * rng.standard_normal()
            rows.append({"path": str(path), "subject": f"p{person}", "pan": pan, "tilt": 5 * rng.standard_normal()})
    return make_manifest(pd.DataFrame(rows).assign(x0=4.0, y0=4.0, x1=16.0, y1=16.0), targets=("tilt", "pan"))
