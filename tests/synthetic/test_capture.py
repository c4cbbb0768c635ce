"""Effects of a capture: none if it is neutral, otherwise those of each value."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepgllim.synthetic import Background, Capture, apply_capture, encode_jpeg, render_background
from deepgllim.synthetic.capture import LUMA
from deepgllim.synthetic.randomisation import FIXED_CAPTURE
from tests.synthetic.scenes import properties

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
ODD = (53, 37)


def texture(width: int = 96, height: int = 96) -> Pixels:
    """Every level but black and white, from smooth to rough, in colour."""
    rng = np.random.default_rng(1)
    smooth = render_background(Background("shapes", 5), width, height).astype(float)
    return (smooth * 0.6 + 40 + rng.normal(0, 12, size=smooth.shape)).clip(1, 254).astype(np.uint8)


def grey(level: int = 128, side: int = 96) -> Pixels:
    return np.full((side, side, 3), level, dtype=np.uint8)


def developed(pixels: Pixels, **values: Any) -> Floats:
    return np.asarray(apply_capture(pixels, replace(FIXED_CAPTURE, **values))).astype(float)


def roughness(pixels: npt.ArrayLike, axis: int) -> float:
    return float(np.abs(np.diff(np.asarray(pixels, dtype=float), axis=axis)).mean())


@pytest.mark.parametrize("size", [(96, 96), ODD, (16, 16), (1, 1)])
def test_a_neutral_capture_changes_nothing(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(*size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(developed(pixels), pixels)
    np.testing.assert_array_equal(developed(pixels, exposure=3.0, seed=9, jpeg_quality=3), pixels)  # others' parts


@properties
@given(
    blur=st.sampled_from([0.0, 0.01]),
    motion=st.sampled_from([(0.0, 0.0), (0.05, 70.0)]),
    noise=st.sampled_from([0.0, 8.0]),
    resolution=st.sampled_from([1.0, 0.3]),
    occlusions=st.integers(0, 2),
    contrast=st.floats(0.65, 1.35),
    saturation=st.floats(0, 1.3),
    seed=st.integers(0, 2**31),
    size=st.sampled_from([ODD, (16, 16), (96, 96)]),
)
def test_any_capture_is_the_same_again_and_keeps_the_size(size: tuple[int, int], **values: Any) -> None:
    pixels = texture(*size)
    capture = Capture(exposure=1.0, jpeg_quality=90, **values)
    first, again = apply_capture(pixels, capture), apply_capture(pixels.copy(), capture)
    assert first.size == size
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    np.testing.assert_array_equal(pixels, texture(*size))  # what was given is left alone


def test_blur_takes_the_fine_and_leaves_the_coarse() -> None:
    pixels = texture()
    last = roughness(pixels, 0)
    for blur in (0.005, 0.01, 0.02, 0.04):
        found = developed(pixels, blur=blur)
        assert roughness(found, 0) < last
        last = roughness(found, 0)
        assert np.abs(found.mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))).max() < 1.5
    assert last < 0.3 * roughness(pixels, 0)


def test_blur_is_a_share_of_the_shorter_side() -> None:
    """A step becomes an error function of this standard deviation."""
    pixels = grey(60, 200)
    pixels[:, 100:] = 180
    profile = developed(pixels, blur=0.02)[100, :, 0]  # σ = 4 pixels
    slope = np.diff(profile)
    centre = (slope * np.arange(199)).sum() / slope.sum()
    deviation = np.sqrt((slope * (np.arange(199) - centre) ** 2).sum() / slope.sum())
    assert deviation == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("noise", [2.0, 6.0, 12.0])
def test_noise_has_its_standard_deviation_at_mid_grey_and_grows_with_light(noise: float) -> None:
    std = {level: developed(grey(level), noise=noise, seed=3).std() for level in (60, 128, 190)}
    rounding = 1 / 12
    assert std[128] == pytest.approx(np.hypot(noise, rounding**0.5), rel=0.03)
    for level, found in std.items():
        expected = 0.5 * noise * (1 + (level / 128) ** 0.5)
        assert found == pytest.approx(np.hypot(expected, rounding**0.5), rel=0.03)
    assert developed(grey(), noise=noise, seed=3).mean() == pytest.approx(128, abs=0.3)


def test_noise_is_of_its_seed_and_independent_between_pixels() -> None:
    one, other = (developed(grey(), noise=8.0, seed=seed) - 128 for seed in (1, 2))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(one[:, 1:].ravel(), one[:, :-1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(one[..., 0].ravel(), one[..., 1].ravel())[0, 1]) < 0.05


def test_a_lower_resolution_loses_detail() -> None:
    pixels = texture()
    rough = [roughness(developed(pixels, resolution=share), 1) for share in (1.0, 0.7, 0.5, 0.3)]
    assert rough == sorted(rough, reverse=True)
    assert rough[-1] < 0.5 * rough[0]
    means = [developed(pixels, resolution=share).mean() for share in (1.0, 0.3)]
    assert means[0] == pytest.approx(means[1], abs=1.0)


@pytest.mark.parametrize(("direction", "along"), [(0.0, 1), (90.0, 0), (180.0, 1)])
def test_motion_blurs_along_its_direction_only(direction: float, along: int) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, size=(96, 96, 3), dtype=np.uint8)
    found = developed(pixels, motion=(0.06, direction))
    assert roughness(found, along) < 0.4 * roughness(pixels, along)
    # rows (columns) stay independent of each other: an unblurred neighbour differs as much as a blurred one may
    assert roughness(found, 1 - along) > 2 * roughness(found, along)


def test_motion_blurs_black_and_white_alike() -> None:
    pixels = grey(0)
    pixels[:, 48:] = 255
    profile = developed(pixels, motion=(0.06, 0.0))[40, :, 0]
    np.testing.assert_allclose(profile[44:52] + profile[51:43:-1], 255, atol=1.5)  # symmetric about the step
    assert 100 < profile[47:49].mean() < 155


def test_motion_does_not_darken_the_border() -> None:
    np.testing.assert_array_equal(developed(grey(200), motion=(0.08, 30.0)), grey(200))


def test_contrast_spreads_about_mid_grey() -> None:
    pixels = np.concatenate([grey(level, 8) for level in (88, 128, 168)])
    for contrast in (0.5, 0.8, 1.3):
        expected = 128 + contrast * (pixels.astype(float) - 128)
        np.testing.assert_allclose(developed(pixels, contrast=contrast), expected, atol=0.51)
    assert developed(grey(250), contrast=1.35).max() == 255  # clipped, not wrapped


def test_saturation_0_is_grey_of_the_same_luma_and_more_is_more() -> None:
    pixels = texture()
    without = developed(pixels, saturation=0.0)
    assert np.ptp(without, axis=-1).max() == 0
    np.testing.assert_allclose(without[..., 0], pixels @ LUMA.astype(float), atol=0.51)
    spread = [np.ptp(developed(pixels, saturation=s), axis=-1).mean() for s in (0.0, 0.5, 1.0, 1.3)]
    assert spread[1] == pytest.approx(0.5 * spread[2], rel=0.05)
    assert spread[2] < spread[3]


@pytest.mark.parametrize("size", [(96, 96), ODD, (16, 16)])
def test_patches_hide_a_part_and_leave_the_rest(size: tuple[int, int]) -> None:
    pixels = texture(*size)
    hidden = []
    for seed in range(60):
        shares = []
        for count in (0, 1, 2):
            changed = (developed(pixels, occlusions=count, seed=seed) != pixels).any(axis=-1)
            shares.append(changed.mean())
        assert shares[0] == 0
        assert max(shares) < 0.4  # two of at most 45 % of either side
        hidden.append(shares)
    one, two = np.array(hidden)[:, 1], np.array(hidden)[:, 2]
    assert (one > 0.005).mean() > 0.85  # a patch from the border may lie mostly outside
    assert two.mean() > 1.4 * one.mean()
    assert len(set(one.tolist())) > 20


def test_jpegs_decode_to_the_picture_better_where_the_quality_is_higher() -> None:
    picture = apply_capture(texture(), FIXED_CAPTURE)
    errors, sizes = [], []
    for quality in (30, 60, 92):
        content = encode_jpeg(picture, quality)
        with Image.open(io.BytesIO(content)) as decoded:
            assert (decoded.format, decoded.size, decoded.mode) == ("JPEG", picture.size, "RGB")
            errors.append(np.abs(np.asarray(decoded).astype(float) - np.asarray(picture)).mean())
        sizes.append(len(content))
        assert encode_jpeg(picture, quality) == content
    assert errors == sorted(errors, reverse=True)
    assert sizes == sorted(sizes)
