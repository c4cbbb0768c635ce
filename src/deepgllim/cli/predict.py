"""`deepgllim predict`: the pose of one face, in words or as JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from deepgllim.cli.console import print_json, results
from deepgllim.cli.options import ModelPath, Probability, Switch, refuse_existing
from deepgllim.errors import DataError
from deepgllim.rotations import ANGLES

if TYPE_CHECKING:
    from PIL import Image

    from deepgllim.images import Box
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


def parse_box(text: str) -> "Box":
    """Four numbers with commas between them.

    Raises:
        ValueError: for anything else.

    Example:
        >>> parse_box("120,60,260.5,230")
        (120.0, 60.0, 260.5, 230.0)
    """
    try:
        x0, y0, x1, y1 = (float(edge) for edge in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r}: give four numbers x0,y0,x1,y1 in pixels, as --box 120,60,260,230") from None
    return x0, y0, x1, y1


def check_box(_: Any, text: str | None) -> None:
    """Refuse a malformed box while the call is parsed."""
    if text is not None:
        parse_box(text)


BoxText = Annotated[str | None, Parameter(validator=check_box, allow_leading_hyphen=True, show_default=False)]


def predict(
    image: Path,
    /,
    *,
    model: ModelPath,
    box: BoxText = None,
    level: Probability = 0.9,
    json: Switch = False,
    save: Path | None = None,
    overwrite: Switch = False,
) -> None:
    """Predict the pose of one face, with the intervals that hold it.

    Angles are in degrees: +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head clockwise
    in the image. log p(x) is low for a picture unlike those the model learned from.

    ```
    deepgllim predict portrait.jpg --model runs/first/model.safetensors --box 120,60,260,230 --save posed.png
    ```

    Args:
        image: The picture's file.
        model: The model's file.
        box: The face's box in pixels of the upright picture, `x0,y0,x1,y1`, without margin; by default all of it.
        level: Probability that each interval holds its target, between 0 and 1.
        json: Print one JSON object and nothing else.
        save: Write the picture, with the head's axes drawn on it, to this file (x red, y green, nose blue).
        overwrite: Replace the file of `--save` if it is there.
    """
    from deepgllim.images import open_image
    from deepgllim.nn.model import load_model
    from deepgllim.runs import predict_face

    refuse_existing(save, overwrite)
    if save is not None and save.resolve() == image.resolve():
        raise DataError(f"{save} is the picture itself: give another path to --save, the photograph stays as it is")
    picture = open_image(image)
    face = (0.0, 0.0, float(picture.width), float(picture.height)) if box is None else parse_box(box)
    predicted = predict_face(load_model(model), picture, face, level)
    if save is not None:
        save_drawn(save, picture, predicted, face)
    if json:
        print_json(as_json(image, face, predicted))
    else:
        results().print("\n".join(in_words(predicted)))
        if save is not None:
            results().print(f"picture: {save}")


def by_target(predicted: "FacePrediction") -> Iterator[tuple[str, float, float, float]]:
    """Name, mean, lower and upper end of each target."""
    columns = (predicted.mean, predicted.lower, predicted.upper)
    return zip(predicted.targets, *(column.tolist() for column in columns), strict=True)


def as_json(image: Path, box: "Box", predicted: "FacePrediction") -> dict[str, Any]:
    """What `--json` prints."""
    targets = {name: {"mean": mean, "lower": low, "upper": high} for name, mean, low, high in by_target(predicted)}
    return {
        "image": str(image),
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


def save_drawn(path: Path, picture: "Image.Image", predicted: "FacePrediction", box: "Box") -> None:
    """Draw the mean pose and write the picture; angles that the model does not predict count as 0.

    Raises:
        DataError: for a suffix that is not a picture's, a model without angles, or a file that cannot be written.
    """
    from PIL import Image

    from deepgllim.drawing import draw_axes
    from deepgllim.storage import write_atomically

    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise DataError(f"{path}: unknown suffix {path.suffix!r}: a picture is saved as .png or .jpg")
    angles = dict(zip(predicted.targets, predicted.mean.tolist(), strict=True))
    if not set(ANGLES) & set(angles):
        raise DataError(f"--save {path}: the model predicts {', '.join(angles)}, no angles to draw: leave --save out")
    pitch, yaw, roll = (angles.get(name, 0.0) for name in ANGLES)
    drawn = draw_axes(picture, pitch, yaw, roll, box)
    write_atomically(path, lambda place: drawn.save(place, format=kind))
