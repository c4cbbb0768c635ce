"""Random changes of a face crop: box jitter, mirror, light, colour, noise, JPEG. Pillow and numpy do the work."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepgllim.errors import ConfigurationError
from deepgllim.nn.config import AugmentationConfig
from deepgllim.rotations import MIRROR_SIGNS

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def context_size(image_size: int, config: AugmentationConfig) -> int:
    """The side in pixels of a crop that holds every jittered box at the scale of the plain one."""
    border = image_size * (config.box_shift + config.box_scale / 2)
    return image_size + 2 * int(np.ceil(border))


def mirror_signs(targets: Sequence[str], config: AugmentationConfig) -> NDArray[np.float32]:
    """The factors that a mirrored picture's targets take, (L,): −1 for yaw and roll.

    Raises:
        ConfigurationError: if mirroring is on and a target has no rule.
    """
    unknown = [name for name in targets if name not in MIRROR_SIGNS]
    if config.mirror and unknown:
        raise ConfigurationError(
            f"augmentation.mirror knows no rule for target {unknown[0]!r}: set augmentation.mirror=false"
        )
    return np.array([MIRROR_SIGNS.get(name, 1.0) for name in targets], dtype=np.float32)


def augment(
    context: NDArray[np.uint8], image_size: int, config: AugmentationConfig, generator: np.random.Generator
) -> tuple[NDArray[np.uint8], bool]:
    """One random version of a crop.

    Args:
        context: (3, S, S) with S = `context_size`, the plain crop in its middle.
        image_size: side of the result.
        config: how far each change may go.
        generator: of the random numbers; the same state gives the same picture.

    Returns:
        The picture (3, image_size, image_size) and whether it was mirrored.

    Example:
        >>> config = AugmentationConfig()
        >>> context = np.zeros((3, context_size(32, config), context_size(32, config)), dtype=np.uint8)
        >>> augment(context, 32, config, np.random.default_rng(0))[0].shape
        (3, 32, 32)
    """
    image = _jitter(Image.fromarray(context.transpose(1, 2, 0)), image_size, config, generator)
    pixels = _colour(np.asarray(image, dtype=np.float32), config, generator)
    if config.noise:
        pixels += generator.standard_normal(pixels.shape, dtype=np.float32) * generator.uniform(0, config.noise)
    result = np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
    if config.jpeg and generator.random() < 0.5:
        result = _jpeg(result, int(generator.integers(config.jpeg, 96)))
    mirrored = config.mirror and generator.random() < 0.5
    if mirrored:
        result = result[:, ::-1]
    return np.ascontiguousarray(result.transpose(2, 0, 1)), mirrored


def plain(context: NDArray[np.uint8], image_size: int) -> NDArray[np.uint8]:
    """The middle of a context crop, unchanged."""
    border = (context.shape[1] - image_size) // 2
    return context[:, border : border + image_size, border : border + image_size]


def _jitter(
    image: Image.Image, image_size: int, config: AugmentationConfig, generator: np.random.Generator
) -> Image.Image:
    side = image_size * (1.0 + generator.uniform(-config.box_scale, config.box_scale))
    shift = image_size * generator.uniform(-config.box_shift, config.box_shift, size=2)
    centre = image.width / 2 + shift
    low = np.clip(centre - side / 2, 0, image.width - side)
    box = (float(low[0]), float(low[1]), float(low[0] + side), float(low[1] + side))
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=box)


def _colour(
    pixels: NDArray[np.float32], config: AugmentationConfig, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Saturation, channel gains, contrast and brightness as one affine map of RGB."""

    def around_one(amount: float, size: int | None = None) -> NDArray[np.float64] | float:
        return 1.0 + generator.uniform(-amount, amount, size=size)

    saturation = around_one(config.saturation)
    matrix = saturation * np.eye(3) + (1.0 - saturation) * LUMA[None, :]
    matrix = np.asarray(around_one(config.colour, 3))[:, None] * matrix
    contrast, brightness = around_one(config.contrast), around_one(config.brightness)
    offset = 128.0 * (1.0 - contrast)
    return (pixels @ (brightness * contrast * matrix).T.astype(np.float32)) + np.float32(brightness * offset)


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(buffer))
