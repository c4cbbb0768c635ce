"""Glasses and brims: closed, mirror-symmetric on the mean head, and where they are worn, on any head."""

from collections import Counter
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pytest

from deepgllim.synthetic import HeadModel, load_head_model
from deepgllim.synthetic.heads import Floats, Indices
from deepgllim.synthetic.mesh import head_mesh
from deepgllim.synthetic.props import Mesh, cap_brim, glasses
from tests.synthetic.scenes import PLAIN_WEAR, mean_person

Form = Literal["round", "square", "sun"]
FORMS = get_args(Form)
TUBES = 3  # with ends: the bridge and two temples; an end has six edges
EDGES_OF_ENDS = TUBES * 2 * 6
NASION, LEFT_OUTER, LEFT_INNER, RIGHT_INNER, RIGHT_OUTER, LEFT_BROW, RIGHT_BROW = 27, 36, 39, 42, 45, 19, 24


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


def on_mean(model: HeadModel, form: Form = "round", size: float = 1.0) -> tuple[Mesh, Mesh]:
    person = mean_person()
    wear = replace(PLAIN_WEAR, glasses=form, glasses_size=size)
    return glasses(model, model.vertices(person.identity), model.eye_centres(person.identity), wear)


def directed_edges(triangles: Indices) -> Counter[tuple[int, int]]:
    a, b, c = triangles.T.tolist()
    return Counter([*zip(a, b, strict=True), *zip(b, c, strict=True), *zip(c, a, strict=True)])


def normals_of(mesh: Mesh) -> Floats:
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    found = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_frames_are_closed_but_for_the_ends_of_bridge_and_temples(model: HeadModel, form: Form) -> None:
    frames, _ = on_mean(model, form)
    edges = directed_edges(frames.triangles)
    assert set(edges.values()) == {1}  # no edge is gone along twice in one direction: sides agree on what is outside
    open_edges = [edge for edge in edges if edge[::-1] not in edges]
    assert len(open_edges) == EDGES_OF_ENDS
    x = np.abs(frames.vertices[np.unique(open_edges)][:, 0])
    assert ((x < 0.02) | (x > 0.05)).all()  # at the nose, or at hinges and behind the ears: never on a rim's curve
    rims = np.unique(frames.triangles[: 2 * 24 * 6 * 2])  # two rims of 24 × 6 quadrangles
    assert not set(rims.tolist()) & set(np.unique(open_edges).tolist())


@pytest.mark.parametrize("form", FORMS)
def test_meshes_are_well_formed(model: HeadModel, form: Form) -> None:
    brim = cap_brim(model, model.mean, head_mesh().normals(model.mean), 0.01)
    for mesh in (*on_mean(model, form), brim):
        assert mesh.vertices.dtype == mesh.normals.dtype == np.float32
        assert mesh.vertices.shape == mesh.normals.shape
        assert np.isfinite(mesh.vertices).all()
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=0.005)
        assert set(np.unique(mesh.triangles).tolist()) == set(range(len(mesh.vertices)))
        corners = mesh.vertices[mesh.triangles]
        areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
        assert areas.min() > 1e-9


@pytest.mark.parametrize("form", FORMS)
def test_normals_belong_to_the_surface(model: HeadModel, form: Form) -> None:
    for mesh, least in zip(on_mean(model, form), (0.5, 0.75), strict=True):
        stored = mesh.normals[mesh.triangles].mean(axis=1)
        # the normals' sign is what matters for neither side is culled; on bends of a tube triangles stand askew
        assert np.quantile(np.abs((stored * normals_of(mesh)).sum(axis=1)), 0.05) > least


@pytest.mark.parametrize("form", FORMS)
def test_glasses_on_the_mean_head_are_symmetric(model: HeadModel, form: Form) -> None:
    for mesh in on_mean(model, form):
        flipped = mesh.vertices * np.array([-1, 1, 1], dtype=np.float32)
        # rims start at the image's right, and their six sides are turned: half the thickness of a rim apart
        nearest = np.linalg.norm(flipped[:, None] - mesh.vertices[None], axis=-1).min(axis=1)
        assert nearest.max() < 0.003


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(6))
def test_glasses_sit_before_the_eyes_of_any_head(model: HeadModel, form: Form, seed: int) -> None:
    identity = model.random_identity(seed)
    v, centres, radii = model.vertices(identity), model.eye_centres(identity), model.eye_radii(identity)
    points = dict(zip(model.landmark_numbers, model.landmarks(v), strict=True))
    frames, lenses = glasses(model, v, centres, replace(PLAIN_WEAR, glasses=form))
    half = len(lenses.vertices) // 2
    for lens, centre, radius, corners in (
        (lenses.vertices[:half], centres[0], radii[0], (LEFT_OUTER, LEFT_INNER)),
        (lenses.vertices[half:], centres[1], radii[1], (RIGHT_INNER, RIGHT_OUTER)),
    ):
        low, high = lens.min(axis=0), lens.max(axis=0)
        assert lens[-1, 2] > centre[2] + radius + 0.005  # its middle: before eyeball and lids
        assert high[2] < centre[2] + radius + 0.03
        for number in corners:  # the eye is seen through the lens
            assert low[0] - 0.002 < points[number][0] < high[0] + 0.002
            assert low[1] < points[number][1] < high[1]
    assert low[0] > 0 > lenses.vertices[:half, 0].max()  # one on each side of the nose
    bridge = frames.vertices[np.abs(frames.vertices[:, 0] - points[NASION][0]) < 0.006]
    assert len(bridge) > 0
    assert bridge[:, 2].min() > points[NASION][2]
    ears = v[np.unique(model.triangles[model.part("ear")])]
    assert ears[:, 2].min() < frames.vertices[:, 2].min() < ears[:, 2].max()  # temples end at the ears
    assert np.abs(frames.vertices[:, 0]).max() < np.abs(ears[:, 0]).max()


def test_glasses_grow_with_their_size(model: HeadModel) -> None:
    extents = [np.ptp(on_mean(model, size=size)[1].vertices, axis=0) for size in (0.85, 1.0, 1.2)]
    assert extents[0][1] < extents[1][1] < extents[2][1]
    assert extents[2][1] / extents[0][1] == pytest.approx(1.2 / 0.85, rel=1e-3)


def test_forms_differ(model: HeadModel) -> None:
    """Square ones are wider than high; sunglasses have thicker rims."""
    lenses = {form: on_mean(model, form)[1].vertices[:24] for form in FORMS}
    ratio = {form: float(np.ptp(lens[:, 0]) / np.ptp(lens[:, 1])) for form, lens in lenses.items()}
    assert 1.0 < ratio["round"] < 1.2 < ratio["square"] == pytest.approx(ratio["sun"], rel=1e-3)

    def thickness(form: Form) -> float:
        ring = on_mean(model, form)[0].vertices[:6]  # around the first point of a rim
        return float(np.linalg.norm(ring - ring.mean(axis=0), axis=1).mean())

    assert thickness("square") == pytest.approx(0.0014, rel=0.01)
    assert thickness("sun") == pytest.approx(1.6 * thickness("square"), rel=0.01)


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
def test_a_brim_stands_out_before_the_forehead(model: HeadModel, seed: int | None) -> None:
    identity = mean_person().identity if seed is None else model.random_identity(seed)
    v = model.vertices(identity)
    brim = cap_brim(model, v, head_mesh().normals(v), 0.01).vertices
    inner, outer = brim[:13], brim[13:]
    points = dict(zip(model.landmark_numbers, model.landmarks(v), strict=True))
    brow = max(points[LEFT_BROW][1], points[RIGHT_BROW][1])
    crown = v[np.unique(model.triangles[model.part("scalp")])][:, 1].max()
    assert inner[:, 1].min() > brow - 0.005  # above the brows
    assert inner[:, 1].max() < crown
    assert outer[6, 2] > inner[6, 2] + 0.05  # forward by centimetres in the middle
    assert outer[:, 2].max() == outer[6, 2] > points[NASION][2] + 0.02
    assert (np.diff(inner[:, 0]) > -0.004).all()  # from the image's left to its right
    assert inner[0, 0] < -0.03 < 0.03 < inner[-1, 0]
    if seed is None:
        mirrored = brim * np.array([-1, 1, 1], dtype=np.float32)
        np.testing.assert_allclose(mirrored[:13][::-1], inner, atol=0.006)  # the nearest vertices are not opposite
        np.testing.assert_allclose(mirrored[13:][::-1], outer, atol=0.006)


def test_a_thicker_hat_has_its_brim_further_out(model: HeadModel) -> None:
    normals = head_mesh().normals(model.mean)
    thin, thick = (cap_brim(model, model.mean, normals, t).vertices for t in (0.005, 0.02))
    moved = np.linalg.norm(thick - thin, axis=1)
    np.testing.assert_allclose(moved, 0.015, rtol=1e-3)
    assert (thick[:, 2] > thin[:, 2]).mean() > 0.9
