"""How the pictures of the corpus are made: encoded by Pillow, or by hand where no program would write them."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

SIZE = (64, 48)
COLOURS = ((200, 30, 40), (10, 180, 30), (30, 20, 230), (240, 240, 235))
"""Of the quarters: upper left, upper right, lower left, lower right."""

GREYS = tuple((grey,) * 3 for grey in (17, 85, 153, 238))


def quarters(colours: tuple[tuple[int, ...], ...] = COLOURS, size: tuple[int, int] = SIZE) -> Image.Image:
    width, height = size
    pixels = np.empty((height, width, len(colours[0])), dtype=np.uint8)
    for place, colour in enumerate(colours):
        rows = slice(height // 2, None) if place // 2 else slice(height // 2)
        pixels[rows, slice(width // 2, None) if place % 2 else slice(width // 2)] = colour
    return Image.fromarray(pixels)


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or quarters()).save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded("JPEG", quality=95, subsampling=0)
PNG = encoded("PNG")
_rng = np.random.default_rng(0)
NOISE = Image.fromarray(_rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
JUNK = _rng.bytes(3000)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, depth: int, colour: int, rows: bytes, before: bytes = b"", behind: bytes = b""
) -> bytes:
    """A PNG of given rows, each with its filter byte, and chunks before and behind them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + behind + chunk(b"IEND", b"")


def grey_png(depth: int) -> bytes:
    """The grey quarters at so many bits a pixel, of which all but 1 bit hold them exactly."""
    levels = np.asarray(quarters(GREYS))[..., 0].astype(np.int64) * (2**depth - 1) // 255
    bits = (levels[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.reshape(len(levels), -1).astype(np.uint8), axis=1)
    return png(*SIZE, depth, 0, b"".join(b"\0" + row.tobytes() for row in rows))


def deep_png() -> bytes:
    """The coloured quarters at 16 bits a channel."""
    pixels = (np.asarray(quarters()).astype(">u2") * 257).reshape(SIZE[1], -1)
    return png(*SIZE, 16, 2, b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))


def text_png(before: bytes = b"", behind: bytes = b"") -> bytes:
    rows = np.asarray(quarters()).reshape(SIZE[1], -1)
    return png(*SIZE, 8, 2, b"".join(b"\0" + row.tobytes() for row in rows), before, behind)


_T = Image.Transpose
_TURNED = (_T.FLIP_LEFT_RIGHT, _T.ROTATE_180, _T.FLIP_TOP_BOTTOM, _T.TRANSPOSE, _T.ROTATE_90, _T.TRANSVERSE)
TURNS = dict(enumerate((None, *_TURNED, _T.ROTATE_270), start=1))
"""EXIF orientation → what was done to the upright picture."""


def turned(orientation: int, kind: str = "JPEG", **options: Any) -> bytes:
    turn, exif = TURNS.get(orientation), Image.Exif()
    exif[0x0112] = orientation
    image = quarters() if turn is None else quarters().transpose(turn)
    return encoded(kind, image, exif=exif, **options)


def jpeg_turned(orientation: int) -> bytes:
    return turned(orientation, quality=95, subsampling=0)


def over_white(alpha: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(round((c * alpha + 255 * (255 - alpha)) / 255) for c in colour) for colour in COLOURS)


def transparent(alpha: int) -> Image.Image:
    image = quarters()
    image.putalpha(alpha)
    return image


def palette(**options: Any) -> bytes:
    return encoded("PNG", quarters().quantize(4), **options)


def flipped(content: bytes, place: int) -> bytes:
    damaged = bytearray(content)
    damaged[place] ^= 0x55
    return bytes(damaged)


def riddled(seed: int) -> bytes:
    """A JPEG with wrong bytes in its pixels' code, of which a decoder makes something."""
    content, rng = bytearray(encoded("JPEG", NOISE, quality=95)), np.random.default_rng(seed)
    for place in rng.integers(700, len(content) - 2, 40):
        content[place] = rng.integers(0, 255)  # no marker
    return bytes(content)


def tiff_entries(*entries: tuple[int, int, int, int]) -> bytes:
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)


GREY_STRIP = ((258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (279, 4, 1, 100))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n(it runs) print\nshowpage\n%%EOF\n"
WMF = b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<hhhhH", 0, 0, 100, 100, 72) + b"\0\0\0\0\0\0\x01\0\x09\0" + b"\0" * 100
GIF_BOMB = (
    b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff,"
    + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02D\x01\0;"
)  # fmt: skip
LONG = zlib.compress(bytes(3_000_000))
