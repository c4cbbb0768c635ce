"""From sources to poses, a batch of pictures or frames at a time; what cannot be read is told and passed over."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from PIL import Image

from deepgllim.errors import DamagedVideoWarning, DataError, DeepGLLiMError
from deepgllim.imaging.images import Box, image_size, open_image
from deepgllim.pose.batch.sources import Source
from deepgllim.pose.camera import Intrinsics
from deepgllim.pose.predictor import HeadPose
from deepgllim.pose.result import Pose
from deepgllim.pose.video.following import FaceResult, FrameFaces, PoseTracker, Smoothing, smooth_frames
from deepgllim.pose.video.frames import Frame, Frames, read_frames

T = TypeVar("T")

MOST_PIXELS = 50_000_000
"""Of the pictures of a batch, together, unless it is a single one: 150 MB."""

Camera = Callable[[tuple[int, int]], Intrinsics]
"""The intrinsics of the camera of a picture, from its width and height."""

ErrorHandler = Callable[[Source, DeepGLLiMError], None]
"""What is told of a source that could not be read, or not to its end."""


class ScanOptions(NamedTuple):
    """How sources are read.

    Attributes:
        boxes: of the faces of every picture; found when None.
        camera: that took them; faces are against the ray through them when None.
        batch: pictures or frames that go through the network together, at most.
        smoothing: of videos; see `following`.
        max_frames: of each video.
    """

    boxes: Sequence[Box] | None = None
    camera: Camera | None = None
    batch: int = 16
    smoothing: Smoothing = "off"
    max_frames: int | None = None


class ScanResult(NamedTuple):
    """A picture or a frame with its faces.

    Attributes:
        source: where it is from.
        image: itself; None for a frame that would have to be read again.
        faces: in the detector's order, or that of the boxes.
        frame: its number, from 0 up; None for a picture.
        time: seconds since the first frame; None for a picture.
    """

    source: Source
    image: Image.Image | None
    faces: tuple[FaceResult, ...]
    frame: int | None = None
    time: float | None = None


class _Picture(NamedTuple):
    source: Source
    image: Image.Image


def scan_pictures(
    heads: HeadPose,
    sources: Iterable[Source],
    failed: ErrorHandler,
    reading: ScanOptions | None = None,
    *,
    ended: Callable[[int], object] = lambda count: None,
) -> Iterator[ScanResult]:
    """The pictures that can be read, in their order.

    Args:
        heads: the predictor.
        sources: pictures.
        failed: called with each that cannot be read, or whose box lies beside it.
        reading: how.
        ended: told after each batch how many pictures it had. A scan that begins there has the same batches.
    """
    reading = reading or ScanOptions()
    for group in _opened(sources, failed, reading.batch):
        yield from _predicted(heads, group, failed, reading)
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
    """The frames of a video or a camera, with tracks, filtered or smoothed as `reading.smoothing` says.

    With the smoother the frames come when all are read, and without their images.

    Args:
        heads, failed, reading: as in `scan_pictures`; `failed` is called for what ends early, too.
        source: a video or a camera.
        opened: called with the frames before the first is read.
        ended: told after each batch how many frames it had, and asked whether it shall be the last.

    Raises:
        ConfigurationError: PyAV is not installed.
    """
    reading = reading or ScanOptions()
    try:
        with read_frames(source.path, max_frames=reading.max_frames) as frames:
            opened(frames)
            following = _followed(heads, source, frames, reading, ended)
            yield from _smoothed(following) if reading.smoothing == "smoother" else following
            if frames.problem:
                rest = "what can be decoded was read: copy or record it again for the rest"
                failed(source, DataError(f"{source.name}: {frames.problem}; {rest}"))
    except DataError as error:
        failed(source, error)


def batches(items: Iterable[T], count: int, image: Callable[[T], Image.Image]) -> Iterator[list[T]]:
    """Items in lists of at most `count`, and of `MOST_PIXELS` pixels where they are more than one.

    Example:
        >>> picture = Image.new("RGB", (2, 2))
        >>> [len(batch) for batch in batches([picture] * 5, 2, lambda item: item)]
        [2, 2, 1]
    """
    waiting: list[T] = []
    pixels = 0
    for item in items:
        size = image(item).width * image(item).height
        if waiting and pixels + size > MOST_PIXELS:
            yield waiting
            waiting, pixels = [], 0
        waiting.append(item)
        pixels += size
        if len(waiting) == count:
            yield waiting
            waiting, pixels = [], 0
    if waiting:
        yield waiting


def _opened(sources: Iterable[Source], failed: ErrorHandler, count: int) -> Iterator[list[_Picture]]:
    """Pictures in batches as those of `batches`, whose size is known before the next picture is decoded."""
    waiting: list[_Picture] = []
    pixels = 0
    for source in sources:
        try:
            width, height = image_size(source.path)
        except DataError as error:
            failed(source, error)
            continue
        if waiting and pixels + width * height > MOST_PIXELS:
            yield waiting
            waiting, pixels = [], 0
        try:
            waiting.append(_Picture(source, open_image(source.path)))
        except DataError as error:
            failed(source, error)
            continue
        pixels += width * height
        if len(waiting) == count:
            yield waiting
            waiting, pixels = [], 0
    if waiting:
        yield waiting


def _predicted(
    heads: HeadPose, group: list[_Picture], failed: ErrorHandler, reading: ScanOptions
) -> Iterator[ScanResult]:
    """The faces of a batch; of each picture by itself where one of them spoils the batch."""
    try:
        found = _poses(heads, [image for _, image in group], reading)
    except DataError as error:
        if len(group) == 1:
            failed(group[0].source, error)
            return
        for picture in group:
            yield from _predicted(heads, [picture], failed, reading)
        return
    for (source, image), poses in zip(group, found, strict=True):
        yield ScanResult(source, image, tuple(FaceResult(pose) for pose in poses))


def _poses(heads: HeadPose, images: Sequence[Image.Image], reading: ScanOptions) -> list[list[Pose]]:
    """The poses on each picture, against the camera's axes if it is known."""
    boxes = None if reading.boxes is None else [reading.boxes] * len(images)
    found = heads.predict_batch(images, boxes)
    if reading.camera is None:
        return found
    cameras = [reading.camera(image.size) for image in images]
    pairs = zip(cameras, found, strict=True)
    return [
        [pose.rotate(camera.ray_rotation(pose.box)) if pose.box else pose for pose in poses] for camera, poses in pairs
    ]


def _followed(
    heads: HeadPose, source: Source, frames: Frames, reading: ScanOptions, ended: Callable[[int], bool]
) -> Iterator[ScanResult]:
    """The frames with tracks, filtered if that is asked for."""
    follower = PoseTracker(filtered=reading.smoothing == "filter")
    for group in batches(decodable_frames(frames), reading.batch, lambda frame: frame.image):
        found = _poses(heads, [frame.image for frame in group], reading)
        for frame, poses in zip(group, found, strict=True):
            yield ScanResult(
                source, frame.image, follower.update(frame.time, poses, frame.image.size), frame.index, frame.time
            )
        if ended(len(group)):
            return


def _smoothed(following: Iterable[ScanResult]) -> Iterator[ScanResult]:
    """All frames, smoothed, without their images."""
    source, frames = None, []
    for seen in following:
        source = seen.source
        frames.append(FrameFaces(seen.frame or 0, seen.time or 0.0, seen.faces))
    if source is not None:
        yield from (ScanResult(source, None, faces, number, time) for number, time, faces in smooth_frames(frames))


def decodable_frames(frames: Frames) -> Iterator[Frame]:
    """The frames, without the warning about those that are damaged: `problem` tells it."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedVideoWarning)
            frame = next(frames, None)
        if frame is None:
            return
        yield frame
