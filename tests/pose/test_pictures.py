"""Pictures in every form that users hold them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from deepgllim.errors import ImageError
from deepgllim.pose.pictures import as_picture

COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]], dtype=np.uint8)


def test_every_form_of_a_picture_is_the_same_picture(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    opaque = np.concatenate([COLOURS, np.full((2, 3, 1), 255, dtype=np.uint8)], axis=2)
    forms: list[Any] = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Image.fromarray(COLOURS),
        COLOURS,
        COLOURS[:, ::-1][:, ::-1],  # of negative strides
        opaque,
        COLOURS.astype(np.uint16) * 257,
        opaque.astype(np.uint16) * 257,
    ]
    for form in forms:
        picture = as_picture(form)
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), COLOURS)


@pytest.mark.parametrize("grey", [np.full((4, 5), 77, dtype=np.uint8), np.full((4, 5), 77 * 257, dtype=np.uint16)])
def test_grey_becomes_colour(grey: np.ndarray[Any, Any]) -> None:
    picture = as_picture(grey)
    assert (picture.size, picture.getpixel((0, 0))) == ((5, 4), (77, 77, 77))


def test_a_pillow_picture_is_turned_upright_as_a_file_is(tmp_path: Path) -> None:
    lying = Image.fromarray(COLOURS)
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(np.asarray(as_picture(opened)), np.asarray(as_picture(tmp_path / "a.png")))
        assert as_picture(opened).size == (2, 3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 5, 3)),
        np.zeros((4, 5, 3), dtype=np.int64),
        np.zeros((4, 5), dtype=bool),
        np.zeros((3, 4, 5), dtype=np.uint8),
        np.zeros((4, 5, 2), dtype=np.uint8),
        np.zeros((1, 4, 5, 3), dtype=np.uint8),
        np.zeros((0, 5, 3), dtype=np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_other_kinds_are_refused(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ImageError, match=r"is no picture: give H × W, H × W × 3 \(RGB\)"):
        as_picture(array)


def test_what_cannot_be_read_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        as_picture(tmp_path / "none.jpg")
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.bmp")
    whole = (tmp_path / "a.bmp").read_bytes()
    (tmp_path / "half.bmp").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "half.bmp") as half, pytest.raises(ImageError, match="truncated or damaged"):
        as_picture(half)


def test_a_program_that_pillow_opened_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with Image.open(tmp_path / "a.jpg") as opened, pytest.raises(ImageError, match="opened as EPS, which is a program"):
        as_picture(opened)
