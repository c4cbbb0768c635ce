"""Augmentation of face crops: box jitter, rotation, mirroring, light, colour, blur, occlusion, noise, JPEG.

A change of the picture that also changes the pose is returned as a `Change`, from which `PoseRule` computes the new
targets.
"""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import (
    ANGLES,
    MIRROR_SIGNS,
    NECK_ANGLES,
    angles_from_rotation,
    pan_tilt_from_rotation,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from deepgllim.imaging.images import open_image
from deepgllim.nn.config import AugmentationConfig

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def context_size(image_size: int, config: AugmentationConfig) -> int:
    """Return the side in pixels of a crop that contains all jittered boxes at the scale of the original box."""
    half = image_size * (1.0 + config.box_scale) / 2
    if config.rotation:
        angle = np.radians(min(config.rotation, 45.0))
        half *= np.cos(angle) + np.sin(angle)
    border = half - image_size / 2 + image_size * config.box_shift
    return image_size + 2 * int(np.ceil(border))


class Change(NamedTuple):
    """Changes of a picture that change its pose.

    Attributes:
        mirrored: whether the picture was mirrored, after the rotation.
        turn: clockwise rotation in the image plane, degrees.
    """

    mirrored: bool = False
    turn: float = 0.0


class PoseRule:
    """The rule for the targets of a changed picture.

    A head of rotation R has the rotation F·Rz(turn)·R·F in the changed picture, with F = diag(−1, 1, 1) if it was
    mirrored. A rotation of the crop is a rotation of the head about the optical axis.

    Args:
        targets: names of the targets.
        config: options. Mirroring requires names of angles; rotation requires all of pitch, yaw, roll or all of
            tilt, pan, neck_roll.

    Raises:
        ConfigurationError: if there is no rule for a target.

    Example:
        >>> rule = PoseRule(("pitch", "yaw", "roll"), AugmentationConfig(rotation=30))
        >>> rule(np.array([10.0, 20.0, 0.0]), Change(mirrored=True, turn=0.0))
        array([ 10., -20.,  -0.])
        >>> rule(np.array([0.0, 0.0, 5.0]), Change(turn=20.0)).round(6) + 0.0
        array([ 0.,  0., 25.])
    """

    def __init__(self, targets: Sequence[str], config: AugmentationConfig) -> None:
        self.signs = mirror_signs(targets, config)
        self.coordinates = next((each for each in COORDINATES if set(each.names) == set(targets)), None)
        if config.rotation and self.coordinates is None:
            raise ConfigurationError(
                f"augmentation.rotation needs the targets {', '.join(ANGLES)} or {', '.join(NECK_ANGLES)}, not "
                f"{', '.join(targets)}: set augmentation.rotation=0"
            )
        if self.coordinates is not None:
            self.order = [list(targets).index(name) for name in self.coordinates.names]

    def __call__(self, targets: NDArray[np.floating], change: Change) -> NDArray[np.floating]:
        """Return the targets (L,) of the changed picture."""
        values = targets
        if change.turn and self.coordinates is not None:
            values = np.empty_like(targets)
            values[self.order] = self.coordinates.rotate(targets[self.order], change.turn)
        return values * self.signs if change.mirrored else values


class Coordinates(NamedTuple):
    """Three angles that determine a rotation, with the functions from and to rotation matrices."""

    names: tuple[str, ...]
    rotation: Callable[[NDArray[np.floating]], NDArray[np.float64]]
    angles: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def rotate(self, values: NDArray[np.floating], turn: float) -> NDArray[np.float64]:
        """Return the angles of Rz(turn)·R for the angles of R."""
        return self.angles(rotation_from_angles(0.0, 0.0, turn) @ self.rotation(values))


COORDINATES = (
    Coordinates(ANGLES, lambda v: rotation_from_angles(*v), angles_from_rotation),
    Coordinates(NECK_ANGLES, lambda v: rotation_from_pan_tilt(v[1], v[0], v[2]), pan_tilt_from_rotation),
)


def mirror_signs(targets: Sequence[str], config: AugmentationConfig) -> NDArray[np.float32]:
    """Return the factors of the targets of a mirrored picture, (L,): −1 for yaw and roll.

    Raises:
        ConfigurationError: if pictures are mirrored and there is no rule for a target.
    """
    unknown = [name for name in targets if name not in MIRROR_SIGNS]
    if config.mirror and unknown:
        raise ConfigurationError(
            f"augmentation.mirror has no rule for target {unknown[0]!r}: set augmentation.mirror=false"
        )
    return np.array([MIRROR_SIGNS.get(name, 1.0) for name in targets], dtype=np.float32)


def augment(
    context: NDArray[np.uint8], image_size: int, config: AugmentationConfig, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], Change]:
    """Return a randomly changed version of a crop.

    Args:
        context: crop with its surroundings, (3, S, S) with S = `context_size`.
        image_size: side of the result in pixels.
        config: limits of the changes.
        generator: random number generator; the same state gives the same picture.

    Returns:
        The picture (3, image_size, image_size) and what its pose must know.

    Example:
        >>> config = AugmentationConfig()
        >>> context = np.zeros((3, context_size(32, config), context_size(32, config)), dtype=np.uint8)
        >>> augment(context, 32, config, np.random.default_rng(0))[0].shape
        (3, 32, 32)
    """
    image, turn = _jitter(Image.fromarray(context.transpose(1, 2, 0)), image_size, config, generator)
    if config.blur and generator.random() < 0.5:
        image = _blur(image, generator.uniform(1.0 - config.blur, 1.0))
    pixels = _colour(np.asarray(image, dtype=np.float32), config, generator)
    if config.occlusion and generator.random() < 0.5:
        _cover(pixels, config.occlusion, generator)
    if config.noise:
        pixels += generator.standard_normal(pixels.shape, dtype=np.float32) * generator.uniform(0, config.noise)
    result = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    if config.jpeg and generator.random() < 0.5:
        result = _jpeg(result, int(generator.integers(config.jpeg, 96)))
    mirrored = config.mirror and bool(generator.random() < 0.5)
    if mirrored:
        result = result[:, ::-1]
    return np.ascontiguousarray(result.transpose(2, 0, 1)), Change(mirrored, turn)


def plain(context: NDArray[np.uint8], image_size: int) -> NDArray[np.uint8]:
    """Return the middle of a context crop, unchanged."""
    border = (context.shape[1] - image_size) // 2
    return context[:, border : border + image_size, border : border + image_size]


def _jitter(
    image: Image.Image, image_size: int, config: AugmentationConfig, generator: np.random.Generator
) -> tuple[Image.Image, float]:
    side = image_size * (1.0 + generator.uniform(-config.box_scale, config.box_scale))
    shift = image_size * generator.uniform(-config.box_shift, config.box_shift, size=2)
    turn = generator.uniform(-config.rotation, config.rotation) if config.rotation else 0.0
    centre = image.width / 2 + shift
    if turn:
        image = image.rotate(-turn, Image.Resampling.BILINEAR, center=(float(centre[0]), float(centre[1])))
    low = np.clip(centre - side / 2, 0, image.width - side)
    box = (float(low[0]), float(low[1]), float(low[0] + side), float(low[1] + side))
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=box), float(turn)


def _blur(image: Image.Image, share: float) -> Image.Image:
    """Return the picture reduced to a share of its size and enlarged again."""
    small = max(1, round(image.width * share))
    return image.resize((small, small), Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)


def _cover(pixels: NDArray[np.float32], largest: float, generator: np.random.Generator) -> None:
    """Cover a random rectangle of the picture with one colour, in place."""
    size = len(pixels)
    height, width = (1 + int(size * generator.uniform(0, largest)) for _ in range(2))
    top, left = (int(generator.integers(0, size - extent + 1)) for extent in (height, width))
    pixels[top : top + height, left : left + width] = generator.uniform(0, 255, size=3)


def _colour(
    pixels: NDArray[np.float32], config: AugmentationConfig, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Change saturation, channel gains, contrast and brightness by one affine map of RGB."""

    def around_one(amount: float, size: int | None = None) -> NDArray[np.float64] | float:
        return 1.0 + generator.uniform(-amount, amount, size=size)

    saturation = around_one(config.saturation)
    if config.grey and generator.random() < config.grey:
        saturation = 0.0
    matrix = saturation * np.eye(3) + (1.0 - saturation) * LUMA[None, :]
    matrix = np.asarray(around_one(config.colour, 3))[:, None] * matrix
    contrast, brightness = around_one(config.contrast), around_one(config.brightness)
    offset = 128.0 * (1.0 - contrast)
    return (pixels @ (brightness * contrast * matrix).T.astype(np.float32)) + np.float32(brightness * offset)


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=quality)
    return np.asarray(open_image(buffer.getvalue()))
