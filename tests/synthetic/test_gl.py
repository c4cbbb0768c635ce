"""Clip matrices agree with the camera; without EGL, the error names the packages to install."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.errors import RenderError
from deepgllim.geometry.rotations import rotation_from_pan_tilt
from deepgllim.synthetic import Camera, Renderer, SceneSampler, head_vertices, load_head_model, to_camera
from deepgllim.synthetic.gl import (
    CELLS,
    FAR,
    NEAR,
    Program,
    depth_to_metres,
    noise_volume,
    open_context,
    projection,
    shadow_projection,
    view_axes,
)
from deepgllim.synthetic.mesh import Material
from deepgllim.synthetic.scene import Array
from deepgllim.synthetic.uniforms import scene_uniforms
from tests.synthetic.scenes import frontal, head_only, properties

cameras = st.builds(
    Camera,
    width=st.integers(1, 2000),
    height=st.integers(1, 2000),
    focal=st.floats(10, 5000),
    centre=st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)),
    translation=st.just((0.0, 0.0, 1.0)),
)
points = st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(NEAR, FAR))
directions = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)).filter(
    lambda d: np.linalg.norm(d) > 0.1 and np.linalg.norm(np.cross(d, (0.03, 1.0, 0.1))) > 0.05
)


def clipped(matrix: Array, points: Array) -> Array:
    """Normalised device coordinates, (..., 3), as OpenGL makes them."""
    p = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1) @ matrix.T
    assert (p[..., 3] > 0).all()
    return np.asarray(p[..., :3] / p[..., 3:])


@properties
@given(cameras, points)
def test_clip_coordinates_are_the_cameras_pixels(camera: Camera, point: tuple[float, float, float]) -> None:
    """Row 0 is the lowest of the framebuffer, which is read back first."""
    x, y, _ = clipped(projection(camera), np.array(point))
    pixel = np.array([(x + 1) / 2 * camera.width, (y + 1) / 2 * camera.height])
    np.testing.assert_allclose(pixel, camera.project(point), rtol=1e-9, atol=1e-9)


@properties
@given(cameras, st.floats(NEAR, FAR))
def test_depth_is_inverted_to_metres(camera: Camera, z: float) -> None:
    depth = clipped(projection(camera), np.array([0.0, 0.0, z]))[2] / 2 + 0.5
    assert -1e-12 <= depth <= 1 + 1e-12
    # float64, which the buffer is not, so that the formula is tested and not its rounding
    assert depth_to_metres(np.array([min(depth, 1 - 1e-15)]))[0] == pytest.approx(z, rel=1e-6)


def test_depths_of_a_buffer_are_good_to_a_tenth_of_a_millimetre_at_four_metres() -> None:
    z = np.linspace(0.4, 4, 50)
    p = np.stack([0 * z, 0 * z, z], axis=1)
    depth = (clipped(projection(frontal().camera), p)[:, 2] / 2 + 0.5).astype(np.float32)
    np.testing.assert_allclose(depth_to_metres(depth), z, atol=1e-4)


def test_where_nothing_was_drawn_the_distance_is_0() -> None:
    found = depth_to_metres(np.array([[1.0, 0.5]], dtype=np.float32))
    assert found[0, 0] == 0 < found[0, 1]
    assert found.dtype == np.float32


@properties
@given(directions)
def test_axes_along_a_direction_are_a_frame_that_ends_with_it(direction: tuple[float, float, float]) -> None:
    axes = view_axes(direction)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(axes[2], np.array(direction) / np.linalg.norm(direction), atol=1e-12)


@pytest.mark.parametrize("name", ["uniform", "wide"])
def test_the_shadow_map_holds_the_whole_head(name: str) -> None:
    model = load_head_model()
    for index in range(20):
        scene = SceneSampler(name, identities=4, seed=6)(index)
        head = to_camera(head_vertices(model, scene), scene)[head_only(model)]
        face = head[model.mean[head_only(model), 1] > -0.12]
        seen = clipped(shadow_projection(scene.lights[0].position, scene.camera.translation), face)
        assert np.abs(seen).max() <= 1


def test_a_light_sees_what_is_nearer_to_it_first() -> None:
    light, head = (-0.5, -0.7, -0.2), (0.0, 0.0, 1.0)
    matrix = shadow_projection(light, head)
    towards = np.add(head, (0.0, 0.04, 0.06)) - light
    on_ray = np.array(light) + np.outer([0.85, 1.0, 1.15], towards)
    seen = clipped(matrix, on_ray)
    np.testing.assert_allclose(seen[:, :2], 0, atol=1e-9)  # its axis goes through the middle of what it looks at
    assert seen[0, 2] < seen[1, 2] < seen[2, 2]


def test_a_light_within_the_head_looks_at_it_from_a_distance() -> None:
    matrix = shadow_projection((0.0, 0.0, 0.95), (0.0, 0.0, 1.0))
    around = np.array([0.0, 0.04, 1.06]) + 0.2 * np.concatenate([np.eye(3), -np.eye(3)])
    assert np.abs(clipped(matrix, around)).max() <= 1


def test_noise_is_the_same_everywhere_and_even() -> None:
    volume = noise_volume()
    assert volume.shape == (CELLS, CELLS, CELLS, 4)
    assert volume.dtype == np.uint8
    np.testing.assert_array_equal(volume, noise_volume())
    np.testing.assert_allclose(volume.reshape(-1, 4).mean(axis=0), 127.5, atol=2)
    assert np.abs(np.corrcoef(volume.reshape(-1, 4).T) - np.eye(4)).max() < 0.02


@pytest.mark.parametrize("reason", ["libEGL.so not found", "eglInitialize failed (0x3001)", "version 330 required"])
def test_without_egl_the_error_names_the_packages_to_install(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    moderngl = pytest.importorskip("moderngl")

    def fail(*args: Any, **options: Any) -> None:
        raise Exception(reason)  # as glcontext does

    monkeypatch.setattr(moderngl, "create_context", fail)
    for make in (open_context, Renderer):
        with pytest.raises(RenderError) as caught:
            make()
        message = str(caught.value)
        assert "\n" not in message
        assert reason in message
        assert message.endswith("apt-get install libegl1 libgl1 libgl1-mesa-dri")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_without_moderngl_its_import_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(ModuleNotFoundError, match="moderngl"):
        open_context()


def test_every_uniform_of_every_program_has_a_value(renderer: Renderer) -> None:
    values = set(scene_uniforms(frontal())) | set(renderer.units)
    values |= {"projection", "shadow_projection", "volume", "layer", "prop_colour", "opacity"}
    for program in renderer.programs:
        assert program.names <= values
        assert program.names


@pytest.mark.parametrize("material", Material)
def test_every_material_compiles(renderer: Renderer, material: Material) -> None:
    program = Program(renderer.context, "head.vert" if material else "backdrop.vert", "head.frag", material)
    assert "light_colour" in program.names
    assert ("iris" in program.names) == (material == Material.EYE)


def test_a_program_takes_matrices_lists_and_numbers_and_passes_over_the_rest(renderer: Renderer) -> None:
    program = Program(renderer.context, "head.vert", "head.frag", Material.PROP)
    matrix = np.arange(16.0).reshape(4, 4)
    program.set({"projection": matrix, "prop_colour": (0.1, 0.2, 0.3), "light_count": 2, "nothing_of_the_kind": 1})
    uniforms = program.program
    # OpenGL stores columns
    written = np.frombuffer(uniforms["projection"].read(), dtype=np.float32).reshape(4, 4)  # type: ignore[union-attr]
    np.testing.assert_array_equal(written.T, matrix)
    assert uniforms["prop_colour"].value == pytest.approx((0.1, 0.2, 0.3))  # type: ignore[union-attr]
    assert uniforms["light_count"].value == 2  # type: ignore[union-attr]
    assert "nothing_of_the_kind" not in program.names


def test_a_turned_head_has_the_clip_coordinates_of_its_pixels() -> None:
    model = load_head_model()
    scene = frontal(rotation=rotation_from_pan_tilt(70, 20, 10))
    camera = replace(scene.camera, width=120, height=80, centre=(33.0, 51.0))
    p = to_camera(head_vertices(model, scene), scene)
    x, y, _ = clipped(projection(camera), p).T
    np.testing.assert_allclose(np.stack([(x + 1) * 60, (y + 1) * 40], axis=1), camera.project(p), atol=1e-9)
