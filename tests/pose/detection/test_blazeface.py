"""Tests of BlazeFace: agreement with the original graph, decoding of the maps, sizes, pickles."""

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepgllim.pose.detection.blazeface import load_network, read_maps, run_network, weights_file
from deepgllim.pose.detection.boxes import intersection_over_union
from deepgllim.pose.detection.faces import BlazeFace
from deepgllim.pose.runtime import Session
from tests.pose.conftest import Rendered
from tests.pose.detection.padding import check_padding

REFERENCE = Path(__file__).parents[2] / "reference" / "blazeface.npz"

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def network() -> Session:
    return load_network(threads=1)


def test_the_graph_is_that_of_mediapipe(network: Session) -> None:
    """The reference is the output of Google's interpreter; the arithmetic of both is in single precision."""
    reference = np.load(REFERENCE)
    pixels = reference["pixels"].repeat(2, axis=0).repeat(2, axis=1)  # (192, 192, 3)
    logits, geometry = network.run(["logits", "geometry"], {"pixels": pixels[None]})
    np.testing.assert_allclose(logits[0, 0], reference["logits"], atol=1e-3)
    rows, columns = reference["cells"].T
    np.testing.assert_allclose(geometry[0, :, rows, columns], reference["geometry"], atol=1e-2)  # pixels


def test_the_weights_are_small_and_have_their_licence() -> None:
    assert weights_file().stat().st_size < 1.1e6
    text = weights_file().with_suffix(".LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Google" in text


def test_images_are_filled_up_to_multiples(network: Session) -> None:
    check_padding(partial(run_network, network))


def test_a_batch_is_its_images(network: Session) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 3), dtype=np.uint8)
    together = network.run(["logits", "geometry"], {"pixels": batch})
    for n, pixels in enumerate(batch):
        for whole, single in zip(together, network.run(["logits", "geometry"], {"pixels": pixels[None]}), strict=True):
            np.testing.assert_allclose(whole[n], single[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (700, 1), (2, 3), (33, 31)])
def test_any_size_is_safe(network: Session, size: tuple[int, int]) -> None:
    found = run_network(network, np.full((*size, 3), 128, dtype=np.uint8), threshold=0.5)
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 6, 2)
    assert found.scores.shape == (0,)


@settings(deadline=None)
@given(
    row=st.integers(0, 4),
    column=st.integers(0, 6),
    shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    extent=st.tuples(st.floats(1, 100), st.floats(1, 100)),
    mark=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    score=st.floats(0.01, 0.99),
)
def test_maps_of_a_known_face_give_its_box(
    row: int,
    column: int,
    shift: tuple[float, float],
    extent: tuple[float, float],
    mark: tuple[float, float],
    score: float,
) -> None:
    """Positions are relative to the centre of the cell, (2, 2) for the first one; extents are in pixels."""
    logits, geometry = np.full((1, 5, 7), -200.0), np.zeros((16, 5, 7))
    logits[0, row, column] = np.log(score / (1 - score))
    geometry[:, row, column] = [*shift, *extent, *mark * 6]
    found = read_maps(logits, geometry, threshold=0.005)
    x, y = 2 + 4 * column, 2 + 4 * row
    left, top, (width, height) = x + shift[0] - extent[0] / 2, y + shift[1] - extent[1] / 2, extent
    np.testing.assert_allclose(found.boxes, [[left, top, left + width, top + height]], atol=1e-9)
    np.testing.assert_allclose(found.landmarks, [[[x + mark[0], y + mark[1]]] * 6], atol=1e-9)
    np.testing.assert_allclose(found.scores, [score])


def test_landmarks_are_in_their_order(network: Session, head: Pixels) -> None:
    found = run_network(network, head, threshold=0.3)
    best = found.scores.argmax()
    right_eye, left_eye, nose, mouth, right_ear, left_ear = found.landmarks[best]  # of the person
    assert right_ear[0] < right_eye[0] < nose[0] < left_eye[0] < left_ear[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < mouth[1]
    assert right_eye[0] < mouth[0] < left_eye[0]


def test_detects_small_faces(rendered: list[Rendered]) -> None:
    """Of 24 pixels in an image of 320."""
    image, box = rendered[0]
    canvas, scale = Image.new("RGB", (320, 240), "grey"), 24 / (box[2] - box[0])
    canvas.paste(image.resize((round(80 * scale),) * 2, Image.Resampling.BICUBIC), (200, 100))
    (face,) = BlazeFace(boxes="rendered", threads=1).detect(canvas)
    expected = np.array(box) * scale + [200, 100, 200, 100]
    assert intersection_over_union([face.box], [expected])[0, 0] > 0.5


def test_a_pickled_detector_has_its_options(rendered: list[Rendered]) -> None:
    detector = BlazeFace(threshold=0.4, longest_side=64, boxes="rendered", threads=1)
    pickled = pickle.dumps(detector)
    assert len(pickled) < 1000  # without the weights
    assert pickle.loads(pickled).detect(rendered[0].image) == detector.detect(rendered[0].image)
