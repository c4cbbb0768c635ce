"""Tests of scanning images and videos: order, batches, errors, frames with their tracks."""

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepgllim.errors import DeepGLLiMError
from deepgllim.imaging.images import Box, open_image
from deepgllim.pose.batch import scanning
from deepgllim.pose.batch.scanning import ScanOptions, ScanResult, batches, scan_pictures, scan_video
from deepgllim.pose.batch.sources import Source, find_sources
from deepgllim.pose.camera import Intrinsics
from deepgllim.pose.detection import Face
from deepgllim.pose.predictor import HeadPose
from deepgllim.pose.video.frames import Frame
from tests.pose.tiny import tiny_network

SIZE = (60, 40)


class OneFace:
    """Detects a face in the middle, and none in a black image; counts its images."""

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, image: Image.Image) -> list[Face]:
        self.seen += 1
        return [Face((10.0, 5.0, 40.0, 35.0), 0.9)] if image.getextrema() != ((0, 0),) * 3 else []


@pytest.fixture
def heads(tmp_path: Path) -> HeadPose:
    """Return a predictor whose pan is the red level less 128."""
    (tmp_path / "model").mkdir()
    return HeadPose(tiny_network(tmp_path / "model" / "tiny.onnx"), OneFace())


class Failures(list[tuple[str, str]]):
    """Collects failed sources with their errors."""

    def __call__(self, source: Source, error: DeepGLLiMError) -> None:
        self.append((Path(source.path).name, str(error)))


@pytest.fixture
def photos(tmp_path: Path) -> list[Source]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, red in (("a", 138), ("b", 118), ("c", 0), ("d", 148)):
        Image.new("RGB", SIZE, (red, 0, 0)).save(folder / f"{name}.png")
    (folder / "bb.png").write_text("no picture")
    return list(find_sources([str(folder)]).found)


def pans(seen: ScanResult) -> list[int]:
    return [round(face.pose.pan) for face in seen.faces]


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_images_keep_their_order_and_broken_ones_are_reported(
    heads: HeadPose, photos: list[Source], batch: int
) -> None:
    failed = Failures()
    found = list(scan_pictures(heads, photos, failed, ScanOptions(batch=batch)))
    assert [Path(seen.source.path).name for seen in found] == ["a.png", "b.png", "c.png", "d.png"]
    assert [pans(seen) for seen in found] == [[10], [-10], [], [20]]
    assert [name for name, _ in failed] == ["bb.png"]
    assert "not a picture" in failed[0][1]


def test_pictures_come_before_all_are_read(heads: HeadPose, photos: list[Source]) -> None:
    def endless() -> Iterator[Source]:
        while True:
            yield photos[0]

    assert pans(next(scan_pictures(heads, endless(), Failures(), ScanOptions(batch=2)))) == [10]


def test_an_error_of_one_image_does_not_affect_the_others(heads: HeadPose, photos: list[Source]) -> None:
    Image.new("RGB", (5, 5), "red").save(photos[1].path)
    failed = Failures()
    found = list(scan_pictures(heads, photos[:2] + photos[4:], failed, ScanOptions(boxes=[(20.0, 5.0, 50.0, 35.0)])))
    assert [Path(seen.source.path).name for seen in found] == ["a.png", "d.png"]
    assert failed[0][0] == Path(photos[1].path).name
    assert "outside the picture of 5 x 5" in failed[0][1]


def test_a_camera_rotates_each_face_by_its_ray(heads: HeadPose, photos: list[Source]) -> None:
    def camera(size: tuple[int, int]) -> Intrinsics:
        return Intrinsics.from_field_of_view(90, *size)

    boxes: Sequence[Box] = [(15.0, 5.0, 45.0, 35.0), (45.0, 5.0, 75.0, 35.0)]
    (seen,) = scan_pictures(heads, photos[:1], Failures(), ScanOptions(boxes=boxes, camera=camera))
    centre, edge = (face.pose.pan for face in seen.faces)
    assert centre == pytest.approx(10, abs=0.01)
    assert edge == pytest.approx(55, abs=0.01)


def test_batches_hold_no_more_pixels_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "MAX_BATCH_PIXELS", 250)
    pictures = [Image.new("L", (10, side)) for side in (10, 10, 10, 50, 1)]
    sizes = [[image.height for image in group] for group in batches(pictures, 16, lambda image: image)]
    assert sizes == [[10, 10], [10], [50], [1]]


def test_pictures_are_let_go_before_others_are_decoded(
    heads: HeadPose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most the batch is in memory, or the last yielded image and the one that is decoded."""
    monkeypatch.setattr(scanning, "MAX_BATCH_PIXELS", 3 * SIZE[0] * SIZE[1])
    sides = [1, 1, 3, 1, 2, 2, 1, 3, 3, 1]
    for number, side in enumerate(sides):
        Image.new("RGB", (SIZE[0], side * SIZE[1]), (138, 0, 0)).save(tmp_path / f"{number}.png")
    alive: list[weakref.ref[Image.Image]] = []
    most: list[int] = []

    def opened(path: str) -> Image.Image:
        image = open_image(path)
        alive.append(weakref.ref(image))
        most.append(sum(known.height for ref in alive if (known := ref()) is not None) // SIZE[1])
        return image

    monkeypatch.setattr(scanning, "open_image", opened)
    count = 0
    for _ in scan_pictures(heads, find_sources([str(tmp_path / "*.png")]).found, Failures()):
        count += 1
    assert count == len(sides)
    assert max(most) <= 3 + 3


class FakeFrames:
    """Write frames of given red levels, 25 a second."""

    def __init__(self, reds: Sequence[int], problem: str | None = None) -> None:
        self.problem, self.frame_rate, self.size, self.n_frames, self.closed = problem, 25.0, SIZE, len(reds), False
        self._frames = (Frame(n, n / 25, Image.new("RGB", SIZE, (red, 0, 0))) for n, red in enumerate(reds))

    def __iter__(self) -> "FakeFrames":
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def __enter__(self) -> "FakeFrames":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


WALK = find_sources(["walk.mp4"]).found[0]
REDS = (138, 140, 0, 136, 139)


@pytest.fixture
def video(monkeypatch: pytest.MonkeyPatch) -> FakeFrames:
    frames = FakeFrames(REDS)
    monkeypatch.setattr(scanning, "read_frames", lambda source, max_frames: frames)
    return frames


@pytest.mark.parametrize("smoothing", ["off", "filter", "smoother"])
@pytest.mark.parametrize("batch", [1, 2, 16])
def test_frames_have_tracks_and_raw_poses(heads: HeadPose, video: FakeFrames, smoothing: Any, batch: int) -> None:
    opened: list[Any] = []
    failed = Failures()
    reading = ScanOptions(batch=batch, smoothing=smoothing)
    found = list(scan_video(heads, WALK, failed, reading, opened=opened.append))
    assert [seen.frame for seen in found] == list(range(5))
    assert [seen.time for seen in found] == [0.0, 0.04, 0.08, 0.12, 0.16]
    assert [[face.track for face in seen.faces] for seen in found] == [[0], [0], [], [0], [0]]
    raw = [[round((face.raw or face.pose).pan) for face in seen.faces] for seen in found]
    assert raw == [[10], [12], [], [8], [11]]
    assert all((face.raw is None) == (smoothing == "off") for seen in found for face in seen.faces)
    assert all((seen.image is None) == (smoothing == "smoother") for seen in found)
    assert opened == [video]
    assert video.closed
    assert not failed


def test_a_video_can_be_stopped(heads: HeadPose, video: FakeFrames) -> None:
    counts: list[int] = []

    def ended(count: int) -> bool:
        counts.append(count)
        return len(counts) == 2

    found = list(scan_video(heads, WALK, Failures(), ScanOptions(batch=2, smoothing="filter"), ended=ended))
    assert (len(found), counts, video.closed) == (4, [2, 2], True)


def test_a_damaged_video_yields_its_frames_and_is_reported(heads: HeadPose, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = FakeFrames(REDS, problem="it ends after 0.2 of 9.0 s")
    monkeypatch.setattr(scanning, "read_frames", lambda source, max_frames: frames)
    failed = Failures()
    assert len(list(scan_video(heads, WALK, failed))) == 5
    assert failed == [
        (
            "walk.mp4",
            "walk.mp4: it ends after 0.2 of 9.0 s; what can be decoded was read: copy or record it again for the rest",
        )
    ]


def test_people_are_followed_through_a_change_of_size(heads: HeadPose, monkeypatch: pytest.MonkeyPatch) -> None:
    class Half:
        def detect(self, image: Image.Image) -> list[Face]:
            scale = image.width / SIZE[0]
            return [Face((scale * 10.0, scale * 5.0, scale * 40.0, scale * 35.0), 0.9)]

    frames = FakeFrames(REDS)
    images = [Image.new("RGB", size, (138, 0, 0)) for size in (SIZE, SIZE, (30, 20), (30, 20), (240, 160))]
    frames._frames = (Frame(n, n / 25, image) for n, image in enumerate(images))
    monkeypatch.setattr(scanning, "read_frames", lambda source, max_frames: frames)
    heads.detector = Half()
    found = list(scan_video(heads, WALK, Failures(), ScanOptions(smoothing="filter")))
    assert [seen.faces[0].track for seen in found] == [0] * 5
    assert [round(seen.faces[0].pose.box[0]) for seen in found if seen.faces[0].pose.box] == [10, 10, 5, 5, 40]


def test_a_missing_video_is_reported(heads: HeadPose) -> None:
    pytest.importorskip("av")
    failed = Failures()
    assert list(scan_video(heads, WALK, failed)) == []
    assert "does not exist" in failed[0][1]


def test_a_cut_video_warns_of_nothing(heads: HeadPose, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from deepgllim.pose.video.frames import VideoWriter

    with VideoWriter(tmp_path / "a.mp4") as writer:
        for n in range(60):
            writer.write(Image.effect_noise((160, 120), n), n / 25)
    cut = tmp_path / "cut.mp4"
    content = (tmp_path / "a.mp4").read_bytes()
    cut.write_bytes(content[: int(len(content) * 0.6)])
    failed = Failures()
    found = list(scan_video(heads, find_sources([str(cut)]).found[0], failed))
    assert 0 < len(found) < 60
    assert [name for name, _ in failed] == ["cut.mp4"]
    assert np.isfinite([face.pose.pan for seen in found for face in seen.faces]).all()
