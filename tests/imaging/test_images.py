"""Tests of image opening, conversion, boxes and crops."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deepgllim.errors import ImageError
from deepgllim.imaging.conversion import Pixels, to_array, to_image
from deepgllim.imaging.images import Box, crop, image_size, open_image, square_box

coordinate = st.floats(-500, 500)
extent = st.floats(1, 400)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


# --- opening


def test_applies_exif_orientation(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = open_image(tmp_path / "turned.jpg")
    assert upright.size == image_size(tmp_path / "turned.jpg") == (20, 40)
    assert to_array(upright)[0, 3, 16] > 200  # the upper left corner came to the upper right


def test_ignores_damaged_exif(tmp_path: Path) -> None:
    noise(8, 8).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff\xff\xff")
    assert open_image(tmp_path / "a.jpg").size == image_size(tmp_path / "a.jpg") == (8, 8)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("L", (4, 4), 100), (100, 100, 100)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("LA", (4, 4), (10, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 128)), (127, 127, 127)),
        (Image.fromarray(np.full((4, 4), 257 * 77, dtype=np.uint16)), (77, 77, 77)),
        (Image.new("RGB", (4, 4), (9, 8, 7)).quantize(4), (9, 8, 7)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_converts_to_rgb(tmp_path: Path, picture: Image.Image, expected: tuple[int, int, int]) -> None:
    picture.save(tmp_path / "a.png")
    opened = open_image(tmp_path / "a.png")
    assert opened.mode == "RGB"
    assert opened.getpixel((1, 1)) == expected


def test_converts_transparent_palette_and_cmyk(tmp_path: Path) -> None:
    Image.new("P", (4, 4), 0).save(tmp_path / "a.png", transparency=0)
    assert open_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = to_array(open_image(tmp_path / "a.jpg"))[:, 4, 4]
    assert red > 240
    assert max(green, blue) < 20


def test_takes_the_first_frame(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert open_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_size_is_read_from_the_header(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        noise(60, 40).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])  # its pixels cannot be decoded
        assert image_size(tmp_path / name) == (60, 40)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:20])
    with pytest.raises(ImageError, match=r"a\.png: the picture cannot be decoded"):
        image_size(tmp_path / "a.png")
    (tmp_path / "a.jpg").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"a\.jpg: the file is not a picture in a format that is read"):
        image_size(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"b\.png: the picture does not exist"):
        image_size(tmp_path / "b.png")


def test_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.jpg: the picture does not exist; check the path"):
        open_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match=r": is a folder; give a file"):
        open_image(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_refuses_a_forbidden_file(tmp_path: Path) -> None:
    noise(4, 4).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(ImageError, match="cannot be opened"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_refuses_a_truncated_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"cut.{suffix}"
    noise(64, 64).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ImageError, match=rf"cut\.{suffix}: the picture cannot be decoded .*truncated or damaged"):
        open_image(file)


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\xff\xd8\xff\xe0"])
def test_refuses_content_that_is_not_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.jpg: "):
        open_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("limit", [50, 99])  # more than twice the limit is Pillow's error, less its warning
def test_refuses_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    noise(12, 12).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=r"bomb\.png: the picture is too large .*MAX_IMAGE_PIXELS"):
        open_image(tmp_path / "bomb.png")


def test_refuses_floating_point_pixels(tmp_path: Path) -> None:
    Image.new("F", (4, 4), 0.5).save(tmp_path / "a.tiff")
    with pytest.raises(ImageError, match=r"a\.tiff: the picture has floating-point pixels"):
        open_image(tmp_path / "a.tiff")


def test_arrays_and_pictures_convert_both_ways() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    np.testing.assert_array_equal(to_array(to_image(pixels)), pixels)
    with pytest.raises(ValueError, match=r"uint8 of shape \(3, H, W\), not float64"):
        to_image(np.zeros((3, 4, 4)))  # type: ignore[arg-type]


# --- boxes


@given(coordinate, coordinate, extent, extent, st.floats(0.1, 10))
def test_square_box_keeps_the_centre(x: float, y: float, width: float, height: float, margin: float) -> None:
    box = (x, y, x + width, y + height)
    x0, y0, x1, y1 = square_box(box, margin)
    tolerance = 1e-9  # rounding of numbers below 10⁴
    assert x1 - x0 == pytest.approx(margin * max(width, height), abs=tolerance)
    assert y1 - y0 == pytest.approx(x1 - x0, abs=tolerance)
    assert (x0 + x1) / 2 == pytest.approx(x + width / 2, abs=tolerance)
    assert (y0 + y1) / 2 == pytest.approx(y + height / 2, abs=tolerance)


@pytest.mark.parametrize("box", [(10, 10, 10, 20), (10, 20, 30, 10)])
def test_refuses_an_empty_box(box: Box) -> None:
    with pytest.raises(ImageError, match=r"box \(10, .* is empty"):
        square_box(box, 1.3)
    with pytest.raises(ImageError, match="on a picture of 40×30 is empty"):
        crop(noise(40, 30), box, 8)


@pytest.mark.parametrize("edge", [float("nan"), float("inf"), float("-inf")])
def test_refuses_a_box_that_is_not_finite(edge: float) -> None:
    with pytest.raises(ImageError, match="is not finite"):
        crop(noise(40, 30), (0, 0, edge, 10), 8)
    with pytest.raises(ImageError, match="is not finite"):
        square_box((0, 0, 10, edge))


@pytest.mark.parametrize("box", [(40, 0, 50, 10), (-20, 0, 0, 10), (0, 30, 10, 40), (0, -9, 10, 0)])
def test_refuses_a_box_outside_the_picture(box: Box) -> None:
    with pytest.raises(ImageError, match="on a picture of 40×30 lies entirely outside"):
        crop(noise(40, 30), box, 8)


def test_refuses_an_implausible_box_and_arguments() -> None:
    with pytest.raises(ImageError, match="over 64 times larger"):
        crop(noise(40, 30), (-1e6, -1e6, 1e6, 1e6), 8)
    with pytest.raises(ValueError, match="size is 0"):
        crop(noise(40, 30), (0, 0, 9, 9), 0)
    with pytest.raises(ValueError, match="margin is -1"):
        square_box((0, 0, 9, 9), -1)


# --- crops


def test_crop_of_whole_pixels_copies_them() -> None:
    picture = noise(40, 30)
    np.testing.assert_array_equal(crop(picture, (5, 7, 21, 23), 16), to_array(picture)[:, 7:23, 5:21])


def test_crop_repeats_the_edge() -> None:
    picture = noise(40, 30)
    expected = np.pad(to_array(picture), ((0, 0), (5, 5), (0, 0)), mode="edge")
    np.testing.assert_array_equal(crop(picture, (0, -5, 40, 35), 40), expected)


def direct_crop(picture: Image.Image, box: Box, size: int) -> Pixels:
    """Crop by the definition: repeat the edge on every side, then resample."""
    far = 800  # beyond the largest box drawn
    padded = Image.fromarray(np.pad(np.asarray(picture), ((far, far), (far, far), (0, 0)), mode="edge"))
    moved = (box[0] + far, box[1] + far, box[2] + far, box[3] + far)
    return to_array(padded.resize((size, size), Image.Resampling.BILINEAR, box=moved))


@settings(max_examples=25, deadline=None)
@given(st.floats(-150, 35), st.floats(-150, 25), st.floats(2, 400), st.floats(2, 400), st.sampled_from([1, 7, 32]))
def test_crop_is_resampling_of_the_picture_with_repeated_edges(
    x: float, y: float, width: float, height: float, size: int
) -> None:
    box = (x, y, max(x, 0) + width, max(y, 0) + height)
    picture = noise(40, 30)
    difference = crop(picture, box, size).astype(int) - direct_crop(picture, box, size)
    assert np.abs(difference).max() <= 2  # Pillow holds boxes in single precision: a level of rounding, twice


def test_crop_antialiases() -> None:
    stripes = to_image(np.tile(np.array([0, 255], dtype=np.uint8), (3, 64, 32)))
    assert np.abs(crop(stripes, (8, 8, 56, 56), 6).astype(int) - 128).max() <= 1  # the mean, not a sample


def test_crop_stretches_and_takes_any_mode() -> None:
    pixels = crop(Image.new("L", (20, 40), 50), (0, 0, 20, 40), 12)
    assert pixels.shape == (3, 12, 12)
    assert pixels.dtype == np.uint8
    assert (pixels == 50).all()


def test_photograph(pointing04_dir: Path) -> None:
    picture = open_image(pointing04_dir / "Person01" / "person01146+0+0.jpg")
    assert picture.size == (384, 288)
    assert crop(picture, square_box((100, 50, 250, 230), 1.6), 224).shape == (3, 224, 224)
