"""Sensitivity of a model to boxes that are moved or scaled and pictures that are blurred, noisy, dark or covered.

Each change is measured by the rotation between the predicted poses before and after it, which needs no label, and by
the error against the label.
"""

import io
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from deepgllim.data import Manifest
from deepgllim.evaluation.faces import Array, Pixels, open_faces, predict_crops, target_labels
from deepgllim.geometry.rotations import NECK_ANGLES, geodesic_distance, rotation_from_angles, rotation_from_pan_tilt
from deepgllim.imaging.images import Box, crop_face, open_image
from deepgllim.pose.network import PoseNetwork

CropChange = Callable[[Image.Image, np.random.Generator], Image.Image]

MOVES = (0.1, 0.2, 0.3)
"""Changes of the box, as shares of its side."""


def _blurred(radius: float) -> CropChange:
    return lambda picture, _: picture.filter(ImageFilter.GaussianBlur(radius * min(picture.size) / 96))


def _noisy(deviation: float) -> CropChange:
    def change(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        pixels = np.asarray(picture, dtype=np.float64)
        return Image.fromarray(np.clip(pixels + deviation * rng.standard_normal(pixels.shape), 0, 255).astype(np.uint8))

    return change


def _darker(gain: float) -> CropChange:
    return lambda picture, _: picture.point(lambda level: int(level * gain))


def _compressed(quality: int) -> CropChange:
    def change(picture: Image.Image, _: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg", quality=quality)
        return open_image(buffer.getvalue())

    return change


def _covered(share: float) -> CropChange:
    def change(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        copy, side = picture.copy(), round(share * min(picture.size))
        corner = [int(rng.integers(0, extent - side + 1)) for extent in picture.size]
        copy.paste((128, 128, 128), (corner[0], corner[1], corner[0] + side, corner[1] + side))
        return copy

    return change


CHANGES: dict[str, dict[str, CropChange]] = {
    "blur, σ of a 96 px crop": {f"{s:g} px": _blurred(s) for s in (1.0, 2.0, 4.0)},
    "noise, σ": {f"{s:g} levels": _noisy(s) for s in (10.0, 20.0, 40.0)},
    "dark": {f"× {g:g}": _darker(g) for g in (0.5, 0.25, 0.1)},
    "JPEG quality": {f"{q}": _compressed(q) for q in (50, 20, 10)},
    "covered square, side": {f"{100 * s:g} %": _covered(s) for s in (0.2, 0.35, 0.5)},
}
"""Changes by kind and strength. They apply to the crop, so that they do not depend on the size of the photograph."""


def measure_sensitivity(network: PoseNetwork, faces: Manifest, seed: int = 0) -> pd.DataFrame:
    """Return a table with a row for the unchanged pictures, each change of the box and each change of the picture.

    Columns: `change`, `strength`, `deviation` (mean geodesic distance to the pose of the unchanged picture, degrees),
    `deviation_90` (its 90 % quantile), `error` (mean absolute error over the labelled targets, degrees).

    Args:
        network: an exported model with three angles as targets.
        faces: faces; a face without a box has that of the whole picture.
        seed: random seed of the noise and of the directions.
    """
    names = network.spec.targets
    truth = target_labels(faces, names)
    plain: Array | None = None
    rows = []
    for kind, strength, crops in _variants(network, faces, seed):
        mean = np.asarray(predict_crops(network, crops).mean, dtype=np.float64)
        plain = mean if plain is None else plain
        deviation = geodesic_distance(predicted_rotations(mean, names), predicted_rotations(plain, names))
        error = np.abs((truth - mean + 180) % 360 - 180)
        measures = {
            "deviation": float(deviation.mean()),
            "deviation_90": float(np.quantile(deviation, 0.9)),
            "error": float(np.nanmean(error)),
        }
        rows.append({"change": kind, "strength": strength} | measures)
    return pd.DataFrame(rows)


def _variants(network: PoseNetwork, faces: Manifest, seed: int) -> Iterator[tuple[str, str, Iterator[Pixels]]]:
    size, margin = network.spec.image_size, network.spec.margin
    yield "none", "", (crop_face(picture, box, margin, size) for picture, box in open_faces(faces))
    for share in MOVES:
        rng = np.random.default_rng(seed)
        yield "box moved", f"{100 * share:g} %", _crops(network, faces, partial(shift_box, share=share, rng=rng))
    for share in MOVES:
        for word, factor in (("larger", 1 + share), ("smaller", 1 - share)):
            yield f"box {word}", f"{100 * share:g} %", _crops(network, faces, partial(scale_box, factor=factor))
    for kind, strengths in CHANGES.items():
        for name, change in strengths.items():
            rng = np.random.default_rng(seed)
            crops = (crop_face(picture, box, margin, size) for picture, box in open_faces(faces))
            yield kind, name, (_changed(crop, change, rng) for crop in crops)


def _crops(network: PoseNetwork, faces: Manifest, change: Callable[[Box], Box]) -> Iterator[Pixels]:
    for picture, box in open_faces(faces):
        whole = (0.0, 0.0, float(picture.width), float(picture.height))
        changed = shift_inside(change(box or whole), picture.size)
        yield crop_face(picture, changed, network.spec.margin, network.spec.image_size)


def _changed(crop: Pixels, change: CropChange, rng: np.random.Generator) -> Pixels:
    return np.asarray(change(Image.fromarray(crop.transpose(1, 2, 0)), rng)).transpose(2, 0, 1)


def shift_box(box: Box, share: float, rng: np.random.Generator) -> Box:
    """Move a box by a share of its longer side in a random direction.

    Example:
        >>> [round(v) for v in shift_box((0, 0, 10, 10), 0.3, np.random.default_rng(0))]
        [-2, -2, 8, 8]
    """
    x0, y0, x1, y1 = box
    angle, length = rng.uniform(0, 2 * np.pi), share * max(x1 - x0, y1 - y0)
    dx, dy = float(length * np.cos(angle)), float(length * np.sin(angle))
    return x0 + dx, y0 + dy, x1 + dx, y1 + dy


def shift_inside(box: Box, size: tuple[int, int]) -> Box:
    """Move a box until its centre is in the picture.

    Example:
        >>> shift_inside((-30, 10, -10, 20), (100, 50))
        (-10.0, 10.0, 10.0, 20.0)
    """
    x0, y0, x1, y1 = box
    centre = np.array([x0 + x1, y0 + y1]) / 2
    dx, dy = (float(shift) for shift in np.clip(centre, 0, size) - centre)
    return x0 + dx, y0 + dy, x1 + dx, y1 + dy


def scale_box(box: Box, factor: float) -> Box:
    """Scale a box about its centre.

    Example:
        >>> scale_box((0, 0, 10, 20), 1.5)
        (-2.5, -5.0, 12.5, 25.0)
    """
    x0, y0, x1, y1 = box
    dx, dy = (factor - 1) * (x1 - x0) / 2, (factor - 1) * (y1 - y0) / 2
    return x0 - dx, y0 - dy, x1 + dx, y1 + dy


def predicted_rotations(mean: Array, names: tuple[str, ...]) -> Array:
    """Return the rotations of predicted angles, (N, 3, 3); angles that are not predicted are 0."""
    angles = {name: mean[:, i] for i, name in enumerate(names)}
    if set(names) <= set(NECK_ANGLES):
        tilt, pan, neck_roll = (angles.get(name, np.zeros(len(mean))) for name in NECK_ANGLES)
        return rotation_from_pan_tilt(pan, tilt, neck_roll)
    return rotation_from_angles(*(angles.get(name, np.zeros(len(mean))) for name in ("pitch", "yaw", "roll")))
