"""Augmentation: repeatable, bounded by the context, and each change in its own direction."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import geodesic_distance, rotation_from_angles, rotation_from_pan_tilt
from deepgllim.nn.augmentation import Change, PoseRule, augment, context_size, mirror_signs, plain
from deepgllim.nn.config import AugmentationConfig

properties = settings(deadline=None, max_examples=25, derandomize=True, database=None)
OFF = AugmentationConfig.off()
Pixels = NDArray[np.uint8]


def only(**options: float) -> AugmentationConfig:
    return OFF.model_copy(update=options)


def picture(side: int, seed: int = 0) -> Pixels:
    """Mid-grey levels, so that no gain reaches 0 or 255."""
    return np.random.default_rng(seed).integers(90, 140, (3, side, side)).astype(np.uint8)


def versions(context: Pixels, size: int, config: AugmentationConfig, n: int) -> list[Pixels]:
    generator = np.random.default_rng(1)
    return [augment(context, size, config, generator)[0] for _ in range(n)]


@properties
@given(st.integers(16, 80), st.integers(0, 1000))
def test_any_size_gives_its_shape_and_the_same_state_the_same_picture(size: int, seed: int) -> None:
    config = AugmentationConfig()
    context = picture(context_size(size, config), seed)
    before = context.copy()
    one, mirrored = augment(context, size, config, np.random.default_rng(seed))
    other, again = augment(context, size, config, np.random.default_rng(seed))
    assert one.shape == (3, size, size)
    assert one.dtype == np.uint8
    assert one.flags.writeable  # torch shares its memory and warns otherwise
    assert one.flags.c_contiguous
    np.testing.assert_array_equal(one, other)
    assert mirrored == again
    np.testing.assert_array_equal(context, before)


def test_another_state_gives_another_picture() -> None:
    one, other = versions(picture(context_size(32, AugmentationConfig())), 32, AugmentationConfig(), 2)
    assert (one != other).any()


@properties
@given(st.integers(16, 80))
def test_without_any_change_the_plain_crop_is_left(size: int) -> None:
    assert context_size(size, OFF) == size
    context = picture(size)
    found, change = augment(context, size, OFF, np.random.default_rng(0))
    np.testing.assert_array_equal(found, context)
    assert change == Change()
    np.testing.assert_array_equal(plain(context, size), context)


@properties
@given(st.integers(16, 120), st.floats(0, 0.99), st.floats(0, 0.99))
def test_the_context_holds_every_jittered_box(size: int, shift: float, scale: float) -> None:
    """The box reaches furthest where it is largest and moved furthest: its half side and its shift add."""
    config = only(box_shift=shift, box_scale=scale)
    side = context_size(size, config)
    reach = size * (1 + scale) / 2 + size * shift
    assert side / 2 >= reach - 1e-9 * side
    assert side / 2 <= reach + 1  # no more than rounding up needs
    assert (side - size) % 2 == 0  # the plain crop falls on whole pixels


@properties
@given(st.integers(16, 60), st.floats(0, 0.99), st.floats(0, 0.99), st.integers(0, 99))
def test_no_jitter_asks_for_pixels_beyond_the_context(size: int, shift: float, scale: float, seed: int) -> None:
    """Pillow refuses a box that leaves the picture, be it by rounding."""
    config = only(box_shift=shift, box_scale=scale)
    context = picture(context_size(size, config))
    found, _ = augment(context, size, config, np.random.default_rng(seed))
    assert 89 <= found.min() <= found.max() <= 140


def test_plain_is_the_middle() -> None:
    context = picture(30)
    np.testing.assert_array_equal(plain(context, 20), context[:, 5:25, 5:25])


def test_jitter_moves_a_mark_within_its_bounds_and_all_over_them() -> None:
    config = only(box_shift=0.1)
    side = context_size(40, config)
    context = np.zeros((3, side, side), dtype=np.uint8)
    context[:, side // 2 - 1 : side // 2 + 1, side // 2 - 1 : side // 2 + 1] = 200
    found = np.stack([version[0].astype(float) for version in versions(context, 40, config, 200)])
    grid = np.arange(40) - 19.5
    total = found.sum((1, 2))
    moved = np.stack([(found.sum(2) * grid).sum(1) / total, (found.sum(1) * grid).sum(1) / total])
    assert np.abs(moved).max() <= 4 + 0.1  # 10 % of 40; a tenth for the rounding to grey levels
    assert moved.min() < -3.5  # of 400 draws over (-4, 4) one in 16 lies there
    assert moved.max() > 3.5


def test_scaling_changes_the_size_both_ways() -> None:
    config = only(box_scale=0.3)
    side = context_size(40, config)
    context = np.zeros((3, side, side), dtype=np.uint8)
    context[:, side // 2 - 8 : side // 2 + 8, side // 2 - 8 : side // 2 + 8] = 200
    area = np.array([version[0].sum() / 200 for version in versions(context, 40, config, 200)])
    # the square of 16 pixels has 256, over the square of the box's scale: 0.7 to 1.3
    assert area.min() > 256 / 1.3**2 - 5
    assert area.max() < 256 / 0.7**2 + 5
    assert area.min() < 180
    assert area.max() > 440


def test_mirror_flips_half_of_the_pictures_and_says_so() -> None:
    config, context = only(mirror=True), picture(20)
    generator = np.random.default_rng(0)
    received = []
    for _ in range(200):
        found, (mirrored, turn) = augment(context, 20, config, generator)
        assert turn == 0
        np.testing.assert_array_equal(found, context[:, :, ::-1] if mirrored else context)
        received.append(mirrored)
    assert 70 < sum(received) < 130  # four standard deviations about 100


def test_mirroring_negates_yaw_and_roll() -> None:
    """A head that looks to the image's left looks to its right in a mirror, as far up as before."""
    signs = mirror_signs(("roll", "pitch", "yaw"), only(mirror=True))
    assert signs.tolist() == [-1, 1, -1]
    assert signs.dtype == np.float32


def test_the_sign_rule_is_that_of_the_rotation() -> None:
    """Mirroring x turns R into F R F, F = diag(−1, 1, 1)."""
    angles = np.array([17.0, -33.0, 21.0])
    flip = np.diag([-1.0, 1.0, 1.0])
    signs = mirror_signs(("pitch", "yaw", "roll"), only(mirror=True)).astype(float)
    np.testing.assert_allclose(
        rotation_from_angles(*(signs * angles)), flip @ rotation_from_angles(*angles) @ flip, atol=1e-12
    )


@properties
@given(st.integers(16, 80), st.floats(1, 180), st.floats(0, 0.3), st.floats(0, 0.3), st.integers(0, 99))
def test_no_turn_asks_for_pixels_beyond_the_context(
    size: int, rotation: float, shift: float, scale: float, seed: int
) -> None:
    """What lies outside of a turned picture is black: none of it may be seen."""
    config = only(rotation=rotation, box_shift=shift, box_scale=scale)
    found, change = augment(picture(context_size(size, config)), size, config, np.random.default_rng(seed))
    assert found.min() >= 89
    assert abs(change.turn) <= rotation


def test_a_turn_is_clockwise_by_what_it_says() -> None:
    """A mark to the right of the centre goes down in a clockwise turn."""
    config = only(rotation=40.0)
    side = context_size(60, config)
    context = np.zeros((3, side, side), dtype=np.uint8)
    middle = side // 2
    context[:, middle - 2 : middle + 2, middle + 18 : middle + 22] = 200
    grid, generator = np.arange(60) - 29.5, np.random.default_rng(0)
    for _ in range(20):
        found, change = augment(context, 60, config, generator)
        total = found[0].sum()
        x, y = (found[0].sum(0) * grid).sum() / total, (found[0].sum(1) * grid).sum() / total
        assert np.degrees(np.arctan2(y, x)) == pytest.approx(change.turn, abs=1.5)  # half a pixel of 20


@properties
@given(st.floats(-60, 60), st.floats(-85, 85), st.floats(-60, 60), st.floats(-90, 90), st.booleans())
def test_both_kinds_of_angles_tell_the_same_changed_pose(
    first: float, second: float, third: float, turn: float, mirrored: bool
) -> None:
    """Rz(turn)·R, mirrored or not, is one rotation, whatever angles it is written in and in whatever order."""
    from deepgllim.geometry.rotations import angles_from_rotation, mirror_rotation, pan_tilt_from_rotation

    R, config = rotation_from_pan_tilt(second, first, third), only(rotation=90, mirror=True)
    expected = rotation_from_angles(0, 0, turn) @ R
    expected = mirror_rotation(expected) if mirrored else expected
    tilt, pan, neck_roll = PoseRule(("tilt", "pan", "neck_roll"), config)(
        pan_tilt_from_rotation(R), Change(mirrored, turn)
    )
    assert geodesic_distance(expected, rotation_from_pan_tilt(pan, tilt, neck_roll)) < 1e-6
    roll, pitch, yaw = PoseRule(("roll", "pitch", "yaw"), config)(
        angles_from_rotation(R)[[2, 0, 1]], Change(mirrored, turn)
    )
    assert geodesic_distance(expected, rotation_from_angles(pitch, yaw, roll)) < 1e-6


def test_a_pose_without_roll_cannot_be_turned() -> None:
    with pytest.raises(
        ConfigurationError, match=r"rotation needs .*tilt, pan, neck_roll, not pitch, yaw: .*rotation=0"
    ):
        PoseRule(("pitch", "yaw"), only(rotation=20))
    PoseRule(("pitch", "yaw"), OFF)


def test_blur_loses_detail_of_half_of_the_pictures() -> None:
    context = picture(32)
    found = versions(context, 32, only(blur=0.75), 100)
    changed = [version for version in found if (version != context).any()]
    assert 30 < len(changed) < 70  # four standard deviations about 50
    assert min(v.std() for v in changed) < 0.5 * context.std()


def test_a_patch_of_one_colour_covers_a_part_of_half_of_the_pictures() -> None:
    context = picture(40)
    shares = []
    for version in versions(context, 40, only(occlusion=0.5), 200):
        covered = (version != context).any(0)
        if covered.any():
            assert (version[:, covered].std(1) < 1).all()
            shares.append(covered.mean())
    assert 70 < len(shares) < 130  # four standard deviations about 100
    assert max(shares) <= 0.27  # (1 + 20)² of 40²
    assert max(shares) > 0.12


def test_a_target_without_a_rule_cannot_be_mirrored() -> None:
    with pytest.raises(ConfigurationError, match=r"augmentation.mirror.*'age'.*mirror=false"):
        mirror_signs(("yaw", "age"), AugmentationConfig())
    assert mirror_signs(("yaw", "age"), OFF).shape == (2,)


def test_brightness_scales_all_levels_alike() -> None:
    context = picture(24)
    for version in versions(context, 24, only(brightness=0.3), 20):
        gain = version.astype(float) / context
        assert gain.std() < 0.01  # half a level of some hundred, from rounding
        assert 0.69 < gain.mean() < 1.31
    gains = [version.mean() / context.mean() for version in versions(context, 24, only(brightness=0.3), 100)]
    assert min(gains) < 0.8
    assert max(gains) > 1.2


def test_contrast_keeps_mid_grey_and_scales_the_spread() -> None:
    context = picture(24)
    context[:, 0, 0] = 128
    spreads = []
    for version in versions(context, 24, only(contrast=0.3), 50):
        assert np.abs(version[:, 0, 0].astype(int) - 128).max() <= 1
        spreads.append(version.std() / context.std())
    assert 0.69 < min(spreads) < 0.8
    assert 1.2 < max(spreads) < 1.31


def test_saturation_keeps_grey_and_luma_and_spreads_colour() -> None:
    context = picture(24)
    context[:, 0, 0] = 117
    luma = np.array([0.299, 0.587, 0.114])
    for version in versions(context, 24, only(saturation=0.4), 20):
        assert np.abs(version[:, 0, 0].astype(int) - 117).max() <= 1
        # three levels of rounding, weighted to a sum of 1
        assert np.abs(np.einsum("c,chw->hw", luma, version.astype(float) - context)).max() <= 1
    colourfulness = [version.std(0).mean() for version in versions(context, 24, only(saturation=0.4), 50)]
    assert min(colourfulness) < 0.8 * context.std(0).mean()
    assert max(colourfulness) > 1.2 * context.std(0).mean()


def test_a_share_of_the_pictures_has_no_colour() -> None:
    context = picture(24)
    colourless = [bool((np.ptp(version, axis=0) <= 1).all()) for version in versions(context, 24, only(grey=0.25), 400)]
    assert 70 <= sum(colourless) <= 130
    kept = next(
        version
        for version, grey in zip(versions(context, 24, only(grey=0.25), 400), colourless, strict=True)
        if not grey
    )
    np.testing.assert_array_equal(kept, context)


def test_colour_gives_each_channel_its_own_gain() -> None:
    context = picture(24)
    gains = np.array([v.mean((1, 2)) / context.mean((1, 2)) for v in versions(context, 24, only(colour=0.1), 60)])
    assert np.abs(gains - 1).max() < 0.105
    correlation = np.corrcoef(gains.T)
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.5  # independent: four standard errors of 1/√60
    assert (gains.std(0) > 0.04).all()  # 0.1/√3 = 0.058


def test_noise_has_a_mean_of_zero_and_a_deviation_up_to_its_bound() -> None:
    context = picture(32)
    differences = [version.astype(float) - context for version in versions(context, 32, only(noise=10.0), 60)]
    deviations = np.array([difference.std() for difference in differences])
    assert deviations.max() < 10.5
    assert deviations.max() > 8
    assert deviations.min() < 2
    # 3072 pixels of deviation up to 10: a standard error of 0.18 each
    assert max(abs(difference.mean()) for difference in differences) < 0.9


def test_jpeg_compresses_half_of_the_pictures_a_little() -> None:
    smooth = np.broadcast_to(np.linspace(60, 180, 32).astype(np.uint8), (3, 32, 32)).copy()
    smooth[:, 10:20, 10:20] += 40
    found = versions(smooth, 32, only(jpeg=60), 100)
    changed = [version for version in found if (version != smooth).any()]
    assert 30 < len(changed) < 70  # four standard deviations about 50
    assert max(np.abs(v.astype(float) - smooth).mean() for v in changed) < 4
    assert len({v.tobytes() for v in changed}) > 10  # of many qualities


def test_lower_jpeg_quality_is_further_from_the_picture() -> None:
    grey = np.random.default_rng(0).integers(90, 140, (1, 32, 32)).astype(np.uint8)
    context = np.repeat(grey, 3, axis=0)  # without colour, whose coarser grid alone would make an error

    def error(lowest: int) -> float:
        return float(np.mean([np.abs(v - context.astype(float)) for v in versions(context, 32, only(jpeg=lowest), 40)]))

    assert error(5) > 1.5 * error(90)  # qualities of 5..95 and 90..95; either leaves half of the pictures as they are


def test_jpeg_is_that_of_pillow() -> None:
    """One quality only: the result is what Pillow reads back."""
    context = picture(32)
    buffer = io.BytesIO()
    Image.fromarray(context.transpose(1, 2, 0)).save(buffer, "jpeg", quality=95)
    expected = np.asarray(Image.open(buffer)).transpose(2, 0, 1)
    changed = [v for v in versions(context, 32, only(jpeg=95), 20) if (v != context).any()]
    assert changed
    for version in changed:
        np.testing.assert_array_equal(version, expected)
