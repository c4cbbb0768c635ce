"""The head model: its frame, its people, their expressions and gaze, and what is refused."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.synthetic import HeadModel, load_head_model
from deepgllim.synthetic.head_file import FILE

Floats = npt.NDArray[np.float32]
SEEDS = range(12)
# iBUG's points, counted from 0
NOSE_TIP, CHIN_SIDE = 30, 57
MIRRORED = [(36, 45), (39, 42), (48, 54), (17, 26), (31, 35)]  # eye corners, mouth corners, brow ends, nostrils


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


def landmark(model: HeadModel, vertices: Floats, number: int) -> Floats:
    points: Floats = model.landmarks(vertices)[model.landmark_numbers.index(number)]
    return points


def normals(model: HeadModel, v: Floats) -> Floats:
    a, b, c = (v[model.triangles[:, i]] for i in range(3))
    return np.asarray(np.cross(b - a, c - a), np.float32)


def test_the_origin_lies_between_the_eyes(model: HeadModel) -> None:
    for seed in SEEDS:
        left, right = model.eye_centres(model.random_identity(seed))
        assert np.abs(left + right).max() / 2 < 1e-4
        assert left[0] < -0.02 < 0.02 < right[0]  # the image's left first; eyes stand 5 to 8 cm apart
        assert 0.05 < float(right[0] - left[0]) < 0.08


def test_axes_are_image_right_up_and_out_of_the_face(model: HeadModel) -> None:
    for seed in SEEDS:
        v = model.vertices(model.random_identity(seed))
        nose, lip = landmark(model, v, NOSE_TIP), landmark(model, v, CHIN_SIDE)
        assert abs(float(nose[0])) < 0.012  # people are not symmetric, but nearly
        assert nose[2] > 0.02
        assert lip[1] < nose[1] < 0.0  # below the eyes
        face = v[np.unique(model.triangles[model.part("skin", "lips")])]
        assert float(face[np.abs(face[:, 1]) < 0.08, 2].max()) < float(nose[2]) + 0.01


def test_the_mean_head_is_nearly_symmetric(model: HeadModel) -> None:
    v = model.vertices(model.identity(np.zeros(len(model.basis))))
    for left, right in MIRRORED:
        a, b = landmark(model, v, left), landmark(model, v, right)
        assert a[0] < 0 < b[0], (left, right)
        # the corners of the mouth lie in a fold, where neighbouring vertices differ by 4.5 mm in depth
        assert np.abs(a * [-1, 1, 1] - b).max() < 0.005, (left, right)


def test_triangles_face_outwards(model: HeadModel) -> None:
    v = model.vertices(model.random_identity(3))
    centre = v[np.unique(model.triangles[model.part("scalp")])].mean(0) - [0, 0.05, 0]
    chosen = model.part("scalp", "skin")
    middle = v[model.triangles[chosen]].mean(1)
    head = middle[:, 1] > -0.06  # above the mouth, where the head is nearly convex
    outward = (normals(model, v)[chosen] * (middle - centre)).sum(1)[head] > 0
    assert (
        outward.mean() > 0.85
    )  # ears, nostrils, lids and eye sockets turn inwards in parts; flipped, all would be 0.15


def test_the_same_seed_is_the_same_person_and_another_is_not(model: HeadModel) -> None:
    first, again = model.random_identity(5), load_head_model().random_identity(5)
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    shapes = np.stack([model.vertices(model.random_identity(seed)) for seed in SEEDS])
    face = np.unique(model.triangles[model.part("skin", "lips")])
    differences = np.linalg.norm(shapes[:, None, face] - shapes[None, :, face], axis=-1).mean(-1)
    assert differences[~np.eye(len(shapes), dtype=bool)].min() > 0.002  # 2 mm on average


def test_people_are_of_all_kinds_and_plausible(model: HeadModel) -> None:
    people = [model.random_identity(seed) for seed in range(300)]
    ages = np.array([person.attributes["age"] for person in people])
    gender = np.array([person.attributes["gender"] for person in people])
    assert ages.min() >= 18 and ages.max() <= 85  # noqa: PT018
    assert np.ptp(np.quantile(ages, [0.1, 0.9])) > 30
    assert 0.3 < (gender > 0.5).mean() < 0.7
    for name in ("african", "asian", "caucasian"):
        assert max(person.attributes[name] for person in people) > 0.7
    clip = model.metadata["clip"]
    assert all(np.abs(person.coefficients).max() <= clip for person in people)


def test_attributes_are_shares_and_extremes_are_clipped(model: HeadModel) -> None:
    person = model.identity(np.full(len(model.basis), 50.0))
    assert np.abs(person.coefficients).max() == np.float32(model.metadata["clip"])
    assert sum(person.attributes[name] for name in ("african", "asian", "caucasian")) == pytest.approx(1.0)


def test_an_expression_moves_what_it_names(model: HeadModel) -> None:
    person = model.random_identity(1)
    moved = model.vertices(person, {"jawOpen": 1.0}) - model.vertices(person)
    scalp = np.unique(model.triangles[model.part("scalp")])
    assert np.abs(moved[scalp]).max() < 1e-3
    assert landmark(model, moved, CHIN_SIDE)[1] < -0.005  # the lower lip falls
    half = model.vertices(person, {"jawOpen": 0.5}) - model.vertices(person)
    np.testing.assert_allclose(half, 0.5 * moved, atol=1e-6)  # linear, in float32


@pytest.mark.parametrize(("gaze", "axis", "sign"), [((20.0, 0.0), 0, -1), ((-20.0, 0.0), 0, 1), ((0.0, 15.0), 1, 1)])
def test_gaze_turns_the_eyeballs_about_their_centres(
    model: HeadModel, gaze: tuple[float, float], axis: int, sign: int
) -> None:
    """+yaw looks to the image's left (−x), +pitch up."""
    person = model.random_identity(2)
    straight, turned = model.vertices(person), model.vertices(person, gaze=gaze)
    for ball, centre in zip(model.eye_vertices, model.eye_centres(person), strict=True):
        before, after = straight[ball] - centre, turned[ball] - centre
        np.testing.assert_allclose(np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1), atol=1e-6)
        front = before[:, 2].argmax()
        angle = np.degrees(np.arcsin(np.clip(after[front, axis] / np.linalg.norm(after[front]), -1, 1)))
        rest = np.degrees(np.arcsin(np.clip(before[front, axis] / np.linalg.norm(before[front]), -1, 1)))
        assert (angle - rest) * sign == pytest.approx(max(map(abs, gaze)), abs=2.0)  # the vertex is near the axis only


def test_the_file_is_small_and_says_how_exact_it_is(model: HeadModel) -> None:
    assert FILE.stat().st_size < 4e6
    assert "CC0" in model.metadata["licence"]
    assert not model.mean.flags.writeable
    assert model.uv.min() >= 0 and model.uv.max() <= 1  # noqa: PT018
    assert model.triangles.max() == len(model.mean) - 1
    np.testing.assert_allclose(model.landmark_weights.sum(1), 1.0, atol=1e-5)


def test_what_the_model_lacks_is_refused_by_name(model: HeadModel) -> None:
    person = model.random_identity(0)
    with pytest.raises(ConfigurationError, match=r"unknown expression 'grin': use some of .*jawOpen"):
        model.vertices(person, {"grin": 1.0})
    with pytest.raises(ConfigurationError, match=r"unknown part 'horns': use some of .*scalp"):
        model.part("scalp", "horns")
    with pytest.raises(DataError, match=r"coefficients of shape \(3,\): give \d+ finite numbers"):
        model.identity([0.0, 1.0, 2.0])
    with pytest.raises(DataError, match="finite numbers"):
        model.identity(np.full(len(model.basis), np.nan))


@pytest.mark.parametrize("content", [None, b"text", b"PK\x03\x04 cut short"])
def test_files_of_other_kinds_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "heads.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"heads\.npz: not a head model"):
        load_head_model(path)
