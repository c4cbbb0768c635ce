"""Files of pictures: which formats are read, within which limits, and why a file cannot be read.

Pillow recognises a format by the content, whatever the file is called, and some of its formats are programs: it would
run Ghostscript for an EPS named photo.jpg. All pictures are opened here, by an explicit list of formats.
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
"""Pillow's names of the formats that are read; HEIC too where the package pillow-heif is installed."""

_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt", b"iCCP"))
"""Chunks without which the pixels are the same: texts, XMP, a colour profile."""

_ORIENTATION_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0\0")
_SMALL_TEXT = 1 << 20

_warnings_lock = threading.Lock()  # warnings.catch_warnings is not safe between threads


def _renew_lock() -> None:
    """Another thread may have held the lock when the process was forked."""
    global _warnings_lock
    _warnings_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def read_picture(
    source: PictureFile, work: Callable[[Image.Image], Result], *, max_pixels: int | None = None
) -> Result:
    """Open a picture and return what `work` makes of it; the file is closed then.

    The limits are checked on the header, before any pixel is decoded.

    Args:
        source: a path, or a file's content.
        work: takes the picture as Pillow opened it, not decoded yet; it may be called a second time, with the same
            picture without its texts and profile, if the first call fails.
        max_pixels: refuse a picture of more pixels; `PIL.Image.MAX_IMAGE_PIXELS` holds in any case.

    Raises:
        ImageError: the file is missing, no regular file, not a picture, truncated, or too large. The message names the
            path, the cause and a remedy; the decoder's own exception is its `__cause__`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 7).save(f"{folder}/grey.png")
        ...     read_picture(f"{folder}/grey.png", lambda image: (image.format, image.size))
        ('PNG', (4, 3))
    """
    name = "the picture" if isinstance(source, bytes) else os.fspath(source)
    try:
        with closing(_file(source)) as file:
            return _worked(file, work, max_pixels)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:  # decoders of damaged files raise anything from OSError to IndexError
        raise ImageError(f"{name}: {_explanation(error)}") from error


def _file(source: PictureFile) -> BinaryIO:
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


def _worked(file: BinaryIO, work: Callable[[Image.Image], Result], max_pixels: int | None) -> Result:
    """What `work` makes of the picture, if need be without the texts and the profile that Pillow refuses."""
    image = None
    try:
        image = _checked(_opened(file), max_pixels)
        return work(image)
    except ImageError:
        raise
    except Exception as error:
        if image is not None and _is_plain_ycbcr(image):
            raise ImageError(
                "the file is an uncompressed TIFF in YCbCr colours, which is not read; save it as RGB, or as PNG"
            ) from error
        plain = without_texts(file)
        if plain is None:
            raise
        try:
            return work(_checked(_opened(plain), max_pixels))
        except Exception:
            raise error from None


def _opened(file: BinaryIO) -> Image.Image:
    """Read the header only; Pillow's warning about the size becomes an error, that about damaged EXIF goes."""
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


def _checked(image: Image.Image, max_pixels: int | None) -> Image.Image:
    """The picture, or ImageError if its header says more pixels than are taken."""
    pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if max_pixels is not None and pixels > max_pixels:
        found = f"it has {pixels / 1e6:.4g} megapixels, and up to {max_pixels / 1e6:.4g} are taken"
        raise ImageError(f"{found}; scale the picture down")
    if most is not None and pixels > most:  # of the formats that Pillow does not check itself
        raise Image.DecompressionBombError(f"{pixels} pixels exceed the limit of {most} pixels")
    return image


def _is_plain_ycbcr(image: Image.Image) -> bool:
    """Whether a picture is an uncompressed TIFF in YCbCr, most of which Pillow takes for truncated files."""
    from PIL.TiffImagePlugin import COMPRESSION, PHOTOMETRIC_INTERPRETATION, TiffImageFile

    return (
        isinstance(image, TiffImageFile)
        and (image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 6)
        and (image.tag_v2.get(COMPRESSION, 1) == 1)
    )


def _is_heic(file: BinaryIO) -> bool:
    file.seek(0)
    start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:] in _HEIC_BRANDS


def _open_heic(file: BinaryIO) -> Image.Image:
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise ImageError(
            "the file is a HEIC picture, which needs the package pillow-heif: pip install pillow-heif, or convert it "
            "to JPEG"
        ) from error
    file.seek(0)
    picture: Image.Image = heif.HeifImageFile(file)
    return picture


def without_texts(file: BinaryIO) -> BinaryIO | None:
    """A PNG without its texts and colour profile, none of which is decompressed; None where nothing is left out.

    Pillow refuses a PNG with a text, XMP or profile of more than 1 MiB, though its pixels are in order. What may tell
    the orientation stays.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("L", (4, 3), 7).save(buffer, "png")
        >>> without_texts(buffer) is None
        True
    """
    file.seek(0)
    if file.read(len(_PNG)) != _PNG:
        return None
    kept, left_out = io.BytesIO(), False
    kept.write(_PNG)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        content = file.read(length + 4)  # with its checksum
        if kind in _PNG_TEXTS and not (length < _SMALL_TEXT and content.startswith(_ORIENTATION_TEXTS)):
            left_out = True
        else:
            kept.write(header + content)
    kept.seek(0)
    return kept if left_out else None


def has_metadata_behind(file: IO[bytes]) -> bool:
    """Whether a PNG has an EXIF block or texts behind its pixels, where Pillow finds them only by decoding those."""
    place, decoded = file.tell(), False
    try:
        file.seek(len(_PNG))
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            decoded = decoded or kind == b"IDAT"
            if decoded and (kind == b"eXIf" or kind in _PNG_TEXTS):
                return True
            file.seek(length + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(place)


def _explanation(error: Exception) -> str:
    match error:
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return f"the picture is too large ({error}); shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        case UnidentifiedImageError():
            return f"the file is not a picture in a format that is read ({', '.join(FORMATS)}); convert it to JPEG"
        case MemoryError():
            return "the picture does not fit into memory; shrink it"
    return f"the picture cannot be decoded ({error}); it is truncated or damaged: copy or download it again"
