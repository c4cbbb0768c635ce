"""What `deepgllim predict` is asked for: its options' texts as values, and which of them do not go together."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from deepgllim.cli.options import UsageError

if TYPE_CHECKING:
    from deepgllim.imaging.images import Box
    from deepgllim.pose.batch.scanning import Camera
    from deepgllim.pose.batch.sources import Source, Sources
    from deepgllim.pose.video.following import Smoothing

ConventionName = Literal[
    "300w-lp",
    "hopenet",
    "whenet",
    "biwi",
    "opal",
    "6drepnet",
    "openvino",
    "openface",
    "opencv",
    "opencv-rvec",
    "mediapipe",
]
"""Keys of `deepgllim.geometry.conventions.CONVENTIONS`, which help does without: it imports numpy."""

BATCH = 16


def parse_numbers(text: str, form: str, example: str) -> tuple[float, ...]:
    """Four numbers with commas between them.

    Raises:
        ValueError: for anything else.

    Example:
        >>> parse_numbers("120,60,260.5,230", "x0,y0,x1,y1", "--box 120,60,260,230")
        (120.0, 60.0, 260.5, 230.0)
    """
    try:
        a, b, c, d = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r}: give four numbers {form} in pixels, as {example}") from None
    return a, b, c, d


def parse_box(text: str) -> "Box":
    """A face's box.

    Raises:
        ValueError: for what is none.
    """
    x0, y0, x1, y1 = parse_numbers(text, "x0,y0,x1,y1", "--box 120,60,260,230")
    return x0, y0, x1, y1


def parse_camera(text: str) -> tuple[float, ...]:
    """A camera's matrix.

    Raises:
        ValueError: for what is none.
    """
    numbers = parse_numbers(text, "fx,fy,cx,cy", "--camera-matrix 800,800,320,240")
    if not all(map(math.isfinite, numbers)) or min(numbers[:2]) <= 0:
        raise ValueError(f"{text!r}: the focal lengths fx and fy are above 0, and all four finite")
    return numbers


def _checks(parse: Callable[[str], object]) -> Callable[[Any, Any], None]:
    """A validator that refuses malformed text while the call is parsed."""

    def check(_: Any, value: str | Sequence[str] | None) -> None:
        for text in (value,) if isinstance(value, str) else value or ():
            parse(text)

    return check


BoxTexts = Annotated[
    tuple[str, ...], Parameter(validator=_checks(parse_box), allow_leading_hyphen=True, negative=(), show_default=False)
]
CameraText = Annotated[
    str | None, Parameter(validator=_checks(parse_camera), allow_leading_hyphen=True, show_default=False)
]


def camera_of(field_of_view: float | None, matrix: str | None) -> "Camera | None":
    """The intrinsics for a picture's size, by either option.

    Raises:
        UsageError: both are given, or a field of view outside (0, 180).
    """
    from deepgllim.pose.camera import Intrinsics

    if field_of_view is not None and matrix is not None:
        raise UsageError("--field-of-view and --camera-matrix say the same: give one of them")
    if matrix is not None:
        fx, fy, cx, cy = parse_camera(matrix)
        fixed = Intrinsics.from_matrix([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        return lambda size: fixed
    if field_of_view is None:
        return None
    if not 0 < field_of_view < 180:
        raise UsageError(f"--field-of-view {field_of_view:g}: give degrees between 0 and 180")
    return lambda size: Intrinsics.from_field_of_view(field_of_view, *size)


def check_boxes(boxes: Sequence[str], no_detect: bool, sources: "Sources") -> None:
    """Boxes are those of one picture.

    Raises:
        UsageError: they are given for more, or with --no-detect.
    """
    if boxes and no_detect:
        raise UsageError("--box and --no-detect contradict each other: give one of them")
    if boxes and not (sources.single and sources.found[0].kind == "picture"):
        raise UsageError("--box says where the faces of one picture are: give one picture, or leave it out")


def check_camera(sources: "Sources", smooth: "Smoothing | None") -> None:
    """A camera has no end: it is the only input, and nothing waits for its end.

    Raises:
        UsageError: there are other inputs, or the smoother is asked for.
    """
    if not any(source.kind == "camera" for source in sources.found):
        return
    if not sources.single:
        raise UsageError("a camera has no end: give it alone, without other inputs")
    if smooth == "smoother":
        raise UsageError("--smooth smoother needs a video's end, which a camera has not: use --smooth filter")


def check_resume(resume: bool, output: Path | None, sources: "Sources") -> None:
    """A table can be gone on with, and nothing else; not one of a camera.

    Raises:
        UsageError: there is no --output, or a camera.
    """
    if resume and output is None:
        raise UsageError("--resume goes on with a table: give the --output of the run that was stopped")
    if resume and any(source.kind == "camera" for source in sources.found):
        raise UsageError("a camera does not show the same again: leave --resume out")


def saves_to_file(save: Path, sources: "Sources") -> bool:
    """Whether `--save` names a file rather than a folder.

    Raises:
        UsageError: it does, and there are several inputs.
    """
    names_file = bool(save.suffix) and not save.is_dir()
    if names_file and not sources.single:
        raise UsageError(f"--save {save} is one file, and the inputs are {len(sources.found)}: give a folder")
    return names_file


def smoothing_of(source: "Source", smooth: "Smoothing | None") -> "Smoothing":
    """How a source is smoothed where nothing is said: a camera is filtered, a video smoothed."""
    if source.kind == "picture":
        return "off"
    return smooth or ("filter" if source.kind == "camera" else "smoother")
