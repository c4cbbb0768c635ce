"""Rendered pixels agree with labels and lights."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deepgllim.errors import ImageError, RenderError
from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.synthetic import (
    HEAD_TO_CAMERA,
    Background,
    Camera,
    Light,
    Renderer,
    Scene,
    SceneSampler,
    fit_camera,
    head_vertices,
    label,
    load_head_model,
    render_background,
    to_camera,
)
from deepgllim.synthetic.scene import Array
from tests.synthetic.scenes import PLAIN_WEAR, frontal, mean_person, mirrored, pixels_of

NOSE = 30


def levels(renderer: Renderer, scene: Scene) -> npt.NDArray[np.float64]:
    return renderer.draw(scene).astype(np.float64)


def landmark(number: int, scene: Scene) -> Array:
    model = load_head_model()
    points: Array = model.landmarks(head_vertices(model, scene)).astype(np.float64)
    return np.asarray(points[model.landmark_numbers.index(number)])


def test_a_scene_has_one_picture(renderer: Renderer) -> None:
    """The picture does not depend on earlier pictures or on the renderer object."""
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
    difference = np.abs(levels(renderer, scene) - render_background(scene.background, 64, 64))[1:-1, 1:-1][inside]
    assert inside.sum() > 400
    assert np.percentile(difference, 95) <= 3


def test_a_mirrored_head_is_the_mirrored_picture(renderer: Renderer) -> None:
    """And its labels have yaw and roll negated: see test_posing for those."""
    scene = frontal(size=96, rotation=rotation_from_angles(10, 35, 12), torso=rotation_from_angles(0, 10, 0))
    scene = replace(
        scene,
        gaze=(12.0, -4.0),
        expression={"mouthSmileLeft": 1.0, "eyeBlinkRight": 0.8, "jawOpen": 0.3},
        lights=(Light((-0.8, -0.6, -0.2), (0.9, 0.8, 0.7)),),
    )
    camera, other_side = scene.camera, mirrored(scene)
    first, second = levels(renderer, scene), levels(renderer, other_side)
    same, other = np.abs(first[:, ::-1] - second).mean(), np.abs(first - second).mean()
    assert same < 4
    assert other > 5 * same
    model = load_head_model()
    x0, _, x1, _ = label(model, scene).box
    left, _, right, _ = label(model, other_side).box
    np.testing.assert_allclose([camera.width - x1, camera.width - x0], [left, right], atol=0.5)


def test_all_turned_about_the_optical_axis_is_the_turned_picture(renderer: Renderer) -> None:
    even = ((0.2, 0.2, 0.2), (0.2, 0.2, 0.2))
    lamp = Light((-0.8, -0.6, 0.1), (0.9, 0.8, 0.7))
    scene = frontal(rotation=rotation_from_angles(10, 30, 5), lights=(lamp,), ambient=even)
    quarter, (x, y, z), (u, v) = rotation_from_angles(0, 0, 90), lamp.position, scene.camera.centre
    turned = replace(
        scene,
        rotation=quarter @ scene.rotation,
        torso=quarter @ scene.torso,
        lights=(replace(lamp, position=(-y, x, z)),),
        camera=replace(scene.camera, centre=(scene.camera.height - v, u)),
    )
    first, second = levels(renderer, scene), levels(renderer, turned)
    same = np.abs(np.rot90(first, -1) - second).mean()  # clockwise
    lit_elsewhere = np.abs(second - levels(renderer, replace(turned, lights=(lamp,)))).mean()
    assert same < 2.5  # edges of the shadow, whose map is not turned
    assert min(lit_elsewhere, np.abs(first - second).mean()) > 5 * same


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


def test_accessories_change_the_pixels_at_their_place(renderer: Renderer) -> None:
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


DIM = ((0.05, 0.05, 0.05), (0.05, 0.05, 0.05))
BACKGROUND = render_background(Background("plain", 3), 1, 1)[0, 0].astype(float)  # of `frontal`
LIPS, EYES = range(48, 68), range(36, 48)
DRESSED: tuple[dict[str, Any], ...] = (
    {"wear": replace(PLAIN_WEAR, glasses="sun", hat="cap", pattern="checks")},
    {"wear": replace(PLAIN_WEAR, hat="scarf", glasses="round")},
    {"person": mean_person(hair_style="long", hair_volume=0.015, hair_length=0.8, curls=0.6)},
    {"person": mean_person(beard="full", beard_length=0.01, hair_style="full", hair_volume=0.03)},
    {"lights": (Light((1.0, 0.0, 0.0), (0.2, 0.1, 0.4)),) * 3},
)


def landmarks(scene: Scene, numbers: Iterable[int]) -> Array:
    model = load_head_model()
    found: Array = label(model, scene).landmarks[[model.landmark_numbers.index(n) for n in numbers]]
    return found


def change(renderer: Renderer, first: Scene, second: Scene) -> Array:
    """How much two pictures differ, (H, W): the sum over the channels."""
    return np.asarray(np.abs(levels(renderer, first) - levels(renderer, second)).sum(axis=-1))


def middle_of(weights: Array) -> Array:
    """The centre of mass of pixels (H, W): x, y."""
    rows, columns = np.indices(weights.shape) + 0.5
    total = float(weights.sum())
    return np.array([(weights * columns).sum() / total, (weights * rows).sum() / total])


def test_nothing_of_other_scenes_is_left(renderer: Renderer) -> None:
    bare = frontal(size=48)
    picture, distance = renderer.draw(bare).copy(), renderer.depth(bare).copy()
    for changes in DRESSED:
        other = replace(bare, **changes)
        assert (renderer.draw(other) != picture).any()
        renderer.depth(other)
        np.testing.assert_array_equal(renderer.draw(bare), picture)
        np.testing.assert_array_equal(renderer.depth(bare), distance)


def test_renderers_of_one_thread_are_independent(renderer: Renderer) -> None:
    """Each has a context of its own, whose objects have the same numbers as another's of other sizes."""
    scenes = [replace(frontal(size=size), **changes) for size, changes in zip((24, 40, 48), DRESSED, strict=False)]
    expected = [renderer.draw(scene) for scene in scenes]
    with Renderer() as other:
        for scene, picture in zip(scenes[::-1], expected[::-1], strict=True):
            np.testing.assert_array_equal(other.draw(scene), picture)
            np.testing.assert_array_equal(renderer.draw(scene), picture)
            np.testing.assert_array_equal(other.depth(scene), renderer.depth(scene))
    for scene, picture in zip(scenes, expected, strict=True):
        np.testing.assert_array_equal(renderer.draw(scene), picture)


@pytest.mark.parametrize("size", [(37, 53), (53, 37), (16, 16), (33, 21)])
def test_any_size_is_drawn_and_its_labels_hold(renderer: Renderer, size: tuple[int, int]) -> None:
    camera = Camera(*size, 1.0, (0.0, 0.0), (0.0, 0.0, 1.0))
    scene = fit_camera(replace(frontal(), camera=camera), load_head_model(), 1.2)
    picture, distance = renderer.draw(scene), renderer.depth(scene)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    assert distance.shape == (size[1], size[0])
    assert distance.dtype == np.float32
    column, row = landmarks(scene, [NOSE])[0].astype(int)
    assert distance[row, column] == pytest.approx(to_camera(landmark(NOSE, scene), scene)[2], abs=0.01)


@pytest.mark.parametrize("pose", [(0, 0, 0), (0, 35, 0), (25, 0, 0), (0, 0, 20), (-15, -30, 10)])
def test_lips_and_irises_are_drawn_where_the_landmarks_are(renderer: Renderer, pose: tuple[float, ...]) -> None:
    wide = {"eyeWideLeft": 1.0, "eyeWideRight": 1.0}
    scene = frontal(size=160, rotation=rotation_from_angles(*pose), expression=wide)
    changes: list[tuple[dict[str, Any], range]] = [({"lips": (0.9, 0, 0)}, LIPS), ({"iris": (0, 1, 0)}, EYES)]
    for look, numbers in changes:
        seen = change(renderer, scene, replace(scene, person=mean_person(**look)))
        place, points = middle_of(np.where(seen > 20, seen, 0)), landmarks(scene, numbers)
        assert np.abs(place - points.mean(axis=0)).max() < 3.5  # of a face of 100 pixels
        (x0, y0), (x1, y1) = points.min(axis=0) - 3, points.max(axis=0) + 3
        rows, columns = np.nonzero(seen > 60)
        assert len(rows) > 20
        inside = (rows > y0) & (rows < y1) & (columns > x0) & (columns < x1)
        assert inside.mean() > 0.95


def test_eyes_look_to_the_left_with_positive_yaw_and_up_with_positive_pitch(renderer: Renderer) -> None:
    def irises(gaze: tuple[float, float]) -> Array:
        scene = frontal(size=160, gaze=gaze, expression={"eyeWideLeft": 0.6, "eyeWideRight": 0.6})
        green = replace(scene, person=mean_person(iris=(0, 1, 0)))
        return middle_of(change(renderer, scene, green))

    ahead = irises((0.0, 0.0))
    assert irises((20.0, 0.0))[0] < ahead[0] - 1.5
    assert irises((-20.0, 0.0))[0] > ahead[0] + 1.5
    assert irises((0.0, 12.0))[1] < irises((0.0, -12.0))[1] - 1.5


def test_points_of_the_depth_map_fill_the_heads_bounds(renderer: Renderer) -> None:
    """Both the front and a side: they reach the mesh's extremes and never beyond."""
    model = load_head_model()
    skin = np.unique(model.triangles[model.part("skin", "scalp", "ear", "lips", "brow")])
    for yaw in (0, 80):
        turn = rotation_from_angles(0, yaw, 0)
        scene = frontal(size=128, margin=2.4, rotation=turn, torso=turn)
        z = renderer.depth(scene)
        rows, columns = np.nonzero(z)
        ahead = z[rows, columns].astype(np.float64)
        xy = (np.stack([columns, rows], axis=1) + 0.5 - scene.camera.centre) / scene.camera.focal * ahead[:, None]
        seen = np.column_stack([xy, ahead])
        vertices = to_camera(head_vertices(model, scene), scene)
        head, mesh = seen[seen[:, 1] < 0.1], vertices[skin][vertices[skin][:, 1] < 0.1]
        pixel = scene.camera.translation[2] / scene.camera.focal
        for found, expected in ((head.min(axis=0), mesh.min(axis=0)), (head.max(axis=0)[:1], mesh.max(axis=0)[:1])):
            np.testing.assert_allclose(found, expected, atol=1.5 * pixel)
        assert ahead.min() > vertices[:, 2].min() - 1e-4


def test_the_skin_lies_on_the_side_that_the_head_turns_to(renderer: Renderer) -> None:
    fair = mean_person(hair_style="full", hair_volume=0.02, skin=(0.96, 0.84, 0.77))
    offsets = []
    for yaw in (-60, 0, 60):
        scene = frontal(person=fair, rotation=rotation_from_angles(0, yaw, 0))
        rows = slice(0, int(label(load_head_model(), scene).box[3]))
        skin = (levels(renderer, scene)[rows, :, 0] > 100).astype(float)
        outline = (renderer.depth(scene)[rows] > 0).astype(float)
        offsets.append(middle_of(skin)[0] - middle_of(outline)[0])
    assert offsets[0] > 1.5
    assert abs(offsets[1]) < 0.5
    assert offsets[2] < -1.5


def test_the_plain_colour_is_kept_to_the_border(renderer: Renderer) -> None:
    scene = frontal(size=64, margin=2.5)
    empty = renderer.depth(scene) == 0
    clear = empty & np.roll(empty, 1, 0) & np.roll(empty, -1, 0) & np.roll(empty, 1, 1) & np.roll(empty, -1, 1)
    assert clear[1:4].all()
    assert np.abs(levels(renderer, scene)[clear] - BACKGROUND).max() <= 1


def test_a_background_is_upright_and_does_not_run_over_its_border(renderer: Renderer, tmp_path: Path) -> None:
    x, y = np.meshgrid(np.linspace(30, 230, 64), np.linspace(30, 230, 64))
    Image.fromarray(np.stack([x, y, 0 * x + 90], axis=-1).astype(np.uint8)).save(tmp_path / "view.png")
    for seed in range(3):
        background = Background("picture", seed, str(tmp_path / "view.png"))
        scene = frontal(size=48, margin=4.0, background=background)
        difference = np.abs(levels(renderer, scene) - render_background(background, 48, 48))
        assert difference[:10].max() <= 4


def test_unreadable_backgrounds_are_refused_and_the_next_scene_is_drawn(renderer: Renderer, tmp_path: Path) -> None:
    scene = frontal(size=32)
    before = renderer.draw(scene)
    with pytest.raises(ImageError, match=r"gone\.png: the picture does not exist"):
        renderer.draw(replace(scene, background=Background("picture", 0, str(tmp_path / "gone.png"))))
    np.testing.assert_array_equal(renderer.draw(scene), before)


def test_lights_from_left_and_right_are_each_others_mirror(renderer: Renderer) -> None:
    def lit(x: float) -> Array:
        scene = frontal(lights=(Light((x, 0.0, 0.2), (1.0, 1.0, 1.0)),), ambient=DIM)
        x0, y0, x1, y1 = map(int, label(load_head_model(), scene).box)
        return np.asarray(levels(renderer, scene)[y0:y1, x0:x1].mean(axis=(0, 2)))

    left, right = lit(-1.5), lit(1.5)
    half = len(left) // 2
    assert left[:half].mean() > 1.3 * left[half:].mean()
    assert right[half:].mean() > 1.3 * right[:half].mean()


def test_a_coloured_light_colours_and_a_second_one_adds(renderer: Renderer) -> None:
    white = Light((0.3, -0.5, -0.5), (0.4, 0.4, 0.4))
    red = Light((0.3, -0.5, -0.5), (0.4, 0.0, 0.0))
    one, two, reddened = (
        levels(renderer, frontal(lights=lights, ambient=DIM)) for lights in ((white,), (white, white), (white, red))
    )
    seen = renderer.depth(frontal()) > 0
    assert two[seen].mean() > 1.15 * one[seen].mean()
    assert reddened[seen][:, 0].mean() > 1.15 * one[seen][:, 0].mean()
    np.testing.assert_allclose(reddened[seen][:, 1:], one[seen][:, 1:], atol=1)
    np.testing.assert_allclose(reddened[~seen], one[~seen], atol=80)  # the edge's pixels are shared


def test_light_from_above_is_of_its_own_colour(renderer: Renderer) -> None:
    none = (Light((0.0, 0.0, -1.0), (0.0, 0.0, 0.0)),)
    scene = frontal(lights=none, ambient=((0.6, 0.1, 0.1), (0.1, 0.1, 0.6)))
    picture = levels(renderer, scene)
    (x0, y0, x1, _), chin = map(int, label(load_head_model(), scene).box), int(landmarks(scene, [8])[0][1])
    crown, throat = picture[y0 - 8 : y0, x0 + 15 : x1 - 15], picture[chin - 2 : chin + 3, x0 + 20 : x1 - 20]
    assert crown[..., 0].mean() > 1.5 * crown[..., 2].mean()
    assert (throat[..., 2] / throat[..., 0]).mean() > 2 * (crown[..., 2] / crown[..., 0]).mean()


def test_the_first_light_casts_the_shadow(renderer: Renderer) -> None:
    lamp, dark = Light((0.0, -2.5, 0.4), (0.9, 0.9, 0.9)), Light((0.0, 0.0, -3.0), (0.0, 0.0, 0.0))
    shadowed, open_ = (levels(renderer, frontal(lights=lights, ambient=DIM)) for lights in ((lamp, dark), (dark, lamp)))
    assert (shadowed <= open_ + 1).all()
    darker: npt.NDArray[np.bool_] = np.asarray((shadowed < open_ - 8).any(axis=-1))
    chin = int(landmarks(frontal(), [8])[0][1])
    assert darker[chin + 2 : chin + 12, 38:58].mean() > 0.5  # the throat, below the chin
    assert not darker[:20].any()  # the forehead


def test_exposure_brightens_every_pixel(renderer: Renderer) -> None:
    scene = frontal(background=Background("gradient", 8))
    dark, usual, bright = (
        levels(renderer, replace(scene, capture=replace(scene.capture, exposure=e))) for e in (0.6, 1.0, 1.6)
    )
    assert (dark <= usual).all()
    assert (usual <= bright).all()
    assert dark.mean() * 1.1 < usual.mean() < bright.mean() / 1.1


# what is worn changes pixels between these landmarks' heights only: (above, below), None without an end
PLACES: list[tuple[dict[str, Any], int | None, int | None]] = [
    ({"wear": replace(PLAIN_WEAR, glasses="round")}, 19, 30),
    ({"wear": replace(PLAIN_WEAR, glasses="square")}, 19, 30),
    ({"wear": replace(PLAIN_WEAR, glasses="sun")}, 19, 30),
    ({"wear": replace(PLAIN_WEAR, hat="beanie")}, None, 36),
    ({"wear": replace(PLAIN_WEAR, hat="cap")}, None, 36),
    ({"person": mean_person(hair_style="full", hair_volume=0.02)}, None, 30),
    ({"person": mean_person(hair_style="shaved")}, None, 30),
    ({"person": mean_person(beard="full", beard_length=0.01)}, 28, None),
    ({"person": mean_person(beard="stubble")}, 28, None),
    ({"wear": replace(PLAIN_WEAR, neckline=0.04)}, 57, None),
    ({"wear": replace(PLAIN_WEAR, pattern="stripes", cloth_second=(0.9, 0.9, 0.1))}, 8, None),
    ({"expression": {"jawOpen": 0.8}}, 30, None),
    ({"person": mean_person(brows=1.0)}, 17, 37),
]


@pytest.mark.parametrize(("changes", "above", "below"), PLACES)
def test_what_is_changed_is_seen_in_its_place_and_not_elsewhere(
    renderer: Renderer, changes: dict[str, Any], above: int | None, below: int | None
) -> None:
    bare = frontal(size=96)
    seen = change(renderer, bare, replace(bare, **changes))
    top = 0 if above is None else int(landmarks(bare, [above])[0][1]) - 3
    bottom = 96 if below is None else int(landmarks(bare, [below])[0][1]) + 4
    assert seen.sum() > 3000
    assert seen[top:bottom].sum() > 0.95 * seen.sum()


def test_long_hair_hangs_beside_the_neck_and_longer_hair_lower(renderer: Renderer) -> None:
    bare = frontal(size=96, margin=2.2)
    chin = int(landmarks(bare, [8])[0][1])
    below = []
    for length in (0.1, 0.5, 1.0):
        hairy = replace(bare, person=mean_person(hair_style="long", hair_volume=0.012, hair_length=length))
        below.append(change(renderer, bare, hairy)[chin:].sum())
    assert below[0] < 0.2 * below[1] < 0.2 * below[2]


def test_clear_glasses_show_the_eyes_and_sunglasses_hide_them(renderer: Renderer) -> None:
    beside = (Light((-1.0, -1.0, 0.2), (0.7, 0.7, 0.7)),)  # so that nothing is reflected into the camera

    def brightness(form: Literal["none", "round", "sun"]) -> float:
        scene = frontal(size=160, wear=replace(PLAIN_WEAR, glasses=form), lights=beside)
        (x0, y0), (x1, y1) = landmarks(scene, range(36, 42)).min(axis=0), landmarks(scene, range(36, 42)).max(axis=0)
        return float(levels(renderer, scene)[int(y0) : int(y1), int(x0) : int(x1)].mean())

    bare = brightness("none")
    assert brightness("round") == pytest.approx(bare, rel=0.25)
    assert brightness("sun") < 0.75 * bare


def test_a_closed_renderer_releases_its_context() -> None:
    try:
        made = Renderer()
    except RenderError as error:
        pytest.skip(str(error))
    made.close()
    made.close()  # again is harmless
    with pytest.raises(Exception, match=r".+"):
        made.draw(frontal(size=16))
