"""Parsing and validation of the options of `deepgllim predict`."""

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
"""Keys of `deepgllim.geometry.conventions.CONVENTIONS`, which is not imported here because it imports numpy."""

BATCH = 16


def parse_numbers(text: str, layout: str, example: str) -> tuple[float, ...]:
    """Return four comma-separated numbers.

    Raises:
        ValueError: the text has another form.

    Example:
        >>> parse_numbers("120,60,260.5,230", "x0,y0,x1,y1", "--box 120,60,260,230")
        (120.0, 60.0, 260.5, 230.0)
    """
    try:
        a, b, c, d = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r}: give four numbers {layout} in pixels, such as {example}") from None
    return a, b, c, d


def parse_box(text: str) -> "Box":
    """Return the box of a face.

    Raises:
        ValueError: the text is not a box.
    """
    x0, y0, x1, y1 = parse_numbers(text, "x0,y0,x1,y1", "--box 120,60,260,230")
    return x0, y0, x1, y1


def parse_camera(text: str) -> tuple[float, ...]:
    """Return the entries of a camera matrix.

    Raises:
        ValueError: the text is not a camera matrix.
    """
    numbers = parse_numbers(text, "fx,fy,cx,cy", "--camera-matrix 800,800,320,240")
    if not all(map(math.isfinite, numbers)) or min(numbers[:2]) <= 0:
        raise ValueError(f"{text!r}: give finite numbers with focal lengths fx and fy above 0")
    return numbers


def _checks(parse: Callable[[str], object]) -> Callable[[Any, Any], None]:
    """Return a validator that refuses text that cannot be parsed."""

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


def make_camera(field_of_view: float | None, matrix: str | None) -> "Camera | None":
    """Return a function from the size of an image to the intrinsics; None if neither option is given.

    Raises:
        UsageError: both options are given, or the field of view is not in (0, 180).
    """
    from deepgllim.pose.camera import Intrinsics

    if field_of_view is not None and matrix is not None:
        raise UsageError("--field-of-view and --camera-matrix are alternatives: give one of them")
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
    """Check that boxes are given for a single image only.

    Raises:
        UsageError: boxes are given for other inputs, or together with --no-detect.
    """
    if boxes and no_detect:
        raise UsageError("--box and --no-detect contradict each other: give one of them")
    if boxes and not (sources.single and sources.found[0].kind == "picture"):
        raise UsageError("--box applies to a single image: give one image, or omit --box")


def check_camera(sources: "Sources", smooth: "Smoothing | None") -> None:
    """Check that a camera is the only input and is not smoothed with later frames.

    Raises:
        UsageError: there are other inputs, or the smoother is requested.
    """
    if not any(source.kind == "camera" for source in sources.found):
        return
    if not sources.single:
        raise UsageError("a camera cannot be combined with other inputs: give it alone")
    if smooth == "smoother":
        raise UsageError(
            "--smooth smoother needs the end of a video, which a camera does not have: use --smooth filter"
        )


def check_resume(resume: bool, output: Path | None, sources: "Sources") -> None:
    """Check that a run can be resumed.

    Raises:
        UsageError: there is no --output, or the input is a camera.
    """
    if resume and output is None:
        raise UsageError("--resume continues a table: give the --output of the interrupted run")
    if resume and any(source.kind == "camera" for source in sources.found):
        raise UsageError("the run of a camera cannot be resumed: omit --resume")


def saves_to_file(save: Path, sources: "Sources") -> bool:
    """Return whether `--save` is a file and not a folder.

    Raises:
        UsageError: it is a file, and there are several inputs.
    """
    names_file = bool(save.suffix) and not save.is_dir()
    if names_file and not sources.single:
        raise UsageError(f"--save {save} is one file for {len(sources.found)} inputs: give a folder")
    return names_file


def smoothing_for(source: "Source", smooth: "Smoothing | None") -> "Smoothing":
    """Return the smoothing of a source: the given one, or the default for its kind."""
    if source.kind == "picture":
        return "off"
    return smooth or ("filter" if source.kind == "camera" else "smoother")
