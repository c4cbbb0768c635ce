"""The drawn mesh: materials, normals, and the constants that shaders and model share."""

import re
from pathlib import Path

import numpy as np
import pytest

from deepgllim.synthetic import HeadModel, load_head_model
from deepgllim.synthetic.heads import Floats
from deepgllim.synthetic.mesh import BEARD_TOP, HeadMesh, Material, head_mesh

SHADERS = Path(head_mesh.__wrapped__.__code__.co_filename).with_name("shaders")
OF_THE_HEAD = {"SKIN", "MOUTH", "TEETH", "EYE", "LASHES", "HAIR", "BEARD", "HAT", "CURTAIN", "SCARF"}


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


@pytest.fixture(scope="module")
def mesh() -> HeadMesh:
    return head_mesh()


def rows(mesh: HeadMesh, material: Material) -> set[tuple[int, ...]]:
    return set(map(tuple, mesh.triangles[material].tolist()))


def test_every_material_of_the_head_has_triangles_of_drawn_vertices(mesh: HeadMesh) -> None:
    assert {material.name for material in mesh.triangles} == OF_THE_HEAD
    for material, triangles in mesh.triangles.items():
        assert len(triangles) > 10, material
        assert triangles.shape[1] == 3
        assert 0 <= triangles.min() <= triangles.max() < len(mesh.rest)
    assert sorted(Material) == list(range(12))


def test_surfaces_share_no_triangle_and_shells_lie_on_the_skin(mesh: HeadMesh) -> None:
    skin = rows(mesh, Material.SKIN)
    solid = [rows(mesh, m) for m in (Material.SKIN, Material.MOUTH, Material.TEETH, Material.EYE, Material.LASHES)]
    assert sum(map(len, solid)) == len(set().union(*solid))
    for shell in (Material.HAIR, Material.BEARD, Material.HAT):
        assert rows(mesh, shell) < skin


def test_hair_and_hats_are_above_beards_below(mesh: HeadMesh) -> None:
    height = {m: mesh.rest[np.unique(t)][:, 1] for m, t in mesh.triangles.items()}
    assert height[Material.HAT].min() > -0.04  # behind it reaches lower than above the forehead
    assert height[Material.BEARD].max() < 0.0
    assert height[Material.HAIR].max() == height[Material.HAT].max() == height[Material.SKIN].max()
    beard = mesh.rest[np.unique(mesh.triangles[Material.BEARD])]
    assert beard[:, 2].min() > -0.12  # on the front


def test_an_eyeballs_places_are_counted_from_its_centre(mesh: HeadMesh, model: HeadModel) -> None:
    eyes = mesh.rest[np.unique(mesh.triangles[Material.EYE])]
    radius = np.linalg.norm(eyes, axis=1)
    assert np.median(radius) == pytest.approx(float(model.eye_radius[0].mean()), rel=0.1)
    skin = np.unique(mesh.triangles[Material.SKIN])
    np.testing.assert_array_equal(mesh.rest[skin], model.mean[model.source[skin]])


def normals_one_by_one(model: HeadModel, v: Floats, chosen: list[int]) -> Floats:
    """The definition: the sum of the cross products of the triangles at a vertex."""
    found = []
    for vertex in chosen:
        corners = v[model.triangles[(model.triangles == vertex).any(axis=1)]].astype(np.float64)
        total = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).sum(axis=0)
        found.append(total / np.linalg.norm(total))
    return np.array(found, dtype=np.float32)


def test_normals_are_the_triangles_mean_and_of_unit_length(mesh: HeadMesh, model: HeadModel) -> None:
    v = model.vertices(model.random_identity(4), {"jawOpen": 0.5})
    normals = mesh.normals(v)
    assert normals.shape == v.shape
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-3)
    chosen = [0, *range(7, len(v), 331), len(v) - 1]
    np.testing.assert_allclose(normals[chosen], normals_one_by_one(model, v, chosen), atol=2e-3)  # float32 cancels


def test_normals_point_out_and_turn_with_the_head(mesh: HeadMesh, model: HeadModel) -> None:
    nose = model.landmark_vertices[model.landmark_numbers.index(30)][0]
    crown = model.mean[:, 1].argmax()
    normals = mesh.normals(model.mean)
    assert normals[nose][2] > 0.7
    assert normals[crown][1] > 0.7
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], dtype=np.float32)
    np.testing.assert_allclose(mesh.normals(model.mean @ turn.T), normals @ turn.T, atol=2e-3)


def test_the_tables_are_the_models_curves(mesh: HeadMesh, model: HeadModel) -> None:
    assert mesh.curves.shape == (2, 256, 2)
    at = (np.arange(256) + 0.5) / 256
    azimuth, width = np.radians(180 * at), 0.06 * at
    axis = model.metadata["curves"]["axis_z"]
    place = np.stack([0.1 * np.sin(azimuth), mesh.curves[0, :, 0], 0.1 * np.cos(azimuth) + axis], axis=1)
    np.testing.assert_allclose(model.hairline(place), 0, atol=1e-6)
    np.testing.assert_allclose(mesh.curves[0, :, 1], np.interp(180 * at, *BEARD_TOP), atol=1e-6)
    inside = (width > 0.011) & (width < 0.045)
    middle, half = mesh.curves[1, inside].T
    x, z = width[inside], np.zeros(inside.sum())
    np.testing.assert_allclose(model.brow(np.stack([x, middle, z], axis=1)), 1, atol=1e-3)
    np.testing.assert_allclose(model.brow(np.stack([x, middle + half, z], axis=1)), 0, atol=1e-3)


@pytest.mark.parametrize("shader", ["head.frag", "head.vert", "depth.frag"])
def test_the_shaders_turn_about_the_models_axis(model: HeadModel, shader: str) -> None:
    source = (SHADERS / shader).read_text(encoding="utf-8")
    axes = {float(value) for value in re.findall(r"atan\((?:abs\()?q\.x\)?, q\.z \+ ([0-9.]+)\)", source)}
    assert axes == {-model.metadata["curves"]["axis_z"]}


def test_the_shaders_shirt_is_the_models(model: HeadModel) -> None:
    level, slope = model.metadata["curves"]["neckline"]
    source = (SHADERS / "head.frag").read_text(encoding="utf-8")
    assert f"{level} + neck_shift - {slope} * clamp(q.z + 0.06, -0.06, 0.05) - q.y" in source
