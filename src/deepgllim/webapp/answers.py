"""What the page says of a picture, as HTML: the drawn picture, one card a face, or one sentence of what went wrong."""

import base64
import hashlib
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL import Image

from deepgllim.errors import DeepGLLiMError
from deepgllim.images import image_size, open_image
from deepgllim.pose.annotate import draw_poses
from deepgllim.pose.result import Pose
from deepgllim.pose.words import likely_modes
from deepgllim.rotations import ANGLES

LEVEL = 0.9
WIDEST = 1200
"""Pixels of the drawn picture's longer side on the page."""

SEEN_AS = {
    "pitch": ("up", "down"),
    "yaw": ("to the image's left", "to the image's right"),
    "roll": ("clockwise", "anticlockwise"),
}
"""What a positive and a negative angle look like."""


class PredictsPoses(Protocol):
    """`deepgllim.HeadPose`, or anything alike."""

    def predict(self, image: Image.Image) -> Sequence[Pose]:
        """The poses of the faces."""
        ...


class Answer(NamedTuple):
    """Two pieces of HTML: the picture and the words."""

    picture: str
    words: str


def answer(
    predictor: PredictsPoses, path: str | None, max_pixels: int, examples: frozenset[bytes] = frozenset()
) -> Answer:
    """What the page shows for an uploaded file; the file is deleted, whatever came of it, unless it is an example.

    Args:
        predictor: of poses.
        path: of the uploaded file; None if the picture was taken away.
        max_pixels: larger pictures are refused before they are decoded.
        examples: digests of the page's own pictures.
    """
    if path is None:
        return Answer("", "")
    kept = digest(Path(path)) in examples
    try:
        return _of_picture(predictor, path, max_pixels)
    except DeepGLLiMError as error:
        return Answer("", sorry(str(error).replace(path, "this file")))
    finally:
        if not kept:
            Path(path).unlink(missing_ok=True)


def digest(path: Path) -> bytes:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).digest()


def _of_picture(predictor: PredictsPoses, path: str, max_pixels: int) -> Answer:
    width, height = image_size(path)
    if width * height > max_pixels:
        found, most = width * height / 1e6, max_pixels / 1e6
        return Answer("", sorry(f"{found:.4g} megapixels: this page takes up to {most:.4g}; scale the picture down"))
    picture = open_image(path)
    poses = predictor.predict(picture)
    if not poses:
        return Answer(shown(picture, "the picture, without a face"), sorry("no face was found in this picture"))
    drawn = draw_poses(picture, poses, level=LEVEL)
    description = "; ".join(pose.describe(LEVEL) for pose in poses)
    return Answer(shown(drawn, description), "".join(card(pose, i, len(poses)) for i, pose in enumerate(poses, 1)))


def shown(picture: Image.Image, description: str) -> str:
    """The picture inside the page itself, so that no file of it is left."""
    small = picture.copy()
    small.thumbnail((WIDEST, WIDEST))
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=88)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="dg-picture" alt="{html.escape(description, quote=True)}" src="data:image/jpeg;base64,{data}">'


def card(pose: Pose, number: int, count: int) -> str:
    """One face: verdict, sentence, angles with their intervals, modes."""
    title = f"Face {number} of {count}" if count > 1 else "One face"
    return (
        f'<section class="dg-card" data-face="{number}"><h3>{title}</h3>{verdict(pose)}'
        f'<p class="dg-words">{html.escape(pose.describe(LEVEL))}</p>{angles(pose)}{modes(pose)}</section>'
    )


def verdict(pose: Pose) -> str:
    """Whether the face is like those the model knows, with log p(x)."""
    density = "" if pose.log_density is None else f" <small>log p(x) = {pose.log_density:.1f}</small>"
    if pose.in_distribution is None:
        return f'<p class="dg-verdict">known or not: this model cannot tell{density}</p>'
    if pose.in_distribution:
        return f'<p class="dg-verdict dg-known">✓ like the faces this model knows{density}</p>'
    return f'<p class="dg-verdict dg-unknown">✗ unlike anything this model knows: do not trust it{density}</p>'


def angles(pose: Pose) -> str:
    """A table of pitch, yaw and roll."""
    lower, upper = pose.interval(LEVEL)
    rows = []
    for i, name in enumerate(ANGLES):
        if name in pose.unknown:
            rows.append(f"<tr><th>{name}</th><td colspan=3>not predicted by this model</td></tr>")
            continue
        value = float(pose.angles[i])
        seen = "" if abs(value) < 0.5 else SEEN_AS[name][value < 0]
        rows.append(
            f'<tr data-angle="{name}" data-value="{value:.6f}"><th>{name}</th><td>{value:+.1f}°</td>'
            f"<td>{lower[i]:+.1f}° to {upper[i]:+.1f}°</td><td>{seen}</td></tr>"
        )
    head = f"<tr><th></th><th>angle</th><th>{100 * LEVEL:.0f} % interval</th><th></th></tr>"
    return f'<table class="dg-angles"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def modes(pose: Pose) -> str:
    """The poses that fit, where there are several."""
    found = likely_modes(pose)
    if len(found) < 2:
        return ""
    entries = "".join(
        f"<li>{100 * mode.probability:.0f} %: "
        + ", ".join(f"{name} {value:+.0f}°" for name, value in zip(ANGLES, mode.angles, strict=True))
        + "</li>"
        for mode in found
    )
    return f"<p>Several poses fit this face:</p><ol>{entries}</ol>"


def sorry(sentence: str) -> str:
    """One sentence of what went wrong."""
    return f'<p class="dg-sorry" role="alert">{html.escape(sentence)}</p>'
