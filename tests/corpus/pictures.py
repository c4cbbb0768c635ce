"""Valid and malicious pictures: the content of a file, or another object with its name."""

import os
import socket
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from deepgllim.errors import ImageError
from tests.corpus.drawn import (
    COLOURS,
    EPS,
    GIF_BOMB,
    GREY_STRIP,
    GREYS,
    JPEG,
    JUNK,
    LONG,
    NOISE,
    PNG,
    SIZE,
    TURNS,
    WMF,
    chunk,
    deep_png,
    encoded,
    flipped,
    grey_png,
    jpeg_turned,
    over_white,
    palette,
    png,
    quarters,
    riddled,
    text_png,
    tiff_entries,
    transparent,
    turned,
)
from tests.corpus.outcomes import Refused


class Shows(NamedTuple):
    """A picture's size, and the colours of its quarters within a tolerance; None where the damage may change them."""

    size: tuple[int, int] = SIZE
    colours: tuple[tuple[int, ...], ...] | None = COLOURS
    tolerance: int = 0


EXACT, LOSSY = Shows(), Shows(tolerance=12)
GREY = Shows(colours=GREYS)
OTHER_FORMAT = Refused(ImageError, "not a picture in a format that is read")
DAMAGED = Refused(ImageError, "it is truncated or damaged")
TOO_LARGE = Refused(ImageError, "the picture is too large")

Make = Callable[[Path], object]


class Case(NamedTuple):
    """How a file is made, what it must come to, and its name."""

    make: Make
    expected: Shows | Refused
    file: str = "photo.jpg"


def content(data: bytes | Callable[[], bytes]) -> Make:
    return lambda path: path.write_bytes(data() if callable(data) else data)


def linked(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def linked_to_jpeg(path: Path) -> None:
    path.with_name("a").write_bytes(JPEG)
    path.symlink_to("a")


def beginning(kind: str) -> bytes:
    return encoded(kind, NOISE)[:1200]


def bound(path: Path) -> None:
    """A socket, whose file stays when it is closed."""
    place, folder = socket.socket(socket.AF_UNIX), Path.cwd()
    os.chdir(path.parent)  # a socket's path has no room for a long folder
    try:
        place.bind(path.name)
    finally:
        os.chdir(folder)
        place.close()


def nothing(path: Path) -> None:
    """No file: the name alone is the case."""


HEALTHY: dict[str, Case] = {
    "jpeg": Case(content(JPEG), LOSSY),
    "jpeg of coarse colours": Case(content(lambda: encoded("JPEG", quality=90)), LOSSY),
    "jpeg, progressive": Case(content(lambda: encoded("JPEG", quality=95, progressive=True)), LOSSY),
    "png": Case(content(PNG), EXACT, "photo.png"),
    "png called jpg": Case(content(PNG), EXACT),
    "no suffix": Case(content(PNG), EXACT, "photo"),
    "bmp": Case(content(lambda: encoded("BMP")), EXACT, "photo.bmp"),
    "gif": Case(content(lambda: encoded("GIF")), EXACT, "photo.gif"),
    "ppm": Case(content(lambda: encoded("PPM")), EXACT, "photo.ppm"),
    "webp": Case(content(lambda: encoded("WEBP", quality=95)), LOSSY, "photo.webp"),
    "webp without loss": Case(content(lambda: encoded("WEBP", lossless=True)), EXACT, "photo.webp"),
    "tiff": Case(content(lambda: encoded("TIFF")), EXACT, "photo.tif"),
    "tiff, lzw": Case(content(lambda: encoded("TIFF", compression="tiff_lzw")), EXACT, "photo.tif"),
    "jpeg 2000": Case(content(lambda: encoded("JPEG2000")), EXACT, "photo.jp2"),
    "avif": Case(content(lambda: encoded("AVIF", quality=95)), LOSSY, "photo.avif"),
    "tga": Case(content(lambda: encoded("TGA")), EXACT, "photo.tga"),
    "tga, run lengths": Case(content(lambda: encoded("TGA", compression="tga_rle")), EXACT, "photo.tga"),
    "two pictures of a 3D camera": Case(
        content(lambda: encoded("MPO", save_all=True, append_images=[NOISE], quality=95)), LOSSY
    ),
    "grey": Case(content(lambda: encoded("PNG", quarters(GREYS).convert("L"))), GREY),
    "grey of 2 bits": Case(content(lambda: grey_png(2)), Shows(colours=GREYS, tolerance=68)),
    "grey of 4 bits": Case(content(lambda: grey_png(4)), GREY),
    "grey of 16 bits": Case(content(lambda: grey_png(16)), GREY),
    "grey of 16 bits, tiff": Case(
        content(lambda: encoded("TIFF", Image.fromarray(np.asarray(quarters(GREYS))[..., 0].astype(np.uint16) * 257))),
        GREY,
    ),
    "grey of 32 bits, tiff": Case(
        content(lambda: encoded("TIFF", Image.fromarray(np.asarray(quarters(GREYS))[..., 0].astype(np.int32) * 257))),
        GREY,
    ),
    "colours of 16 bits": Case(content(deep_png), EXACT),
    "black and white": Case(
        content(lambda: encoded("PNG", quarters(GREYS).convert("1", dither=Image.Dither.NONE))),
        Shows(colours=tuple((level,) * 3 for level in (0, 0, 255, 255))),
    ),
    "grey with alpha": Case(content(lambda: encoded("PNG", quarters(GREYS).convert("LA"))), GREY),
    "opaque alpha": Case(content(lambda: encoded("PNG", transparent(255))), EXACT),
    "half transparent": Case(content(lambda: encoded("PNG", transparent(128))), Shows(SIZE, over_white(128), 1)),
    "all transparent": Case(content(lambda: encoded("PNG", transparent(0))), Shows(SIZE, over_white(0))),
    "palette": Case(content(palette), EXACT),
    "palette, all transparent": Case(content(lambda: palette(transparency=bytes(4))), Shows(SIZE, over_white(0))),
    "cmyk": Case(content(lambda: encoded("JPEG", quarters().convert("CMYK"), quality=95)), LOSSY),
    "tiff of ycbcr, lzw": Case(
        content(lambda: encoded("TIFF", quarters().convert("YCbCr"), compression="tiff_lzw")), LOSSY, "photo.tif"
    ),
    "tiff of jpeg": Case(content(lambda: encoded("TIFF", compression="jpeg", quality=95)), LOSSY, "photo.tif"),
    **{f"orientation {o}": Case(content(partial(jpeg_turned, o)), LOSSY) for o in TURNS},
    **{f"orientation {o}": Case(content(partial(jpeg_turned, o)), LOSSY) for o in (0, 9, 255)},
    "orientation 6 of a png": Case(content(lambda: turned(6, "PNG")), EXACT),
    "orientation 8 of a webp": Case(content(lambda: turned(8, "WEBP", lossless=True)), EXACT),
    "exif of junk": Case(content(lambda: encoded("JPEG", quality=95, exif=b"Exif\0\0" + JUNK)), LOSSY),
    "profile of junk": Case(content(lambda: encoded("JPEG", quality=95, icc_profile=JUNK)), LOSSY),
    "animated gif": Case(content(lambda: encoded("GIF", save_all=True, append_images=[NOISE] * 3)), EXACT),
    "animated webp": Case(
        content(lambda: encoded("WEBP", save_all=True, append_images=[NOISE] * 3, lossless=True)), EXACT
    ),
    "animated png": Case(content(lambda: encoded("PNG", save_all=True, append_images=[NOISE] * 3)), EXACT),
    "jpeg twice": Case(content(JPEG + JPEG), LOSSY),
    "jpeg and an archive": Case(content(JPEG + b"PK\x03\x04" + JUNK), LOSSY),
    "png and more": Case(content(PNG + JUNK), EXACT),
    "png with a text of 3 MB": Case(content(lambda: text_png(chunk(b"zTXt", b"Comment\0\0" + LONG))), EXACT),
    "png with such a text behind": Case(content(lambda: text_png(behind=chunk(b"zTXt", b"Comment\0\0" + LONG))), EXACT),
    "png with a profile of 3 MB": Case(content(lambda: text_png(chunk(b"iCCP", b"icc\0\0" + LONG))), EXACT),
    "png with 70 texts of 3 MB": Case(content(lambda: text_png(chunk(b"zTXt", b"Comment\0\0" + LONG) * 70)), EXACT),
    "pixel": Case(content(lambda: encoded("PNG", quarters(COLOURS[:1] * 4, (1, 1)))), Shows((1, 1), COLOURS[:1] * 4)),
    "four pixels": Case(content(lambda: encoded("PNG", quarters(size=(2, 2)))), Shows((2, 2))),
    "line": Case(content(lambda: encoded("PNG", Image.new("RGB", (20000, 1)))), Shows((20000, 1), ((0, 0, 0),) * 4)),
    "column": Case(content(lambda: encoded("PNG", Image.new("RGB", (1, 20000)))), Shows((1, 20000), ((0, 0, 0),) * 4)),
    "jpeg with wrong bytes": Case(content(lambda: riddled(1)), Shows(colours=None)),
    "name with a line feed": Case(content(JPEG), LOSSY, "new\nline.jpg"),
    "name with an escape": Case(content(JPEG), LOSSY, "\x1b[2J\x1b[31mred.jpg"),
    "name of a formula": Case(content(JPEG), LOSSY, "=cmd|'calc'!A1.jpg"),
    "name in Japanese": Case(content(JPEG), LOSSY, "ümläut 日本.jpg"),
    "name in another encoding": Case(content(JPEG), LOSSY, os.fsdecode(b"caf\xe9.jpg")),
    "link": Case(linked_to_jpeg, LOSSY),
}

HOSTILE: dict[str, Case] = {
    "empty": Case(content(b""), OTHER_FORMAT),
    "text": Case(content(b"hello, I am no picture\n" * 10), OTHER_FORMAT),
    "zeros": Case(content(bytes(4096)), OTHER_FORMAT),
    "junk": Case(content(JUNK), OTHER_FORMAT),
    "jpeg, half": Case(content(lambda: encoded("JPEG", NOISE)[:2000]), DAMAGED),
    "jpeg, 100 bytes": Case(content(JPEG[:100]), Refused(ImageError, "photo.jpg: the ")),
    "jpeg of junk": Case(content(b"\xff\xd8\xff\xe0" + JUNK), Refused(ImageError, "photo.jpg: the ")),
    **{
        f"{kind}, cut": Case(content(partial(beginning, kind)), Refused(ImageError, "photo.jpg: the "))
        for kind in ("PNG", "WEBP", "JPEG2000", "BMP", "GIF", "TIFF", "AVIF", "PPM", "TGA")
    },
    "png, a wrong bit": Case(content(lambda: flipped(encoded("PNG", NOISE), 2000)), DAMAGED),
    "png without pixels": Case(content(lambda: png(8, 8, 8, 2, b"")), DAMAGED),
    "png of no width": Case(content(lambda: png(0, 8, 8, 2, b"\0" * 8)), Refused(ImageError, "photo.jpg: the ")),
    "png of 9,500 a side": Case(content(lambda: png(9500, 9500, 1, 0, bytes(9500 * 1189))), TOO_LARGE),
    "png of 100,000 a side": Case(content(lambda: png(100_000, 100_000, 8, 2, bytes(100))), TOO_LARGE),
    "png of 2^31 a side": Case(content(lambda: png(2**31 - 1, 2**31 - 1, 8, 2, b"")), TOO_LARGE),
    "gif of 65,535 a side": Case(content(GIF_BOMB), TOO_LARGE),
    "ppm of 100,000 a side": Case(content(b"P6 100000 100000 255\n" + bytes(100)), TOO_LARGE),
    "bmp of 100,000 a side": Case(
        content(lambda: encoded("BMP")[:18] + struct.pack("<ii", 100_000, 100_000) + encoded("BMP")[26:]), TOO_LARGE
    ),
    "tiff of 2^31 a side": Case(
        content(tiff_entries((256, 4, 1, 2**31 - 1), (257, 4, 1, 2**31 - 1), *GREY_STRIP)), TOO_LARGE
    ),
    "tiff of ycbcr as it is": Case(
        content(lambda: encoded("TIFF", quarters().convert("YCbCr"))),
        LOSSY,
    ),
    "tiff of ycbcr, cut": Case(
        content(lambda: encoded("TIFF", NOISE.convert("YCbCr"), compression="jpeg")[:2000]),
        Refused(ImageError, "photo.jpg: the "),
    ),
    "tiff of one entry": Case(content(tiff_entries((256, 4, 1, 10))), Refused(ImageError, "photo.jpg: the ")),
    "floating-point tiff": Case(
        content(lambda: encoded("TIFF", Image.fromarray(np.ones((4, 4), np.float32)))),
        Refused(ImageError, "floating-point pixels of unknown range; convert it to 8 bits"),
    ),
    "eps": Case(content(EPS), OTHER_FORMAT),
    "eps behind a header for DOS": Case(
        content(b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, len(EPS)) + bytes(18) + EPS), OTHER_FORMAT
    ),
    "wmf": Case(content(WMF), OTHER_FORMAT),
    **{
        kind: Case(content(partial(encoded, kind, quarters(size=(16, 16)))), OTHER_FORMAT)
        for kind in ("PCX", "ICO", "SGI", "DDS", "PDF", "ICNS")
    },
    "svg": Case(content(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'), OTHER_FORMAT),
    "psd": Case(content(b"8BPS\0\1" + bytes(200)), OTHER_FORMAT),
    "hdf5": Case(content(b"\x89HDF\r\n\x1a\n" + bytes(500)), OTHER_FORMAT),
    "grib": Case(content(b"GRIB\0\0\0\1" + bytes(100)), OTHER_FORMAT),
    "pipe": Case(lambda path: os.mkfifo(path), Refused(ImageError, "is a pipe, not a regular file")),
    "endless zeros": Case(linked("/dev/zero"), Refused(ImageError, "is a device, not a regular file")),
    "endless junk": Case(linked("/dev/urandom"), Refused(ImageError, "is a device, not a regular file")),
    "socket": Case(bound, Refused(ImageError, "is a socket, not a regular file")),
    "folder": Case(lambda path: path.mkdir(), Refused(ImageError, "is a folder; give a file")),
    "link to nothing": Case(linked("nowhere.jpg"), Refused(ImageError, "does not exist; check the path")),
    "link to itself": Case(linked("photo.jpg"), Refused(ImageError, "cannot be opened (")),
    "missing": Case(nothing, Refused(ImageError, "does not exist; check the path")),
    "name of 300 characters": Case(nothing, Refused(ImageError, "File name too long"), "x" * 300),
    "name with a null": Case(nothing, Refused(ImageError, "embedded null byte"), "a\0b.jpg"),
}

PICTURES = {**HEALTHY, **HOSTILE}
