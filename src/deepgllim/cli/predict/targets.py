"""`deepgllim predict` with a model of other targets than angles, or of one angle: one picture, in words or as JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.cli.console import print_json, results
from deepgllim.cli.options import UsageError
from deepgllim.geometry.rotations import ANGLES

if TYPE_CHECKING:
    from deepgllim.imaging.images import Box
    from deepgllim.nn.model import DeepRegression
    from deepgllim.pose.batch.sources import Sources
    from deepgllim.runs import FacePrediction

CONVENTION = (
    "degrees; +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head clockwise in the image"
)
TURNS = {
    "pitch": ("looking up", "looking down"),
    "yaw": ("turned to the image's left", "turned to the image's right"),
    "roll": ("tilted clockwise in the image", "tilted anticlockwise in the image"),
}
"""What a positive and a negative angle look like."""


def predict_targets(
    model: "DeepRegression", sources: "Sources", boxes: "list[Box]", level: float, json: bool, files: bool
) -> None:
    """Print what a model says of one picture, or of a box on it.

    Args:
        model: a trained one.
        sources: what was given.
        boxes: none for the whole picture, or one.
        level: of the intervals.
        json: print JSON.
        files: whether files were asked for, which are for poses only.

    Raises:
        UsageError: more than one picture or box, or files.
    """
    from deepgllim.imaging.images import open_image
    from deepgllim.runs import predict_face

    names = ", ".join(model.spec.targets)
    if files or len(boxes) > 1 or not (sources.single and sources.found[0].kind == "picture"):
        raise UsageError(
            f"this model predicts {names}, no pose: give it one picture, one --box or none, and no --output or --save"
        )
    path = Path(sources.found[0].path)
    picture = open_image(path)
    box = boxes[0] if boxes else (0.0, 0.0, float(picture.width), float(picture.height))
    predicted = predict_face(model, picture, box, level)
    if json:
        print_json(as_json(path, box, predicted))
    else:
        results().print("\n".join(in_words(predicted)))


def by_target(predicted: "FacePrediction") -> Iterator[tuple[str, float, float, float]]:
    """Name, mean, lower and upper end of each target."""
    columns = (predicted.mean, predicted.lower, predicted.upper)
    return zip(predicted.targets, *(column.tolist() for column in columns), strict=True)


def as_json(image: Path, box: "Box", predicted: "FacePrediction") -> dict[str, Any]:
    """What `--json` prints."""
    from deepgllim.pose.batch.sources import printable

    targets = {name: {"mean": mean, "lower": low, "upper": high} for name, mean, low, high in by_target(predicted)}

    return {
        "image": printable(str(image)),
        "box": list(box),
        "targets": targets,
        "level": predicted.level,
        "covariance": predicted.covariance.tolist(),
        "modes": [dict(zip(predicted.targets, mode, strict=True)) for mode in predicted.modes.tolist()],
        "log_density": predicted.log_density,
        "convention": CONVENTION,
    }


def in_words(predicted: "FacePrediction") -> list[str]:
    """A line a target, a line a mode where there are several, and log p(x)."""
    level = f"{100 * predicted.level:g} %"
    lines = [
        f"{name} {value(name, mean)} ({level}: {value(name, low)} to {value(name, high)}){turn(name, mean)}"
        for name, mean, low, high in by_target(predicted)
    ]
    if len(predicted.modes) > 1:
        lines += [
            f"mode {i}: "
            + ", ".join(f"{name} {value(name, y)}" for name, y in zip(predicted.targets, mode, strict=True))
            for i, mode in enumerate(predicted.modes.tolist(), start=1)
        ]
    if predicted.log_density is None:
        return [*lines, "log p(x): this model does not know it"]
    return [*lines, f"log p(x): {predicted.log_density:.1f}"]


def value(name: str, target: float) -> str:
    """A target with its sign, and its unit if it is an angle.

    Example:
        >>> value("yaw", 23.14), value("age", 31.0)
        ('+23.1°', '+31')
    """
    return f"{target:+.1f}°" if name in ANGLES else f"{target:+.4g}"


def turn(name: str, angle: float) -> str:
    """What an angle looks like; nothing for one that is shown as 0.0 or for other targets.

    Example:
        >>> turn("yaw", -12.0)
        ", turned to the image's right"
    """
    if name not in TURNS or abs(angle) < 0.05:
        return ""
    return f", {TURNS[name][angle < 0]}"
