"""Tests of both detectors on rendered heads, photographs and images without a face, and of the box maps."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deepgllim.data import load_data
from deepgllim.errors import ConfigurationError, ImageError
from deepgllim.imaging.images import crop_face, open_image
from deepgllim.pose.detection.boxes import BoxMap, Candidates, intersection_over_union
from deepgllim.pose.detection.faces import (
    BOX_MAPS,
    DETECTORS,
    BlazeFace,
    FaceDetector,
    SearchingDetector,
    make_detector,
)
from deepgllim.pose.detection.search import Face, Scales, Search, detect_at_scale
from tests.pose.conftest import Rendered

Pixels = npt.NDArray[np.uint8]


def made(name: str, **options: object) -> FaceDetector:
    """Make a detector with one thread, or skip the test if its package is not installed."""
    try:
        return make_detector(name, threads=1, **options)
    except ConfigurationError as error:
        if "not installed" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=list(DETECTORS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def detector(name: str) -> FaceDetector:
    return made(name, boxes="rendered")


def overlap(face: Face, box: object) -> float:
    return float(intersection_over_union([face.box], np.array(box)[None])[0, 0])


# --- what is found


def test_finds_rendered_heads(detector: FaceDetector, rendered: list[Rendered]) -> None:
    for image, box in rendered:
        (face,) = detector.detect(image)
        assert overlap(face, box) > 0.5
        assert 0.5 <= face.score <= 1
        x0, y0, x1, y1 = face.box
        assert x1 - x0 == pytest.approx(y1 - y0)


def test_finds_several_faces_best_first(detector: FaceDetector, rendered: list[Rendered]) -> None:
    canvas = Image.new("RGB", (300, 240), "grey")
    places = [(10, 20), (200, 140)]
    for (image, _), place in zip(rendered, places, strict=False):
        canvas.paste(image, place)
    found = detector.detect(canvas)
    assert len(found) == 2
    assert found[0].score >= found[1].score
    for (_, box), (x, y) in zip(rendered, places, strict=False):
        assert max(overlap(face, np.add(box, [x, y, x, y])) for face in found) > 0.5


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (1, 1)),
        Image.new("RGB", (1, 300), "white"),
        Image.new("RGB", (900, 2)),
        Image.new("RGB", (0, 5)),
        Image.new("RGB", (120, 90), "grey"),
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)),
    ],
    ids=["1 × 1", "1 × 300", "900 × 2", "0 × 5", "blank", "noise"],
)
def test_finds_nothing_where_there_is_nothing(detector: FaceDetector, image: Image.Image) -> None:
    assert detector.detect(image) == []


def test_finds_a_face_that_the_border_cuts(detector: FaceDetector, rendered: list[Rendered]) -> None:
    """A quarter of the face is outside the image; the box may extend there and can be cropped."""
    image, (x0, _, x1, _) = rendered[0]
    cut = image.crop((round(x0 + (x1 - x0) / 4), 0, *image.size)).resize((150, 220), Image.Resampling.BICUBIC)
    found = detector.detect(cut)
    assert found
    assert crop_face(cut, found[0].box, margin=1.4, size=32).shape == (3, 32, 32)


def test_reads_pictures_of_any_mode(detector: FaceDetector, rendered: list[Rendered]) -> None:
    image, box = rendered[0]
    whole = detector.detect(image)
    assert detector.detect(image.convert("RGBA")) == whole
    assert overlap(detector.detect(image.convert("L"))[0], box) > 0.5
    with pytest.raises(ImageError, match="floating-point"):
        detector.detect(image.convert("F"))


def test_does_not_change_the_picture(detector: FaceDetector, rendered: list[Rendered]) -> None:
    before = rendered[0].image.tobytes()
    detector.detect(rendered[0].image)
    assert rendered[0].image.tobytes() == before


def test_large_pictures_of_small_and_of_large_faces(name: str, rendered: list[Rendered]) -> None:
    """In 1,280 pixels a face of 60 pixels is detected, and one of 900 pixels once."""
    detector = made(name, boxes="rendered")
    image, box = rendered[0]
    canvas = Image.new("RGB", (1280, 720), "grey")
    canvas.paste(image.resize((120, 120), Image.Resampling.BICUBIC), (900, 500))
    (small,) = detector.detect(canvas)
    assert overlap(small, np.array(box) * 1.5 + [900, 500, 900, 500]) > 0.5
    (large,) = detector.detect(image.resize((1280, 1280), Image.Resampling.BICUBIC))
    assert overlap(large, np.array(box) * 16) > 0.5


def test_a_higher_threshold_keeps_the_best(name: str, rendered: list[Rendered]) -> None:
    score = made(name).detect(rendered[0].image)[0].score
    assert made(name, threshold=score - 0.01).detect(rendered[0].image)
    assert made(name, threshold=min(1, score + 0.01)).detect(rendered[0].image) == []


# --- photographs


@pytest.mark.parametrize("boxes", list(BOX_MAPS["blazeface"]))
def test_boxes_on_photographs_are_those_annotated(name: str, boxes: str, pointing04_dir: object) -> None:
    """With the map for these data the overlap with the annotated boxes is about 0.8; with the other map it is less."""
    detector = made(name, boxes=boxes)
    table = load_data(f"pointing04:{pointing04_dir}").frame.query("abs(pan) <= 60 and abs(tilt) <= 30")
    found, overlaps = 0, []
    for row in table.iloc[::150].itertuples():
        seen = detector.detect(open_image(str(row.path)))
        found += len(seen)
        overlaps += [overlap(face, [row.x0, row.y0, row.x1, row.y1]) for face in seen]
    assert found == len(table.iloc[::150])
    assert (np.median(overlaps) > 0.72) == (boxes == "pointing04")


# --- the search, with a network that knows the answer


def finder(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Callable[[Pixels], Candidates]:
    """Returns the same relative boxes for every image."""

    def find(pixels: Pixels) -> Candidates:
        rows = np.array(boxes).reshape(-1, 4) * np.tile([pixels.shape[1], pixels.shape[0]], 2)
        centres = (rows[:, :2] + rows[:, 2:]) / 2
        return Candidates(rows, np.repeat(centres[:, None], 5, axis=1), np.full(len(rows), score))

    return find


PLAIN = BoxMap(side=1, pull=0, down=0)


@pytest.mark.parametrize("size", [(100, 100), (3000, 2000), (501, 7), (64, 4000)])
def test_boxes_are_in_pixels_of_the_whole_picture(size: tuple[int, int]) -> None:
    seen = detect_at_scale(finder((0.25, 0.5, 0.75, 1.0)), Image.new("RGB", size), side=64)
    np.testing.assert_allclose(seen.boxes, [[size[0] / 4, size[1] / 2, 0.75 * size[0], size[1]]])


@pytest.mark.parametrize(
    ("scales", "longest", "expected"),
    [
        (Scales(480, ratio=4), 480, [480]),
        (Scales(480, ratio=4), 500, [500, 125]),
        (Scales(48, ratio=3, least=48), 384, [384, 128, 48]),
        (Scales(48, ratio=3, least=48), 49, [49, 48]),
        (Scales(48, ratio=3), 49, [49, 16]),
        (Scales(48, ratio=3), 1, [1]),
    ],
)
def test_scales_end_where_the_image_is_not_larger_than_a_face(
    scales: Scales, longest: int, expected: list[int]
) -> None:
    assert scales.sides(longest) == expected


def test_an_image_is_scaled_down_to_the_longest_side_first() -> None:
    seen: list[tuple[int, ...]] = []

    def find(pixels: Pixels) -> Candidates:
        seen.append(pixels.shape)
        return finder()(pixels)

    Search(find, PLAIN, 0.5, 640)(Image.new("RGB", (1280, 640)))
    assert seen == [(320, 640, 3), (80, 160, 3)]


def test_two_looks_at_one_face_are_one_face() -> None:
    search = Search(finder((0.25, 0.25, 0.5, 0.5)), PLAIN, 0.5, 640)
    (face,) = search(Image.new("RGB", (1000, 1000)))
    assert face == Face((250, 250, 500, 500), 0.9)


def test_boxes_beside_the_picture_and_specks_are_dropped() -> None:
    beside = (1.2, 0.2, 1.6, 0.6)
    speck = (0.5, 0.5, 0.501, 0.501)
    partly = (0.8, 0.2, 1.2, 0.6)
    found = Search(finder(beside, speck, partly), PLAIN, 0.5, 640)(Image.new("RGB", (100, 100)))
    assert [face.box for face in found] == [pytest.approx((80, 20, 120, 60))]


# --- choice


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'mtcnn'.*blazeface, centerface"):
        make_detector("mtcnn")


def test_options_out_of_their_range_are_refused(name: str) -> None:
    made(name)  # skips where the package is absent
    for options, cause in (
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"longest_side": 2000}, "longest_side is 2000; .* 32 to 960"),
        ({"boxes": "haar"}, "unknown boxes 'haar'; the known ones are pointing04, rendered"),
    ):
        with pytest.raises(ConfigurationError, match=cause):
            make_detector(name, **options)


def test_the_default_needs_no_other_package() -> None:
    assert type(make_detector()) is BlazeFace


def test_every_detector_has_its_maps() -> None:
    assert list(DETECTORS) == list(BOX_MAPS)
    assert len({tuple(maps) for maps in BOX_MAPS.values()}) == 1


def test_several_images_are_searched_as_one_after_another(name: str, rendered: list[Rendered]) -> None:
    detector = made(name)
    assert isinstance(detector, SearchingDetector)
    images = [image for image, _ in rendered[:3]] + [Image.new("RGB", (90, 50)), Image.new("L", (1, 1))]
    together = detector.detect_batch(images)
    for found, image in zip(together, images, strict=True):
        alone = detector.detect(image)
        assert len(found) == len(alone)
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_allclose(one.box, other.box, rtol=1e-4, atol=1e-2)
            assert one.score == pytest.approx(other.score, rel=1e-4)
    assert detector.detect_batch([]) == []
