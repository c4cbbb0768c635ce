"""Sets: distributions of poses and of the other random values, independence of scenes, errors."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import angles_from_rotation, pan_tilt_from_rotation, rotation_from_pan_tilt
from deepgllim.synthetic import (
    ASPECTS,
    SETS,
    Aspect,
    Camera,
    HeadModel,
    SceneSampler,
    Wear,
    fit_camera,
    head_vertices,
    label,
    load_head_model,
    to_camera,
)
from deepgllim.synthetic.randomisation import (
    FIXED_AMBIENT,
    FIXED_CAPTURE,
    FIXED_LIGHT,
    sample_ambient,
    sample_background,
    sample_capture,
    sample_distance,
    sample_expression,
    sample_gaze,
    sample_lights,
    sample_occlusions,
    sample_torso,
    sample_wear,
)
from deepgllim.synthetic.scene import Array
from deepgllim.synthetic.sets import POSE_LIMITS, S2G_CENTRES, S2G_SPREAD, SSV_SPREAD
from tests.synthetic.scenes import assert_same, frontal, head_only, properties

DRAWS = 2000
seeds = st.integers(0, 2**32)
turns = st.tuples(st.floats(-100, 100), st.floats(-75, 75), st.floats(-45, 45))


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return load_head_model()


@cache
def poses(name: str, number: int = DRAWS) -> Array:
    """Rotations of a set, (N, 3, 3), by its pose function alone."""
    rng = np.random.default_rng(1)
    return np.stack([SETS[name].pose(rng) for _ in range(number)])


def angles(name: str) -> Array:
    return angles_from_rotation(poses(name))


def is_uniform(values: Array, limits: tuple[float, ...]) -> bool:
    """Every column, against its own ± limit."""
    inside = bool((np.abs(values) <= np.array(limits) + 1e-9).all())
    return inside and all(
        stats.kstest(column / limit, "uniform", args=(-1, 2)).pvalue > 0.01
        for column, limit in zip(values.T, limits, strict=True)
    )


def test_uniform_is_uniform_within_the_papers_ranges() -> None:
    assert POSE_LIMITS == (60.0, 75.0, 20.0)
    assert is_uniform(angles("uniform"), POSE_LIMITS)
    assert np.abs(np.corrcoef(angles("uniform").T) - np.eye(3)).max() < 0.07  # 3 / √2000


def test_wide_is_uniform_in_pan_tilt_and_neck_roll() -> None:
    assert is_uniform(pan_tilt_from_rotation(poses("wide")), (75.0, 100.0, 45.0))
    assert np.abs(np.corrcoef(pan_tilt_from_rotation(poses("wide")).T) - np.eye(3)).max() < 0.07


def test_s2g_is_two_gaussians_cut_by_the_pool() -> None:
    assert S2G_CENTRES == ((35.0, 60.0, 0.0), (-35.0, -60.0, 0.0))
    drawn = angles("s2g")
    assert (np.abs(drawn) <= POSE_LIMITS).all()
    left = drawn[:, 1] > 0
    assert left.mean() == pytest.approx(0.5, abs=0.04)
    for centre, cluster in zip(S2G_CENTRES, (drawn[left], drawn[~left]), strict=True):
        for column, middle, limit in zip(cluster.T, centre, POSE_LIMITS, strict=True):
            low, high = (-limit - middle) / S2G_SPREAD, (limit - middle) / S2G_SPREAD
            expected = stats.truncnorm(low, high, loc=middle, scale=S2G_SPREAD)
            # 1 % of each Gaussian lies on the other's side of yaw 0
            assert column.mean() == pytest.approx(expected.mean(), abs=2.5)
            assert column.std() == pytest.approx(expected.std(), abs=2.0)


def test_s2g_keeps_16_percent_of_the_pool() -> None:
    pool = np.random.default_rng(0).uniform(-1, 1, size=(20_000, 3)) * POSE_LIMITS
    squared = ((pool[:, None] - np.array(S2G_CENTRES)) ** 2).sum(axis=-1) / S2G_SPREAD**2
    assert np.exp(-0.5 * squared.min(axis=1)).mean() == pytest.approx(0.16, abs=0.01)


def test_ssv_is_the_pool_without_its_middle() -> None:
    drawn = angles("ssv")
    assert (np.abs(drawn) <= POSE_LIMITS).all()
    pool = np.random.default_rng(0).uniform(-1, 1, size=(100_000, 3)) * POSE_LIMITS
    kept = 1 - np.exp(-0.5 * (pool**2).sum(axis=1) / SSV_SPREAD**2)
    at, weights = np.linalg.norm(pool, axis=1), kept / kept.sum()
    radius = np.linalg.norm(drawn, axis=1)
    for limit in (20, 30, 45, 60, 75):
        assert (radius < limit).mean() == pytest.approx(weights[at < limit].sum(), abs=0.03)
    assert (radius < 20).sum() < 0.3 * DRAWS * (at < 20).mean()  # a hole
    assert np.abs(drawn.mean(axis=0)).max() < 4


def test_natural_heads_look_ahead_and_all_of_biwis_range_occurs() -> None:
    drawn = angles("natural")
    assert (np.abs(drawn) <= POSE_LIMITS).all()
    for column, limit in zip(drawn.T, POSE_LIMITS, strict=True):
        counts, _ = np.histogram(column, bins=5, range=(-limit, limit))
        assert counts.argmax() == 2  # about 0
        assert counts[2] > 2 * max(counts[0], counts[4])
        assert np.abs(column).max() > 0.9 * limit
    assert abs(drawn[:, 1].mean()) < 2


@pytest.mark.parametrize("name", SETS)
def test_faces_fill_their_share_of_the_picture_and_lie_near_its_middle(name: str) -> None:
    spec, model = SETS[name], load_head_model()
    margins, offsets = [], []
    for index in range(25):
        scene = SceneSampler(name, identities=5, size=80, seed=2)(index)
        x0, y0, x1, y1 = label(model, scene).box
        margins.append(80 / max(x1 - x0, y1 - y0))
        offsets.append([(x0 + x1) / 160 - 0.5, (y0 + y1) / 160 - 0.5])
        assert scene.camera.translation[:2] == (0, 0)  # on the axis, as the rotation is then what the face looks like
    low, high = spec.margin
    assert low - 1e-6 <= min(margins) < low + 0.25 * (high - low)
    assert high + 1e-6 >= max(margins) > high - 0.25 * (high - low)
    assert 0.6 * spec.offset < np.abs(offsets).max() <= spec.offset + 1e-6


@pytest.mark.parametrize("name", SETS)
def test_heads_are_in_front_of_the_camera(name: str) -> None:
    model = load_head_model()
    for index in range(20):
        scene = SceneSampler(name, identities=5, seed=3)(index)
        assert to_camera(head_vertices(model, scene)[head_only(model)], scene)[:, 2].min() > 0.1


@properties
@given(st.floats(1.0, 3.0), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.sampled_from([(64, 64), (37, 53), (90, 40)]))
def test_framing_is_by_the_shorter_side(margin: float, right: float, down: float, size: tuple[int, int]) -> None:
    model, start = load_head_model(), frontal(distance=0.7)
    unframed = replace(start, camera=Camera(*size, 1.0, (0.0, 0.0), (0.0, 0.0, 0.7)))
    x0, y0, x1, y1 = label(model, fit_camera(unframed, model, margin, (right, down))).box
    side = min(size)
    assert max(x1 - x0, y1 - y0) == pytest.approx(side / margin)
    assert (x0 + x1) / 2 == pytest.approx(size[0] / 2 + side * right, abs=1e-6)
    assert (y0 + y1) / 2 == pytest.approx(size[1] / 2 + side * down, abs=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_a_picture_is_drawn_from_its_number_alone(name: str) -> None:
    sampler = SceneSampler(name, identities=3, size=64, seed=5)
    forwards = [sampler(index) for index in range(4)]
    for index in (3, 1, 2, 0):
        assert_same(SceneSampler(name, identities=3, size=64, seed=5)(index), forwards[index])


def test_other_numbers_seeds_and_sets_are_other_pictures() -> None:
    scenes = [
        SceneSampler("wide", seed=5)(7),
        SceneSampler("wide", seed=5)(8),
        SceneSampler("wide", seed=6)(7),
        SceneSampler("uniform", seed=5)(7),
    ]
    for field in ("rotation", "torso", "camera", "lights", "ambient", "expression", "gaze", "background", "wear"):
        assert len({repr(getattr(scene, field)) for scene in scenes}) == len(scenes), field
    assert len({scene.capture.seed for scene in scenes}) == len(scenes)


def test_size_scales_the_picture_and_changes_nothing_else() -> None:
    small, large = (SceneSampler("wide", size=size, seed=5)(7) for size in (64, 256))
    camera = replace(
        small.camera,
        width=256,
        height=256,
        focal=4 * small.camera.focal,
        centre=(4 * small.camera.centre[0], 4 * small.camera.centre[1]),
    )
    assert large.camera.focal == pytest.approx(camera.focal)
    assert large.camera.centre == pytest.approx(camera.centre)
    assert_same(replace(large, camera=camera), replace(small, camera=camera))


def test_image_n_shows_person_n_modulo_the_identities() -> None:
    sampler = SceneSampler("natural", identities=3, seed=2)
    seen = [sampler(index).person for index in range(7)]
    assert [person.seed for person in seen] == [2_000_006 + index % 3 for index in range(7)]
    assert all(sampler.person(index) is person for index, person in enumerate(seen))
    assert {sampler.person(k).seed for k in range(3)}.isdisjoint(
        SceneSampler("natural", identities=1_000_000, seed=s).person(k).seed for s in (1, 3) for k in (0, 999_999)
    )


# what an aspect is allowed to change
TOUCHED: dict[Aspect, set[str]] = {
    "light": {"lights", "ambient"},
    "background": {"background"},
    "capture": {"capture"},
    "accessories": {"wear", "capture"},
    "expression": {"expression", "gaze", "camera"},
    "torso": {"torso"},
}


@pytest.mark.parametrize("aspect", ASPECTS)
def test_leaving_an_aspect_out_changes_nothing_else(aspect: Aspect) -> None:
    changed = set()
    for index in range(12):
        whole, without = (
            SceneSampler("wide", identities=2, size=64, seed=8, leave_out=left)(index)
            for left in ((), (aspect,))  # type: tuple[Aspect, ...]
        )
        fields = {field: getattr(without, field) for field in TOUCHED[aspect]}
        assert_same(replace(whole, **fields), without)
        changed |= {field for field, value in fields.items() if repr(value) != repr(getattr(whole, field))}
        assert without.camera.translation == whole.camera.translation
        assert without.camera.focal == pytest.approx(whole.camera.focal, rel=0.3 if aspect == "expression" else 0.05)
        # of clothes only glasses and hat go, of the capture only the patches: the rest is drawn as before
        wear = replace(whole.wear, glasses=without.wear.glasses, hat=without.wear.hat)
        assert without.wear == wear
        if aspect == "accessories":
            assert without.capture == replace(whole.capture, occlusions=0)
        elif aspect == "capture":
            assert without.capture.occlusions == whole.capture.occlusions
            assert without.capture.seed == whole.capture.seed  # the patches' places
    assert changed == TOUCHED[aspect]


def test_what_is_left_out_is_fixed() -> None:
    sampler = SceneSampler("wide", identities=2, size=64, seed=8, leave_out=ASPECTS)
    for index in range(12):
        scene = sampler(index)
        assert scene.lights == FIXED_LIGHT
        assert scene.ambient == FIXED_AMBIENT
        assert scene.background.kind == "plain"
        assert replace(scene.capture, seed=0) == replace(FIXED_CAPTURE, seed=0)
        assert (scene.wear.glasses, scene.wear.hat, scene.capture.occlusions) == ("none", "none", 0)
        assert (scene.expression, scene.gaze) == ({}, (0.0, 0.0))
        np.testing.assert_array_equal(scene.torso, scene.rotation)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "wild"}, "unknown set 'wild': use one of uniform, s2g, ssv, natural, wide"),
        ({"size": 0}, "pictures of 0 pixels: give a side from 16 to 4096"),
        ({"size": 10_000}, "pictures of 10000 pixels: give a side from 16 to 4096"),
        ({"seed": -1}, "seed -1: give a number that is not negative"),
        ({"identities": 0}, "0 identities: give a number from 1 to 1,000,000"),
        ({"identities": 1_000_001}, "1000001 identities: give a number from 1 to 1,000,000"),
        (
            {"leave_out": ("light", "hair")},
            f"unknown aspect 'hair' to leave out: use some of {', '.join(ASPECTS)}",
        ),
    ],
)
def test_invalid_arguments_raise_a_configuration_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SceneSampler(**{"name": "wide"} | options)
    assert str(caught.value) == message


def test_a_negative_picture_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SceneSampler("wide")(-1)
    assert str(caught.value) == "picture -1: give a number that is not negative"


def test_smallest_and_largest_sizes_are_taken() -> None:
    assert [SceneSampler("wide", size=size)(0).camera.width for size in (16, 4096)] == [16, 4096]


def many(draw: Callable[[np.random.Generator], Any], number: int = 1000) -> list[Any]:
    rng = np.random.default_rng(4)
    return [draw(rng) for _ in range(number)]


def share(values: list[Any], wanted: object) -> float:
    return values.count(wanted) / len(values)


def test_cameras_are_at_arms_length_to_four_metres() -> None:
    distances = np.array(many(sample_distance))
    assert distances.min() >= 0.4
    assert distances.max() <= 4.0
    assert np.median(distances) == pytest.approx((0.4 * 4) ** 0.5, rel=0.1)  # even over factors


@properties
@given(angles=turns, seed=seeds)
def test_a_torso_is_within_a_necks_reach(angles: tuple[float, float, float], seed: int) -> None:
    head = rotation_from_pan_tilt(*angles)
    tilt, pan, neck_roll = pan_tilt_from_rotation(sample_torso(head, np.random.default_rng(seed)))
    slack = 15  # 5 standard deviations of what is added
    assert abs(pan - angles[0]) <= 60 + slack
    assert abs(tilt - angles[1]) <= 45 + slack
    assert abs(neck_roll - angles[2]) <= 25 + slack
    assert abs(pan) <= max(0.6 * abs(angles[0]), abs(angles[0]) - 60) + slack


def test_faces_are_of_all_kinds(model: HeadModel) -> None:
    drawn = many(sample_expression, 300)
    assert {name for weights in drawn for name in weights} <= set(model.expression_names)
    assert all(0 <= weight <= 1 for weights in drawn for weight in weights.values())
    assert 0.15 < share([weights["mouthSmileLeft"] > 0.4 for weights in drawn], True) < 0.5
    assert 0.2 < share(["jawOpen" in weights for weights in drawn], True) < 0.4
    assert share([weights.get("eyeBlinkLeft", 0) > 0.3 for weights in drawn], True) < 0.2
    assert any(weights["mouthSmileLeft"] != weights["mouthSmileRight"] for weights in drawn)


def test_eyes_look_anywhere_within_what_the_model_is_good_for() -> None:
    gaze = np.array(many(sample_gaze))
    assert np.abs(gaze[:, 0]).max() <= 30
    assert gaze[:, 1].min() >= -25
    assert gaze[:, 1].max() <= 15
    assert (np.abs(gaze) < 12).all(axis=1).mean() > 0.5
    assert np.ptp(gaze, axis=0).min() > 35


def test_lights_are_one_to_three_the_brightest_first_before_or_beside_the_head() -> None:
    drawn = many(sample_lights, 400)
    for count, chance in ((1, 0.5), (2, 0.3), (3, 0.2)):
        assert share([len(lights) for lights in drawn], count) == pytest.approx(chance, abs=0.08)
    for lights in drawn:
        strength = [np.mean(light.colour) for light in lights]
        assert strength == sorted(strength, reverse=True)
        assert 0.5 <= sum(strength) <= 1.15 + 1e-9
        for light in lights:
            assert 0.6 <= np.linalg.norm(light.position) <= 3.0 + 1e-9
            assert min(light.colour) >= 0
    sideways = np.array([lights[0].position[0] for lights in drawn])
    assert 0.4 < (sideways > 0).mean() < 0.6


def test_lights_are_about_the_head_wherever_it_is() -> None:
    for index in range(60):
        scene = SceneSampler("uniform", identities=2, seed=4)(index)
        for light in scene.lights:
            assert 0.6 <= np.linalg.norm(np.subtract(light.position, scene.camera.translation)) <= 3.0 + 1e-9


def test_light_from_everywhere_is_brighter_from_above() -> None:
    above, below = np.moveaxis(np.array(many(sample_ambient, 300)), 1, 0)
    assert below.min() > 0
    assert (above.mean(axis=1) > below.mean(axis=1)).mean() > 0.9
    assert above.mean() == pytest.approx(0.36, abs=0.03)


def test_a_third_wear_glasses_and_one_in_eight_something_on_the_head() -> None:
    drawn = many(sample_wear)
    assert 1 - share([wear.glasses for wear in drawn], "none") == pytest.approx(0.32, abs=0.04)
    assert 1 - share([wear.hat for wear in drawn], "none") == pytest.approx(0.13, abs=0.03)
    for field in ("glasses", "hat", "pattern"):
        allowed = set(get_args(get_type_hints(Wear)[field]))
        assert {getattr(wear, field) for wear in drawn} == allowed
    colours = np.array([[wear.cloth, wear.cloth_second, wear.glasses_colour, wear.hat_colour] for wear in drawn])
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert all(0.85 <= wear.glasses_size <= 1.2 for wear in drawn)


def test_without_accessories_the_clothes_are_the_same() -> None:
    for seed in range(20):
        dressed, plain = (sample_wear(np.random.default_rng(seed), plain=plain) for plain in (False, True))
        assert plain == replace(dressed, glasses="none", hat="none")


def test_backgrounds_are_of_every_kind() -> None:
    kinds = [background.kind for background in many(sample_background)]
    assert set(kinds) == {"plain", "gradient", "noise", "shapes", "room"}
    assert share(kinds, "plain") == pytest.approx(0.12, abs=0.03)


def test_given_pictures_are_the_backgrounds_all_of_them() -> None:
    given = ("a.jpg", "b.jpg", "c.jpg")
    drawn = many(lambda rng: sample_background(rng, given), 60)
    assert {background.kind for background in drawn} == {"picture"}
    assert {background.picture for background in drawn} == set(given)
    assert SceneSampler("wide", pictures=("only.jpg",))(3).background.picture == "only.jpg"


def test_captures_are_within_their_ranges() -> None:
    drawn = [asdict(capture) for capture in many(sample_capture)]
    values = {name: np.array([capture[name] for capture in drawn]) for name in drawn[0]}
    assert np.exp(-1.5) < values["exposure"].min() < 1 < values["exposure"].max() < np.exp(1.5)
    for name, low, high in (
        ("contrast", 0.65, 1.35),
        ("saturation", 0.0, 1.3),
        ("blur", 0.0, 0.015),
        ("noise", 0.0, 14.0),
        ("resolution", 0.3, 1.0),
        ("jpeg_quality", 45, 95),
        ("occlusions", 0, 0),
    ):
        assert low <= values[name].min(), name
        assert values[name].max() <= high, name
    assert (values["blur"] == 0).mean() == pytest.approx(0.55, abs=0.05)
    assert (values["motion"][:, 0] > 0).mean() == pytest.approx(0.1, abs=0.03)
    assert (values["resolution"] < 1).mean() == pytest.approx(0.25, abs=0.05)
    assert (values["saturation"] == 0).mean() == pytest.approx(0.06, abs=0.03)


def test_patches_are_on_one_picture_in_seven() -> None:
    drawn = many(sample_occlusions)
    assert set(drawn) == {0, 1, 2}
    assert share(drawn, 0) == pytest.approx(0.85, abs=0.04)
