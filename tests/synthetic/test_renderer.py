"""Pixels against labels: what is drawn is where the labels say, lit from where the lights are."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from deepgllim.rotations import mirror_rotation, rotation_from_angles
from deepgllim.synthetic import Background, Camera, Light, Renderer, Scene, SceneSampler, load_head_model
from deepgllim.synthetic.backgrounds import paint
from deepgllim.synthetic.posing import head_vertices, label, to_camera
from deepgllim.synthetic.scene import HEAD_TO_CAMERA, Array
from tests.synthetic.scenes import PLAIN_WEAR, frontal, mean_person, pixels_of

NOSE = 30


def levels(renderer: Renderer, scene: Scene) -> npt.NDArray[np.float64]:
    return renderer.draw(scene).astype(np.float64)


def landmark(number: int, scene: Scene) -> Array:
    model = load_head_model()
    points: Array = model.landmarks(head_vertices(model, scene)).astype(np.float64)
    return np.asarray(points[model.landmark_numbers.index(number)])


def test_a_scene_has_one_picture(renderer: Renderer) -> None:
    """Whatever was drawn before, and whoever draws it."""
    sampler = SceneSampler("wide", size=48, seed=3)
    first = [renderer.draw(sampler(index)) for index in (0, 1, 2)]
    np.testing.assert_array_equal(renderer.draw(sampler(1)), first[1])
    with Renderer() as other:
        np.testing.assert_array_equal(other.draw(sampler(2)), first[2])
    assert first[0].shape == (48, 48, 3)
    assert (first[0] != first[1]).any()


def test_pictures_need_not_be_square(renderer: Renderer) -> None:
    scene = frontal()
    wide = replace(scene, camera=Camera(150, 61, 80.0, (75.0, 30.0), (0.0, 0.0, 1.0)))
    assert renderer.draw(wide).shape == (61, 150, 3)
    assert renderer.depth(wide).shape == (61, 150)


def test_depth_is_where_the_labels_say(renderer: Renderer) -> None:
    scene = frontal(size=160)
    for yaw, number in ((0, NOSE), (30, NOSE), (0, 27), (0, 8)):
        turned = replace(scene, rotation=rotation_from_angles(0, yaw, 0))
        place = to_camera(landmark(number, turned), turned)
        column, row = np.floor(turned.camera.project(place)).astype(int)
        near = renderer.depth(turned)[row - 1 : row + 2, column - 1 : column + 2]
        assert np.abs(near - place[2]).min() < 0.002
    assert renderer.depth(scene)[0, 0] == 0
    assert renderer.depth(scene)[-1, 80] > 0  # the chest


def test_the_surface_seen_is_that_of_the_head(renderer: Renderer) -> None:
    """Pixels, put back by depth and rotation, lie on the vertices."""
    scene = frontal(size=96, rotation=rotation_from_angles(20, -40, 15), torso=rotation_from_angles(10, -20, 5))
    z = renderer.depth(scene)
    rows, columns = np.nonzero((z > 0) & (z < 1.05))
    pixels = np.stack([columns, rows], axis=1) + 0.5
    ahead = z[rows, columns].astype(np.float64)[:, None]
    seen = np.concatenate([(pixels - scene.camera.centre) / scene.camera.focal * ahead, ahead], axis=1)
    back = (seen - scene.camera.translation) @ (scene.rotation @ HEAD_TO_CAMERA)
    vertices = head_vertices(load_head_model(), scene).astype(np.float64)
    chosen = back[:: max(1, len(back) // 200)]
    distance = np.linalg.norm(chosen[:, None] - vertices[None], axis=-1).min(axis=1)
    assert np.median(distance) < 0.004
    assert np.percentile(distance, 95) < 0.015  # triangles of the shoulders are large


def test_what_is_not_head_is_background(renderer: Renderer) -> None:
    scene = frontal(size=64, background=Background("gradient", 8))
    empty = renderer.depth(scene) == 0
    inside = empty[1:-1, 1:-1] & empty[:-2, 1:-1] & empty[2:, 1:-1] & empty[1:-1, :-2] & empty[1:-1, 2:]
    difference = np.abs(levels(renderer, scene) - paint(scene.background, 64, 64))[1:-1, 1:-1][inside]
    assert inside.sum() > 400
    assert np.percentile(difference, 95) <= 3


def test_a_mirrored_head_is_the_mirrored_picture(renderer: Renderer) -> None:
    """And its labels have yaw and roll negated: see test_posing for those."""
    scene = frontal(size=96, rotation=rotation_from_angles(10, 35, 12), torso=rotation_from_angles(0, 10, 0))
    scene = replace(scene, gaze=(12.0, -4.0), lights=(Light((-0.8, -0.6, -0.2), (0.9, 0.8, 0.7)),))
    camera = scene.camera
    mirrored = replace(
        scene,
        rotation=mirror_rotation(scene.rotation),
        torso=mirror_rotation(scene.torso),
        gaze=(-12.0, -4.0),
        lights=(Light((0.8, -0.6, -0.2), (0.9, 0.8, 0.7)),),
        camera=replace(camera, centre=(camera.width - camera.centre[0], camera.centre[1])),
    )
    first, second = levels(renderer, scene), levels(renderer, mirrored)
    same, other = np.abs(first[:, ::-1] - second).mean(), np.abs(first - second).mean()
    assert same < 4
    assert other > 5 * same
    model = load_head_model()
    x0, _, x1, _ = label(model, scene).box
    left, _, right, _ = label(model, mirrored).box
    np.testing.assert_allclose([camera.width - x1, camera.width - x0], [left, right], atol=0.5)


def test_yaw_turns_the_face_to_the_left(renderer: Renderer) -> None:
    scene = frontal(size=96)
    ahead = pixels_of(scene, landmark(NOSE, scene))[0]
    turned = replace(scene, rotation=rotation_from_angles(0, 50, 0))
    assert pixels_of(turned, landmark(NOSE, turned))[0] < ahead - 10
    profile = replace(scene, rotation=rotation_from_angles(0, 90, 0), torso=rotation_from_angles(0, 90, 0))
    columns = np.flatnonzero(renderer.depth(profile)[int(pixels_of(profile, landmark(NOSE, profile))[1])])
    assert ahead - columns.min() < 0.6 * (columns.max() - ahead)  # from the eyes to the nose, and to the back


def test_the_side_that_faces_the_light_is_brighter(renderer: Renderer) -> None:
    beside = frontal(lights=(Light((-2.0, 0.0, 0.6), (1.0, 1.0, 1.0)),), ambient=((0.05,) * 3, (0.05,) * 3))
    picture, (x0, y0, x1, y1) = levels(renderer, beside), map(int, label(load_head_model(), beside).box)
    face = picture[y0:y1, x0:x1].mean(axis=(0, 2))
    half = len(face) // 2
    assert face[:half].mean() > 1.5 * face[half:].mean()


def test_exposure_brightens(renderer: Renderer) -> None:
    scene = frontal()
    bright = replace(scene, capture=replace(scene.capture, exposure=1.6))
    assert levels(renderer, bright).mean() > 1.1 * levels(renderer, scene).mean()


def test_things_worn_are_seen_where_they_are(renderer: Renderer) -> None:
    """Glasses change the eyes, hair and hats what is above the forehead, a beard the chin."""
    bare = frontal(size=96)
    x0, y0, x1, y1 = map(int, label(load_head_model(), bare).box)
    plain, third = levels(renderer, bare), (y1 - y0) // 3
    parts = {"above": slice(0, y0 - 2), "eyes": slice(y0 + third // 2, y0 + 2 * third), "chin": slice(y1 - third, y1)}

    def changed(scene: Scene) -> str:
        """The part that a change altered the most."""
        difference = np.abs(levels(renderer, scene) - plain)[:, x0:x1].mean(axis=(1, 2))
        sums = {name: float(difference[rows].mean()) for name, rows in parts.items()}
        assert max(sums.values()) > 5
        return max(sums, key=lambda name: sums[name])

    assert changed(replace(bare, wear=replace(PLAIN_WEAR, glasses="sun"))) == "eyes"
    assert changed(replace(bare, wear=replace(PLAIN_WEAR, hat="beanie"))) == "above"
    assert changed(replace(bare, person=mean_person(hair_style="full", hair_volume=0.02))) == "above"
    assert changed(replace(bare, person=mean_person(beard="full", beard_length=0.01))) == "chin"
