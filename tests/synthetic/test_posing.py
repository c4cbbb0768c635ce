"""Labels are exact: PnP recovers the rotation; heads are rigid, torsos rotate, necks interpolate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from deepgllim.geometry.rotations import (
    angles_from_rotation,
    geodesic_distance,
    mirror_angles,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from deepgllim.synthetic import (
    HEAD_TO_CAMERA,
    SETS,
    Camera,
    HeadModel,
    Scene,
    SceneSampler,
    head_vertices,
    label,
    load_head_model,
    to_camera,
)
from deepgllim.synthetic.posing import face_points
from deepgllim.synthetic.scene import Array
from tests.synthetic.scenes import frontal, head_only, mirrored, pixels_of, properties

# iBUG's points, counted from 0
NOSE, CHIN, LEFT_EYE, RIGHT_EYE, UPPER_LIP, LOWER_LIP = 30, 8, 36, 45, 51, 57
MIRRORED = [
    *((17 + k, 26 - k) for k in range(5)),  # brows
    *((31 + k, 35 - k) for k in range(2)),  # nostrils
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)),  # lips
]
indices = st.integers(0, 10**6)
turns = st.tuples(st.floats(-55, 55), st.floats(-40, 40), st.floats(-20, 20))


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


def pose_from_points(points: Array, pixels: Array, camera: Camera) -> tuple[Array, Array]:
    """R and t of x = K (R · points + t), (N, 3) → (N, 2): DLT, then Gauss-Newton; no start is given."""
    xy = (pixels - camera.centre) / camera.focal
    middle, spread = points.mean(axis=0), points.std()
    p = np.column_stack([(points - middle) / spread, np.ones(len(points))])
    zero = np.zeros_like(p)
    rows = np.concatenate([np.hstack([p, zero, -xy[:, :1] * p]), np.hstack([zero, p, -xy[:, 1:] * p])])
    P = np.linalg.svd(rows, full_matrices=False)[2][-1].reshape(3, 4)
    P *= np.sign((p @ P[2]).mean())  # in front of the camera
    U, values, Vt = np.linalg.svd(P[:, :3])
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    t = P[:, 3] / values.mean() * spread - R @ middle
    for _ in range(10):
        q = points @ R.T + t
        z = q[:, 2:]
        residual = (q[:, :2] / z - xy).ravel()
        by_point = np.concatenate([np.tile(np.eye(2), (len(q), 1, 1)) / z[..., None], (-q[:, :2] / z**2)[..., None]], 2)
        step = np.linalg.lstsq(
            np.concatenate([-by_point @ _cross(q - t), by_point], 2).reshape(-1, 6), -residual, rcond=None
        )[0]
        angle = np.linalg.norm(step[:3])
        K = _cross(step[:3] / max(angle, 1e-15))
        R = (np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K) @ R
        t = t + step[3:]
    return R, t


def _cross(v: Array) -> Array:
    """The matrix of a cross product, (..., 3, 3)."""
    x, y, z = np.moveaxis(v, -1, 0)
    o = np.zeros_like(x)
    return np.stack([np.stack([o, -z, y], -1), np.stack([z, o, -x], -1), np.stack([-y, x, o], -1)], -2)


def rigid_fit(before: Array, after: Array) -> tuple[Array, float]:
    """The rotation that takes (N, 3) points to others, up to a shift, and the largest distance that is left."""
    a, b = before - before.mean(axis=0), after - after.mean(axis=0)
    U, _, Vt = np.linalg.svd(b.T @ a)
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    return R, float(np.linalg.norm(a @ R.T - b, axis=1).max())


def rest_of(model: HeadModel, scene: Scene) -> Array:
    """The scene's head before any bend of the neck."""
    return model.vertices(scene.person.identity, scene.expression, scene.gaze).astype(np.float64)


@pytest.mark.parametrize("name", SETS)
@settings(properties, max_examples=6)
@given(index=indices)
def test_pnp_on_the_projected_head_finds_the_labelled_rotation(name: str, index: int) -> None:
    model, scene = load_head_model(), SceneSampler(name, size=64, seed=11)(index)
    chosen = np.random.default_rng(index).choice(head_only(model), 300, replace=False)
    points = head_vertices(model, scene)[chosen].astype(np.float64)
    R, t = pose_from_points(points, pixels_of(scene, points), scene.camera)
    assert geodesic_distance(R @ HEAD_TO_CAMERA, scene.rotation) < 0.1
    np.testing.assert_allclose(t, scene.camera.translation, atol=1e-3)


@properties
@given(name=st.sampled_from(list(SETS)), index=indices)
def test_pnp_on_the_saved_landmarks_finds_the_labelled_rotation(name: str, index: int) -> None:
    model, scene = load_head_model(), SceneSampler(name, size=64, seed=12)(index)
    points = model.landmarks(rest_of(model, scene)).astype(np.float64)  # of the head that knows of no camera
    R, t = pose_from_points(points, label(model, scene).landmarks, scene.camera)
    assert geodesic_distance(R @ HEAD_TO_CAMERA, scene.rotation) < 0.1
    np.testing.assert_allclose(t, scene.camera.translation, atol=1e-3)


def test_pnp_detects_an_error_of_half_a_degree(model: HeadModel) -> None:
    """The check above is as sharp as it says: half a degree is seen."""
    scene = SceneSampler("wide", size=64, seed=11)(5)
    other = replace(scene, rotation=rotation_from_angles(0.5, 0, 0) @ scene.rotation)
    points = head_vertices(model, scene)[head_only(model)[::15]].astype(np.float64)
    R, _ = pose_from_points(points, pixels_of(other, points), scene.camera)
    assert geodesic_distance(R @ HEAD_TO_CAMERA, scene.rotation) == pytest.approx(0.5, abs=0.01)


@properties
@given(name=st.sampled_from(list(SETS)), index=indices)
def test_the_camera_is_as_written(name: str, index: int) -> None:
    """pixel = f · (R · diag(1, −1, −1) · v + t) / z + c."""
    model, scene = load_head_model(), SceneSampler(name, size=64, seed=13)(index)
    camera, v = scene.camera, rest_of(model, scene)
    x, y, z = scene.rotation @ (np.array([[1.0], [-1.0], [-1.0]]) * v.T) + np.array(camera.translation)[:, None]
    seen = np.stack([camera.focal * x / z + camera.centre[0], camera.focal * y / z + camera.centre[1]], axis=1)
    found = label(model, scene)
    corners, weights = seen[model.landmark_vertices], model.landmark_weights[:, :, None]
    # a landmark is a place on a triangle: the projected corners' mean up to the triangle's depth, below 0.2 pixels
    np.testing.assert_allclose(found.landmarks, (corners * weights).sum(axis=1), atol=0.2)
    (x0, y0), (x1, y1) = (getattr(seen[face_points(model)], end)(axis=0) for end in ("min", "max"))
    straight = label(model, replace(scene, torso=scene.rotation))  # a bent neck moves what is under the chin
    np.testing.assert_allclose(straight.box, [x0, y0, x1, y1], atol=1e-3)


@properties
@given(name=st.sampled_from(list(SETS)), index=indices)
def test_the_box_holds_the_face_and_touches_it_on_four_sides(name: str, index: int) -> None:
    model, scene = load_head_model(), SceneSampler(name, size=64, seed=14)(index)
    x0, y0, x1, y1 = label(model, scene).box
    x, y = pixels_of(scene, head_vertices(model, scene)[face_points(model)]).T
    assert (x0, y0, x1, y1) == (x.min(), y.min(), x.max(), y.max())
    assert x1 > x0
    assert y1 > y0


def test_the_face_reaches_from_forehead_to_chin_without_ears(model: HeadModel) -> None:
    face = model.mean[face_points(model)]
    ears = np.unique(model.triangles[model.part("ear")])
    assert 0.045 < face[:, 1].max() < 0.05  # middle of the forehead
    assert face[:, 1].min() < model.landmarks(model.mean)[model.landmark_numbers.index(CHIN), 1] + 0.003
    assert np.isin(ears, face_points(model)).mean() < 0.02
    assert np.isin(np.unique(model.triangles[model.part("eye_left", "lips")]), face_points(model)).mean() > 0.5


def landmark(model: HeadModel, scene: Scene, number: int) -> Array:
    point: Array = label(model, scene).landmarks[model.landmark_numbers.index(number)]
    return point


def test_a_frontal_face_is_upright(model: HeadModel) -> None:
    points = {n: landmark(model, frontal(), n) for n in (NOSE, CHIN, LEFT_EYE, RIGHT_EYE, UPPER_LIP, LOWER_LIP)}
    assert points[LEFT_EYE][0] < points[NOSE][0] < points[RIGHT_EYE][0]
    assert points[LEFT_EYE][1] < points[NOSE][1] < points[UPPER_LIP][1] < points[LOWER_LIP][1] < points[CHIN][1]
    assert points[LEFT_EYE][1] == pytest.approx(points[RIGHT_EYE][1], abs=0.5)


def test_signs_of_the_angles_in_the_picture(model: HeadModel) -> None:
    """+pitch looks up, +yaw to the image's left, +roll is clockwise."""

    def turned(*angles: float) -> Scene:
        return frontal(rotation=rotation_from_angles(*angles))

    middle = {n: landmark(model, frontal(), n) for n in (NOSE, LEFT_EYE, RIGHT_EYE)}
    assert landmark(model, turned(0, 30, 0), NOSE)[0] < middle[NOSE][0] - 5
    assert landmark(model, turned(0, -30, 0), NOSE)[0] > middle[NOSE][0] + 5
    assert landmark(model, turned(30, 0, 0), NOSE)[1] < middle[NOSE][1] - 5
    rolled = turned(0, 0, 20)
    assert landmark(model, rolled, RIGHT_EYE)[1] > landmark(model, rolled, LEFT_EYE)[1] + 5


@properties
@given(head=turns, torso=turns)
def test_the_head_does_not_move_with_the_torso(
    head: tuple[float, float, float], torso: tuple[float, float, float]
) -> None:
    model = load_head_model()
    scene = frontal(rotation=rotation_from_pan_tilt(*head), torso=rotation_from_pan_tilt(*torso))
    rigid = head_only(model)
    np.testing.assert_array_equal(head_vertices(model, scene)[rigid], rest_of(model, scene)[rigid])


@properties
@given(head=turns, torso=turns)
def test_the_torso_turns_as_one_by_its_own_rotation(
    head: tuple[float, float, float], torso: tuple[float, float, float]
) -> None:
    model = load_head_model()
    scene = frontal(rotation=rotation_from_pan_tilt(*head), torso=rotation_from_pan_tilt(*torso))
    fixed = np.flatnonzero(model.head_weights == 0)
    seen = to_camera(head_vertices(model, scene), scene)[fixed]
    turn, rest = rigid_fit(rest_of(model, scene)[fixed] @ HEAD_TO_CAMERA, seen)
    assert geodesic_distance(turn, scene.torso) < 1e-3
    assert rest < 1e-6


@properties
@given(head=turns, torso=turns)
def test_the_lower_joint_is_rotated_about_the_upper_one_by_half_the_angle(
    head: tuple[float, float, float], torso: tuple[float, float, float]
) -> None:
    """So that a neck keeps its length."""
    model = load_head_model()
    scene = frontal(rotation=rotation_from_pan_tilt(*head), torso=rotation_from_pan_tilt(*torso))
    upper, lower = (model.pivots(scene.person.identity)[name].astype(np.float64) for name in ("head", "neck"))
    fixed = np.flatnonzero(model.head_weights == 0)
    before, after = rest_of(model, scene)[fixed], head_vertices(model, scene)[fixed].astype(np.float64)
    turn, _ = rigid_fit(before, after)
    found = turn @ (lower - before.mean(axis=0)) + after.mean(axis=0)  # where the torso has its neck
    half = Rotation.from_rotvec(0.5 * Rotation.from_matrix(turn).as_rotvec())
    np.testing.assert_allclose(found, upper + half.apply(lower - upper), atol=1e-5)


@settings(properties, max_examples=5)
@given(head=turns, torso=turns)
def test_a_neck_takes_its_share_of_the_turn(
    head: tuple[float, float, float], torso: tuple[float, float, float]
) -> None:
    """Vertices that follow equally much turn as one, about one axis, by what they do not follow."""
    model = load_head_model()
    scene = frontal(rotation=rotation_from_pan_tilt(*head), torso=rotation_from_pan_tilt(*torso))
    v, rest = head_vertices(model, scene).astype(np.float64), rest_of(model, scene)
    whole = HEAD_TO_CAMERA @ scene.rotation.T @ scene.torso @ HEAD_TO_CAMERA
    angle = geodesic_distance(np.eye(3), whole)
    levels, counts = np.unique(model.head_weights, return_counts=True)
    between = levels[(counts >= 12) & (levels > 0.05) & (levels < 0.95)]
    assert len(between) > 5
    for level in between[:: len(between) // 5]:
        group = np.flatnonzero(model.head_weights == level)
        turn, left = rigid_fit(rest[group], v[group])
        assert left < 1e-6
        assert geodesic_distance(np.eye(3), turn) == pytest.approx((1 - level) * angle, abs=0.02)
        assert geodesic_distance(np.eye(3), whole @ turn.T) == pytest.approx(level * angle, abs=0.02)


def test_a_torso_turned_with_the_head_bends_nothing(model: HeadModel) -> None:
    R = rotation_from_pan_tilt(80, 20, 10)
    scene = frontal(rotation=R, torso=R)
    np.testing.assert_array_equal(head_vertices(model, scene), rest_of(model, scene))


def test_cached_vertices_are_not_returned_for_another_scene(model: HeadModel) -> None:
    """The vertices asked for last are remembered: another scene is not mistaken for it."""
    first = frontal(rotation=rotation_from_angles(0, 40, 0), gaze=(10.0, 5.0), expression={"jawOpen": 0.4})
    changes = (
        {"gaze": (5.0, 5.0)},
        {"expression": {"jawOpen": 0.2}},
        {"rotation": rotation_from_angles(0, 30, 0)},
        {"torso": rotation_from_angles(0, 30, 0)},
        {"person": SceneSampler("wide")(0).person},
    )
    expected = head_vertices(model, first).copy()
    for change in changes:
        other = head_vertices(model, replace(first, **change))
        assert np.abs(other - expected).max() > 1e-4, change
        np.testing.assert_array_equal(head_vertices(model, first), expected)
    assert not head_vertices(model, first).flags.writeable


def test_the_labels_of_a_mirrored_scene_are_mirrored(model: HeadModel) -> None:
    R, T = rotation_from_angles(15, 35, -10), rotation_from_angles(5, 10, 3)
    scene = frontal(rotation=R, torso=T, gaze=(12.0, 4.0), expression={"mouthSmileLeft": 0.8, "jawOpen": 0.3})
    scene = replace(scene, camera=replace(scene.camera, centre=(40.0, 50.0)))
    flipped = mirrored(scene)
    np.testing.assert_allclose(angles_from_rotation(flipped.rotation), mirror_angles([15, 35, -10]), atol=1e-9)
    (x0, y0, x1, y1), width = label(model, scene).box, scene.camera.width
    side = max(x1 - x0, y1 - y0)
    np.testing.assert_allclose(label(model, flipped).box, [width - x1, y0, width - x0, y1], atol=0.02 * side)
    seen, found = (dict(zip(model.landmark_numbers, label(model, s).landmarks, strict=True)) for s in (scene, flipped))
    for left, right in MIRRORED:
        for one, other in ((left, right), (right, left)):
            x, y = seen[one]
            # the mesh is symmetric but for the corners of the mouth, 4.5 mm of 200
            assert np.abs(found[other] - [width - x, y]).max() < 0.05 * side, (one, other)


def test_vertices_that_are_given_are_not_made_again(model: HeadModel) -> None:
    scene = frontal(rotation=rotation_from_angles(0, 20, 0))
    v = head_vertices(model, scene)
    assert label(model, scene, v).box == label(model, scene).box
    moved = label(model, scene, v + np.array([0.01, 0, 0], dtype=np.float32))
    assert moved.box[0] > label(model, scene).box[0]
