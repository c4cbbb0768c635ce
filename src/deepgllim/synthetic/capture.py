"""Effects of a camera on an image: patches, blur, resolution, colours, noise, JPEG."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from deepgllim.synthetic.scene import Capture

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def apply_capture(pixels: npt.NDArray[np.uint8], capture: Capture) -> Image.Image:
    """Apply all effects of a capture but the exposure, which the renderer applies.

    Args:
        pixels: RGB, uint8, (H, W, 3).
        capture: effects.

    Example:
        >>> neutral = Capture(1, 1, 1, 0, (0, 0), 0, 1, 0, 92, 0)
        >>> apply_capture(np.full((4, 4, 3), 90, dtype=np.uint8), neutral).getpixel((0, 0))
        (90, 90, 90)
    """
    rng = np.random.Generator(np.random.PCG64(capture.seed))
    image = Image.fromarray(pixels)
    side = min(image.size)
    for _ in range(capture.occlusions):
        image = _add_patch(image, rng)
    if capture.motion[0] > 0:
        image = _motion_blur(image, capture.motion[0] * side, capture.motion[1])
    if capture.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(capture.blur * side))
    if capture.resolution < 1:
        small = (max(8, round(image.width * capture.resolution)), max(8, round(image.height * capture.resolution)))
        image = image.resize(small, Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)
    if capture.contrast == 1 and capture.saturation == 1 and capture.noise == 0:
        return image
    return _change_levels(image, capture, rng)


def _change_levels(image: Image.Image, capture: Capture, rng: np.random.Generator) -> Image.Image:
    """Apply saturation, contrast and noise."""
    levels = np.asarray(image).astype(np.float32)  # (H, W, 3); changed in place below
    grey = (levels @ LUMA)[..., None]
    levels -= grey
    levels *= capture.saturation
    levels += grey - 128
    levels *= capture.contrast
    levels += 128
    if capture.noise > 0:  # read noise and shot noise
        spread = np.float32(0.5 * capture.noise) * (1 + np.sqrt(grey / 128))
        levels += spread * rng.standard_normal(levels.shape, dtype=np.float32)
    return Image.fromarray((levels + 0.5).clip(0, 255).astype(np.uint8))


def encode_jpeg(picture: Image.Image, quality: int) -> bytes:
    """Encode an image as JPEG.

    Example:
        >>> encode_jpeg(Image.new("RGB", (8, 8)), 90)[:2].hex()
        'ffd8'
    """
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=quality)
    return file.getvalue()


def _add_patch(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add a patch of one colour or of another part of the image, half of the time at the border."""
    width, height = image.size
    w, h = (int(side * rng.uniform(0.12, 0.45)) for side in image.size)
    if rng.uniform() < 0.5:  # from the border
        x, y = rng.choice([-w // 3, width - 2 * w // 3]), rng.uniform(0, height - h)
        if rng.uniform() < 0.5:
            x, y = rng.uniform(0, width - w), rng.choice([-h // 3, height - 2 * h // 3])
    else:
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    mask = Image.new("L", (w, h), 0)
    canvas = ImageDraw.Draw(mask)
    if rng.uniform() < 0.5:
        canvas.ellipse((0, 0, w - 1, h - 1), fill=255)
    else:
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * 0.75 + rng.uniform(0, 0.25, size=(4, 2))
        canvas.polygon([tuple(c) for c in (corners * (w - 1, h - 1)).tolist()], fill=255)
    if rng.uniform() < 0.5:
        patch = Image.new("RGB", (w, h), tuple(int(c) for c in rng.uniform(0, 255, size=3)))
    else:
        a, b = int(rng.uniform(0, width - w)), int(rng.uniform(0, height - h))
        patch = image.crop((a, b, a + w, b + h)).rotate(180)
    covered = image.copy()
    covered.paste(patch, (int(x), int(y)), mask)
    return covered


def _motion_blur(image: Image.Image, length: float, direction: float) -> Image.Image:
    """Return the mean of copies that are shifted along a line of a length in pixels."""
    steps = max(2, min(9, round(length)))
    along = np.array([np.cos(np.radians(direction)), np.sin(np.radians(direction))])
    total, opaque = np.zeros((image.height, image.width, 3), dtype=np.float32), image.convert("RGBA")
    for at in np.linspace(-0.5, 0.5, steps):
        dx, dy = at * length * along
        moved = np.asarray(
            opaque.transform(image.size, Image.Transform.AFFINE, (1, 0, dx, 0, 1, dy), Image.Resampling.BILINEAR)
        )
        # pixels from outside the image are transparent, and replaced by those of the image
        total += np.where(moved[..., 3:] > 0, moved[..., :3], np.asarray(image))
    return Image.fromarray((total / steps + 0.5).clip(0, 255).astype(np.uint8))
