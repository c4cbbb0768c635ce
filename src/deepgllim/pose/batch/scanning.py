"""Prediction for many images and videos in batches; sources that cannot be read are reported and skipped."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from PIL import Image

from deepgllim.errors import DamagedVideoWarning, DataError, DeepGLLiMError
from deepgllim.imaging.files import PictureFile
from deepgllim.imaging.images import Box, image_size, open_image
from deepgllim.pose.batch.sources import Source
from deepgllim.pose.camera import Intrinsics
from deepgllim.pose.predictor import HeadPose
from deepgllim.pose.result import Pose
from deepgllim.pose.video.following import FaceResult, FrameFaces, PoseTracker, Smoothing, smooth_frames
from deepgllim.pose.video.frames import Frame, Frames, read_frames

T = TypeVar("T")

MAX_BATCH_PIXELS = 50_000_000
"""Largest number of pixels of the images of a batch together, 150 MB; a single image may have more."""

Camera = Callable[[tuple[int, int]], Intrinsics]
"""Function from width and height of an image to the intrinsics of its camera."""

ErrorHandler = Callable[[Source, DeepGLLiMError], None]
"""Function that is called with a source that could not be read completely, and the error."""


class ScanOptions(NamedTuple):
    """Options of `scan_pictures` and `scan_video`.

    Attributes:
        boxes: boxes of the faces of every image; None for the detector.
        camera: function from the size of an image to the intrinsics; None for rotations relative to the ray through the
            face.
        batch: largest number of images or frames that are predicted together.
        smoothing: "off", "filter" or "smoother", for videos.
        max_frames: largest number of frames of each video; None for all.
    """

    boxes: Sequence[Box] | None = None
    camera: Camera | None = None
    batch: int = 16
    smoothing: Smoothing = "off"
    max_frames: int | None = None


class ScanResult(NamedTuple):
    """The faces of an image or of a frame.

    Attributes:
        source: the source.
        image: the image; None for smoothed frames, which are not stored.
        faces: the faces, in the order of the detector or of the boxes.
        frame: index of the frame, from 0 up; None for an image.
        time: seconds since the first frame; None for an image.
    """

    source: Source
    image: Image.Image | None
    faces: tuple[FaceResult, ...]
    frame: int | None = None
    time: float | None = None


class _Opened(NamedTuple, Generic[T]):
    item: T
    image: Image.Image


def scan_pictures(
    heads: HeadPose,
    sources: Iterable[Source],
    failed: ErrorHandler,
    reading: ScanOptions | None = None,
    *,
    ended: Callable[[int], object] = lambda count: None,
) -> Iterator[ScanResult]:
    """Predict the poses in images; yield the results of those that can be read, in their order.

    Args:
        heads: the predictor.
        sources: sources of images.
        failed: called with each source that cannot be read or whose box is outside the image.
        reading: options; by default `ScanOptions()`.
        ended: called after each batch with its number of images. A scan of the remaining sources has the same batches.
    """
    scanned = predict_files(heads, sources, lambda source: source.path, failed, reading, ended=ended)
    for source, image, poses in scanned:
        yield ScanResult(source, image, tuple(FaceResult(pose) for pose in poses))


def predict_files(
    heads: HeadPose,
    items: Iterable[T],
    file: Callable[[T], PictureFile],
    failed: Callable[[T, DeepGLLiMError], None],
    reading: ScanOptions | None = None,
    *,
    ended: Callable[[int], object] = lambda count: None,
    errors: tuple[type[DeepGLLiMError], ...] = (DataError,),
) -> Iterator[tuple[T, Image.Image, list[Pose]]]:
    """Predict the poses in image files in batches; yield item, image and poses of those that can be read, in order.

    Args:
        heads: the predictor.
        items: items that have an image file each.
        file: function from an item to the path or content of its file.
        failed: called with each item that fails; before the results of earlier items of its batch.
        reading: options; by default `ScanOptions()`.
        ended: called after each batch with its number of images.
        errors: errors of the prediction that are failures of an item; others are raised.
    """
    reading = reading or ScanOptions()
    for group in _opened(items, file, failed, reading.batch):
        yield from _predicted(heads, group, failed, reading, errors)
        ended(len(group))
        group.clear()  # before the next pictures are decoded


def scan_video(
    heads: HeadPose,
    source: Source,
    failed: ErrorHandler,
    reading: ScanOptions | None = None,
    *,
    opened: Callable[[Frames], object] = lambda frames: None,
    ended: Callable[[int], bool] = lambda count: False,
) -> Iterator[ScanResult]:
    """Predict the poses in the frames of a video or a camera, with tracks, filtered or smoothed.

    With the smoother the results are yielded after all frames are read, without their images.

    Args:
        heads: the predictor.
        source: a video or a camera.
        failed: called if the source cannot be read or ends early.
        reading: options; by default `ScanOptions()`.
        opened: called with the frames before the first one is read.
        ended: called after each batch with its number of frames; the scan stops if it returns True.

    Raises:
        ConfigurationError: PyAV is not installed.
    """
    reading = reading or ScanOptions()
    try:
        with read_frames(source.path, max_frames=reading.max_frames) as frames:
            opened(frames)
            tracked = _track(heads, source, frames, reading, ended)
            yield from _smooth(tracked) if reading.smoothing == "smoother" else tracked
            if frames.problem:
                rest = "what can be decoded was read: copy or record it again for the rest"
                failed(source, DataError(f"{source.name}: {frames.problem}; {rest}"))
    except DataError as error:
        failed(source, error)


def batches(items: Iterable[T], count: int, image: Callable[[T], Image.Image]) -> Iterator[list[T]]:
    """Yield lists of at most `count` items, and of at most `MAX_BATCH_PIXELS` pixels if there is more than one.

    Example:
        >>> picture = Image.new("RGB", (2, 2))
        >>> [len(batch) for batch in batches([picture] * 5, 2, lambda item: item)]
        [2, 2, 1]
    """
    waiting: list[T] = []
    pixels = 0
    for item in items:
        size = image(item).width * image(item).height
        if waiting and pixels + size > MAX_BATCH_PIXELS:
            yield waiting
            waiting, pixels = [], 0
        waiting.append(item)
        pixels += size
        if len(waiting) == count:
            yield waiting
            waiting, pixels = [], 0
    if waiting:
        yield waiting


def _opened(
    items: Iterable[T], file: Callable[[T], PictureFile], failed: Callable[[T, DeepGLLiMError], None], count: int
) -> Iterator[list[_Opened[T]]]:
    """Yield batches as `batches` does, but compare the size of the next image before decoding it."""
    waiting: list[_Opened[T]] = []
    pixels = 0
    for item in items:
        try:
            width, height = image_size(file(item))
        except DataError as error:
            failed(item, error)
            continue
        if waiting and pixels + width * height > MAX_BATCH_PIXELS:
            yield waiting
            waiting, pixels = [], 0
        try:
            waiting.append(_Opened(item, open_image(file(item))))
        except DataError as error:
            failed(item, error)
            continue
        pixels += width * height
        if len(waiting) == count:
            yield waiting
            waiting, pixels = [], 0
    if waiting:
        yield waiting


def _predicted(
    heads: HeadPose,
    group: list[_Opened[T]],
    failed: Callable[[T, DeepGLLiMError], None],
    reading: ScanOptions,
    errors: tuple[type[DeepGLLiMError], ...],
) -> Iterator[tuple[T, Image.Image, list[Pose]]]:
    """Yield the poses of a batch; if an image causes an error, those of each image separately."""
    try:
        found = _poses(heads, [image for _, image in group], reading)
    except errors as error:
        if len(group) == 1:
            failed(group[0].item, error)
            return
        for picture in group:
            yield from _predicted(heads, [picture], failed, reading, errors)
        return
    for (item, image), poses in zip(group, found, strict=True):
        yield item, image, poses


def _poses(heads: HeadPose, images: Sequence[Image.Image], reading: ScanOptions) -> list[list[Pose]]:
    """Return the poses in each image, relative to the axes of the camera if its intrinsics are given."""
    boxes = None if reading.boxes is None else [reading.boxes] * len(images)
    found = heads.predict_batch(images, boxes)
    if reading.camera is None:
        return found
    cameras = [reading.camera(image.size) for image in images]
    pairs = zip(cameras, found, strict=True)
    return [
        [pose.rotate(camera.ray_rotation(pose.box)) if pose.box else pose for pose in poses] for camera, poses in pairs
    ]


def _track(
    heads: HeadPose, source: Source, frames: Frames, reading: ScanOptions, ended: Callable[[int], bool]
) -> Iterator[ScanResult]:
    """Yield the frames with tracks, filtered if requested."""
    tracker = PoseTracker(filtered=reading.smoothing == "filter")
    for group in batches(decodable_frames(frames), reading.batch, lambda frame: frame.image):
        found = _poses(heads, [frame.image for frame in group], reading)
        for frame, poses in zip(group, found, strict=True):
            yield ScanResult(
                source, frame.image, tracker.update(frame.time, poses, frame.image.size), frame.index, frame.time
            )
        if ended(len(group)):
            return


def _smooth(tracked: Iterable[ScanResult]) -> Iterator[ScanResult]:
    """Yield all frames smoothed, without their images."""
    source, frames = None, []
    for seen in tracked:
        source = seen.source
        frames.append(FrameFaces(seen.frame or 0, seen.time or 0.0, seen.faces))
    if source is not None:
        yield from (ScanResult(source, None, faces, number, time) for number, time, faces in smooth_frames(frames))


def decodable_frames(frames: Frames) -> Iterator[Frame]:
    """Yield the frames without the warning about damaged ones, which `Frames.problem` describes."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedVideoWarning)
            frame = next(frames, None)
        if frame is None:
            return
        yield frame
