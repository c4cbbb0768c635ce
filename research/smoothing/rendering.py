"""The same movement as a video of a rendered person, and a trained model's answers as measurements."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path as File
from typing import NamedTuple

import numpy as np
from PIL import Image

from deepgllim.geometry.rotations import (
    ANGLES,
    NECK_ANGLES,
    Array,
    rotation_from_angles,
    rotation_from_pan_tilt,
    rotation_from_vector,
    vector_from_rotation,
)
from deepgllim.imaging.images import Box, crop_face
from deepgllim.synthetic import Renderer, SceneSampler, apply_capture, fit_camera, label, load_head_model
from research.smoothing.sequence import Measurements, Path, Rng

SIZE, MARGIN = 192, 1.9
"""Of the video, pixels; its side over that of the frontal face."""

CROP = 1.5
"""Side of the network's picture over that of the face's box: the middle of the margins of the set "wide"."""

_BLUR = 1e-4  # share of the picture by which a nose moves in an exposure of 1/60 s, for a degree a second
_BATCH = 64


class Rendered(NamedTuple):
    """A frame of the video: the picture, where the face is in it, and what is true."""

    image: Image.Image
    box: Box
    rotation: Array


Measure = Callable[[Sequence[Image.Image], Sequence[Box]], tuple[Array, Array]]
"""Any predictor: pictures and the faces' boxes to rotations (N, 3, 3) and covariances (N, 3, 3), degrees², of δ in the
camera's frame, R = exp([δ]×) · rotation; NaN rotations where it sees no face."""


def render(path: Path, times: Array, seed: int) -> Iterator[Rendered]:
    """One person of a seed under one light, turning as the path says; every frame has noise of its own."""
    start = SceneSampler("wide", identities=1, size=SIZE, seed=seed, leave_out=("accessories",))(0)
    model = load_head_model()
    start = replace(start, rotation=np.eye(3), torso=np.eye(3))
    camera = fit_camera(start, model, MARGIN).camera
    rotations = path.rotation(times)
    with Renderer() as renderer:
        for k, (rotation, turned) in enumerate(zip(rotations, path.velocity(times), strict=True)):
            blur = (_BLUR * float(np.hypot(turned[0], turned[1])), float(np.degrees(np.arctan2(-turned[0], turned[1]))))
            capture = replace(start.capture, seed=start.capture.seed + k, motion=blur)
            scene = replace(start, camera=camera, rotation=rotation, torso=_torso(rotation), capture=capture)
            yield Rendered(apply_capture(renderer.draw(scene), capture), label(model, scene).box, rotation)


def _torso(rotation: Array) -> Array:
    """It follows the head by a third."""
    return rotation_from_vector(vector_from_rotation(rotation) / 3)


def measured(frames: Sequence[Rendered], times: Array, measure: Measure, rng: Rng) -> Measurements:
    """What a predictor says of the frames. Boxes are off as a detector's are: by 2 % of their side, in every frame."""
    boxes = [jittered(frame.box, rng) for frame in frames]
    rotations, covariances = measure([frame.image for frame in frames], boxes)
    return Measurements(times, rotations, covariances)


def jittered(box: Box, rng: Rng) -> Box:
    """A box moved and resized at random."""
    x0, y0, x1, y1 = box
    off = 0.02 * max(x1 - x0, y1 - y0) * rng.standard_normal(4)
    return float(x0 + off[0]), float(y0 + off[1]), float(x1 + off[2]), float(y1 + off[3])


def of_model(file: File) -> Measure:
    """A trained model, a `.safetensors` of `deepgllim train`, as a predictor."""
    import torch

    from deepgllim.nn.model import load_model
    from deepgllim.runs import picture_size

    model = load_model(file).eval()
    size, _ = picture_size(model)

    def measure(images: Sequence[Image.Image], boxes: Sequence[Box]) -> tuple[Array, Array]:
        crops = np.stack([crop_face(image, box, CROP, size) for image, box in zip(images, boxes, strict=True)])
        parts = []
        with torch.no_grad():
            for first in range(0, len(crops), _BATCH):
                answer = model(torch.from_numpy(crops[first : first + _BATCH]))
                parts.append((answer.mean.double().numpy(), answer.covariance_matrix.double().numpy()))
        mean, covariance = (np.concatenate(part) for part in zip(*parts, strict=True))
        return rotations_of(mean, covariance, model.spec.targets)

    return measure


def rotations_of(mean: Array, covariance: Array, names: Sequence[str]) -> tuple[Array, Array]:
    """Angles (N, 3) and their covariances as rotations and covariances of δ, to first order.

    Raises:
        ValueError: the names are neither those of `ANGLES` nor those of `NECK_ANGLES`.
    """
    if tuple(names) not in (ANGLES, NECK_ANGLES):
        raise ValueError(f"the model predicts {', '.join(names)}: give one of {ANGLES} or {NECK_ANGLES}")

    def rotation(angles: Array) -> Array:
        if tuple(names) == ANGLES:
            return rotation_from_angles(*angles.T)
        tilt, pan, neck_roll = angles.T
        return rotation_from_pan_tilt(pan, tilt, neck_roll)

    R, step = rotation(mean), 1e-3
    columns = [vector_from_rotation(rotation(mean + step * e) @ np.swapaxes(R, -1, -2)) / step for e in np.eye(3)]
    J = np.stack(columns, axis=-1)  # (N, 3, 3)
    return R, J @ covariance @ np.swapaxes(J, -1, -2)


def save_frames(frames: Sequence[Rendered], times: Array, folder: File) -> None:
    """PNG pictures with `truth.csv`: time, box, rotation by rows; for a predictor that runs elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    header = "file,time,x0,y0,x1,y1," + ",".join(f"r{i}{j}" for i in range(3) for j in range(3))
    lines = [header]
    for k, (frame, time) in enumerate(zip(frames, times, strict=True)):
        frame.image.save(folder / f"{k:05d}.png")
        values = (time, *frame.box, *frame.rotation.ravel())
        lines.append(f"{k:05d}.png," + ",".join(f"{value:.6f}" for value in values))
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")
