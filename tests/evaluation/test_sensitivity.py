"""Changes of box and picture: what a network that reads the grey level must show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.data import Manifest
from deepgllim.evaluation.sensitivity import CHANGES, measure_sensitivity, predicted_rotations, scale_box, shift_box
from deepgllim.geometry.rotations import geodesic_distance
from deepgllim.pose.network import PoseNetwork


def test_a_network_that_reads_the_grey_level(network: PoseNetwork, faces: Manifest) -> None:
    """Boxes and blur leave a picture of one level as it is; darkness changes the pan by what it takes."""
    table = measure_sensitivity(network, faces.subset(list(range(30))))
    deviation = {(str(row.change), str(row.strength)): float(str(row.deviation)) for row in table.itertuples()}
    error = {(str(row.change), str(row.strength)): float(str(row.error)) for row in table.itertuples()}
    assert deviation["none", ""] == 0
    still = [value for (change, _), value in deviation.items() if change.startswith(("box", "blur"))]
    assert max(still) < 1e-3
    assert deviation["dark", "× 0.1"] > deviation["dark", "× 0.25"] > deviation["dark", "× 0.5"] > 20
    assert error["dark", "× 0.1"] > 2 * error["none", ""]
    assert len(table) == 1 + 3 + 6 + sum(map(len, CHANGES.values()))


@settings(deadline=None)
@given(st.floats(0.0, 1.0), st.integers(0, 99))
def test_a_moved_box_keeps_its_size(share: float, seed: int) -> None:
    x0, y0, x1, y1 = shift_box((10, 20, 50, 40), share, np.random.default_rng(seed))
    assert x1 - x0 == pytest.approx(40)
    assert y1 - y0 == pytest.approx(20)
    assert np.hypot(x0 - 10, y0 - 20) == pytest.approx(40 * share, abs=1e-9)


@settings(deadline=None)
@given(st.floats(0.1, 3.0))
def test_a_scaled_box_keeps_its_centre(factor: float) -> None:
    x0, y0, x1, y1 = scale_box((10, 20, 50, 40), factor)
    assert x0 + x1 == pytest.approx(60)
    assert y0 + y1 == pytest.approx(60)
    assert x1 - x0 == pytest.approx(40 * factor)


def test_rotations_of_either_kind_of_angles() -> None:
    neck = predicted_rotations(np.array([[10.0, 0.0, 5.0]]), ("tilt", "pan", "neck_roll"))
    same = predicted_rotations(np.array([[0.0, 10.0, 5.0]]), ("yaw", "pitch", "roll"))
    assert geodesic_distance(neck, same) < 1e-6
