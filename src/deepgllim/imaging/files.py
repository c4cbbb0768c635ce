"""Opening of image files: formats, limits on the size, and messages for files that cannot be read.

Pillow recognises a format by the content, not by the name, and some formats are programs: it runs Ghostscript for an
EPS file named photo.jpg. The package opens all images here, with an explicit list of formats.
"""

import importlib
import io
import os
import struct
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, BinaryIO, TypeVar

from PIL import Image, UnidentifiedImageError

from deepgllim.errors import ImageError
from deepgllim.storage import irregular

PictureFile = str | os.PathLike[str] | bytes
"""A path, or the content of a file."""

Result = TypeVar("Result")

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF", "TGA")
"""Pillow's names of the supported formats. HEIC is also supported if the package pillow-heif is installed."""

_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP"))
"""Chunks that do not affect the pixels: texts, XMP, a colour profile."""

_ORIENTATION_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0\0")
_SMALL_TEXT = 1 << 20

_warnings_lock = threading.Lock()  # warnings.catch_warnings is not safe between threads


def _replace_lock() -> None:
    """Replace the lock in a forked process, where another thread of the parent may have held it."""
    global _warnings_lock
    _warnings_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_lock)


def read_picture(
    source: PictureFile, work: Callable[[Image.Image], Result], *, max_pixels: int | None = None
) -> Result:
    """Open an image file, apply a function to the image, and close the file.

    The limits are checked with the header, before any pixel is decoded.

    Args:
        source: a path, or the content of a file.
        work: function of the opened image, which is not decoded yet. If the first call fails, it may be called again
            with the image without its texts and profile.
        max_pixels: largest number of pixels; `PIL.Image.MAX_IMAGE_PIXELS` applies in any case.

    Returns:
        The result of `work`.

    Raises:
        ImageError: the file does not exist, is not a regular file, is not an image, is truncated or too large. The
            message names the path, the cause and a remedy; the exception of the decoder is its `__cause__`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 7).save(f"{folder}/grey.png")
        ...     read_picture(f"{folder}/grey.png", lambda image: (image.format, image.size))
        ('PNG', (4, 3))
    """
    name = "the picture" if isinstance(source, bytes) else os.fspath(source)
    try:
        with closing(_open_file(source)) as file:
            return _apply(file, work, max_pixels)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:  # decoders of damaged files raise anything from OSError to IndexError
        raise ImageError(f"{name}: {_explain(error)}") from error


def _open_file(source: PictureFile) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    cause = irregular(source)
    if cause is not None:
        raise ImageError(cause)
    try:
        return Path(source).open("rb")
    except FileNotFoundError as error:
        raise ImageError("the picture does not exist; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ImageError(f"the picture cannot be opened ({cause}); check the path and its permissions") from error


def _apply(file: BinaryIO, work: Callable[[Image.Image], Result], max_pixels: int | None) -> Result:
    """Apply `work` to an image, without its texts and profile if Pillow refuses them."""
    try:
        return work(_check_size(_read_header(file), max_pixels))
    except ImageError:
        raise
    except Exception as error:
        plain = drop_png_texts(file)
        if plain is None:
            raise
        try:
            return work(_check_size(_read_header(plain), max_pixels))
        except Exception:
            raise error from None


def _read_header(file: BinaryIO) -> Image.Image:
    """Open an image without decoding it; a warning about its size is an error, one about EXIF is ignored."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", "Corrupt EXIF", UserWarning)
        Image.preinit()
        try:
            return Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            if not _is_heic(file):
                raise
            return _open_heic(file)


def _check_size(image: Image.Image, max_pixels: int | None) -> Image.Image:
    """Return the image, or raise an error if it has too many pixels."""
    pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if max_pixels is not None and pixels > max_pixels:
        found = f"it has {pixels / 1e6:.4g} megapixels, and up to {max_pixels / 1e6:.4g} are taken"
        raise ImageError(f"{found}; scale the picture down")
    if most is not None and pixels > most:  # for the formats that Pillow does not check itself
        raise Image.DecompressionBombError(f"{pixels} pixels exceed the limit of {most} pixels")
    return image


def _is_heic(file: BinaryIO) -> bool:
    file.seek(0)
    start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:] in _HEIC_BRANDS


def _open_heic(file: BinaryIO) -> Image.Image:
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise ImageError(
            "the file is a HEIC picture, which needs the package pillow-heif: pip install 'pillow-heif>=1.7', or "
            "convert it to JPEG"
        ) from error
    file.seek(0)
    picture: Image.Image = heif.HeifImageFile(file)
    return picture


def drop_png_texts(file: BinaryIO) -> BinaryIO | None:
    """Return a PNG without its texts and colour profile, or None if it has none.

    Pillow refuses a PNG with a text, XMP or profile of more than 1 MiB. Small texts that may contain the orientation
    are kept. Nothing is decompressed.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("L", (4, 3), 7).save(buffer, "png")
        >>> drop_png_texts(buffer) is None
        True
    """
    file.seek(0)
    if file.read(len(_PNG)) != _PNG:
        return None
    copy, dropped = io.BytesIO(), False
    copy.write(_PNG)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        content = file.read(length + 4)  # including the checksum
        if kind in _PNG_TEXTS and not (length < _SMALL_TEXT and content.startswith(_ORIENTATION_TEXTS)):
            dropped = True
        else:
            copy.write(header + content)
    copy.seek(0)
    return copy if dropped else None


def has_trailing_metadata(file: IO[bytes]) -> bool:
    """Return whether a PNG has an EXIF block or texts after its pixels, which Pillow reads only by decoding them."""
    position, pixels = file.tell(), False
    try:
        file.seek(len(_PNG))
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            pixels = pixels or kind == b"IDAT"
            if pixels and (kind == b"eXIf" or kind in _PNG_TEXTS):
                return True
            file.seek(length + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(position)


def _explain(error: Exception) -> str:
    match error:
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return f"the picture is too large ({error}); shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        case UnidentifiedImageError():
            return f"the file is not a picture in a format that is read ({', '.join(FORMATS)}); convert it to JPEG"
        case MemoryError():
            return "the picture does not fit into memory; shrink it"
    return f"the picture cannot be decoded ({error}); it is truncated or damaged: copy or download it again"
