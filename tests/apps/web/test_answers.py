"""Responses for pictures: equal to the results of the library for all formats, with a limit of pixels."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from deepgllim.apps.http.answers import count_pixels, face_record
from deepgllim.apps.web.answers import ResponseOptions, draw_annotated, predict_response
from deepgllim.errors import ImageError
from deepgllim.geometry.conventions import CONVENTIONS
from deepgllim.pose.network import PoseNetwork
from deepgllim.pose.predictor import HeadPose
from deepgllim.pose.result import Pose
from tests.apps.http.served import HOSTILE, POSE, ConstantPredictor, picture, png_header, saved
from tests.pose.tiny import tiny_network


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> HeadPose:
    return HeadPose(PoseNetwork(tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")), detector=None)


def heads() -> Image.Image:
    """Return a picture with gradients, which is not symmetric."""
    rows, columns = np.mgrid[:48, :64]
    return Image.fromarray(np.stack([100 + 2 * rows, 4 * columns, 255 - 4 * rows], axis=-1).astype(np.uint8))


def transparent() -> Image.Image:
    pixels = np.asarray(heads().convert("RGBA")).copy()
    pixels[:, :20, 3] = 0
    return Image.fromarray(pixels)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(heads(), "jpeg", exif=exif)


GREY_16 = Image.fromarray(np.asarray(heads().convert("L")).astype(np.uint16) * 257)
KINDS: dict[str, bytes] = {
    "rgb.png": saved(heads()),
    "grey.jpg": saved(heads().convert("L"), "jpeg"),
    "grey16.png": saved(GREY_16),
    "grey16.tif": saved(GREY_16, "tiff"),
    "rgba.png": saved(transparent()),
    "la.png": saved(transparent().convert("LA")),
    "palette.png": saved(heads().convert("P")),
    "palette_alpha.png": saved(transparent().quantize(16), transparency=3),
    "cmyk.jpg": saved(heads().convert("CMYK"), "jpeg"),
    "bilevel.png": saved(heads().convert("1")),
    "first.gif": saved(heads().convert("P"), "gif", save_all=True, append_images=[Image.new("P", (64, 48))]),
    "a.webp": saved(transparent(), "webp"),
    "a.bmp": saved(heads(), "bmp"),
    "turned.jpg": turned(),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_response_equals_the_prediction_of_the_library(name: str, predictor: HeadPose, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(KINDS[name])
    (expected,) = predictor.predict(path)
    response = predict_response(predictor, path.read_bytes())
    (found,) = response["faces"]
    assert {key: found[key] for key in expected.to_json()} == expected.to_json(0.9)
    assert (response["width"], response["height"]) == ((48, 64) if name == "turned.jpg" else (64, 48))


def test_a_face_record_can_be_read_back() -> None:
    record = face_record(POSE, conventions=True)
    again = Pose.from_json(record)
    assert np.array_equal(again.rotation, POSE.rotation)
    assert record["description"] == POSE.describe(0.9)
    assert [row["name"] for row in record["conventions"]] == list(CONVENTIONS)
    angles = {row["name"]: row["angles"] for row in record["conventions"]}
    assert angles["openvino"] == pytest.approx({"pitch": -12, "yaw": 23, "roll": 4})
    assert list(angles["hopenet"].values()) == pytest.approx(POSE.angles_in("hopenet").tolist())  # with its zero
    assert "conventions" not in face_record(POSE)


def test_the_response_includes_the_annotated_picture_on_request() -> None:
    response = predict_response(ConstantPredictor(POSE), picture(size=(100, 120)), ResponseOptions(drawn=True))
    head, _, data = response["drawn"].partition(",")
    assert head == "data:image/jpeg;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert shown.size == (533, 640)
    assert "drawn" not in predict_response(ConstantPredictor(POSE), picture())


@pytest.mark.parametrize("side", [100, 800, 4000])
def test_axes_lie_on_the_face_at_any_scale(side: int) -> None:
    frontal = Pose(np.eye(3), np.eye(3), box=(0.2 * side, 0.2 * side, 0.8 * side, 0.8 * side))
    shown = draw_annotated(Image.new("RGB", (side, side), "white"), [frontal])
    assert shown.getpixel((shown.width // 2, round(0.7 * shown.height))) == (20, 180, 40)  # the y axis points down
    assert 640 <= max(shown.size) <= 1200


def test_a_narrow_picture_can_be_annotated() -> None:
    assert draw_annotated(Image.new("RGB", (1, 20_000)), [POSE]).size == (1, 1200)


def test_the_response_without_a_face_has_an_empty_list() -> None:
    assert predict_response(ConstantPredictor(), picture())["faces"] == []


def test_pixels_are_counted_before_any_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.new("1", (9000, 9000)))
    assert len(content) < 20_000

    def refuse(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    with pytest.raises(ImageError, match=r"81 megapixels, and up to 40 are taken; scale"):
        count_pixels(content, 40_000_000)
    with pytest.raises(ImageError, match=r"the limit is 40 megapixels"):
        count_pixels(png_header(100_000, 100_000), 40_000_000)


def test_pixels_up_to_the_limit_are_accepted() -> None:
    assert count_pixels(picture(size=(60, 40)), 2400) == 2400
    with pytest.raises(ImageError, match=r"0\.0024 megapixels, and up to 0\.002399"):
        count_pixels(picture(size=(60, 40)), 2399)


@pytest.mark.parametrize("name", HOSTILE)
def test_invalid_files_give_an_error_of_one_line(name: str) -> None:
    def both() -> None:
        count_pixels(HOSTILE[name], 40_000_000)
        predict_response(ConstantPredictor(POSE), HOSTILE[name])

    with pytest.raises(ImageError) as caught:
        both()
    assert "\n" not in str(caught.value)
    assert "/" not in str(caught.value).replace("and/or", "")
    assert "0x" not in str(caught.value)
