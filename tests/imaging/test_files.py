"""Tests of opening image files: formats, regular files, limits by the header, PNG files with long texts."""

import io
import os
import socket
import struct
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

from deepgllim.errors import ImageError
from deepgllim.imaging import files as picture_files
from deepgllim.imaging.files import FORMATS, read_picture
from deepgllim.imaging.images import image_size, open_image

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n(it runs\\n) print\nshowpage\n%%EOF\n"
WMF = b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<hhhhH", 0, 0, 100, 100, 72) + b"\0\0\0\0\0\0\x01\0\x09\0" + b"\0" * 100
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\x07" * 500


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunks(before: bytes = b"", behind: bytes = b"", width: int = 8, height: int = 6, rows: bytes = b"") -> bytes:
    """Return a PNG of grey pixels with chunks before and after them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows or (b"\0" + b"\x64" * width) * height))
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + behind + chunk(b"IEND", b"")


# --- formats


@pytest.mark.parametrize("name", ["photo.jpg", "photo.eps"])
@pytest.mark.parametrize("content", [EPS, WMF], ids=["eps", "wmf"])
def test_programs_are_refused(name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> None:
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    (tmp_path / name).write_bytes(content)
    for source in (tmp_path / name, content):
        for read in (open_image, image_size):
            with pytest.raises(ImageError, match=r"not a picture in a format that is read \(JPEG, PNG, .*convert it"):
                read(source)


@pytest.mark.parametrize("kind", ["PCX", "ICO", "SGI", "DDS", "PDF", "XBM", "MSP", "SPIDER"])
def test_other_formats_of_pillow_are_refused(kind: str, tmp_path: Path) -> None:
    image = noise(16, 16)
    image = image.convert("F") if kind == "SPIDER" else image.convert("1") if kind in ("XBM", "MSP") else image
    (tmp_path / "a.jpg").write_bytes(encoded(image, kind))
    with pytest.raises(ImageError, match=r"a\.jpg: the file is not a picture in a format that is read"):
        open_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_the_formats_named_are_read_from_files_and_from_memory(kind: str, tmp_path: Path) -> None:
    image, options = noise(16, 12), {"lossless": True} if kind == "WEBP" else {}
    content = encoded(image, kind, **options)
    (tmp_path / "wrong.suffix").write_bytes(content)
    for source in (tmp_path / "wrong.suffix", str(tmp_path / "wrong.suffix"), content):
        assert image_size(source) == (16, 12)
        opened = open_image(source)
        assert (opened.mode, opened.size) == ("RGB", (16, 12))
        if kind in ("PNG", "BMP", "PPM", "WEBP", "TIFF", "TGA"):
            assert np.array_equal(np.asarray(opened), np.asarray(image))


def test_content_that_is_not_an_image_is_refused_without_a_path() -> None:
    with pytest.raises(ImageError, match=r"^the picture: the file is not a picture in a format"):
        open_image(b"text")
    with pytest.raises(ImageError, match=r"^the picture: the picture cannot be decoded .*truncated or damaged"):
        open_image(encoded(noise(64, 64), "PNG")[:600])


def test_heic_names_the_package_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(HEIC)
    for source in (tmp_path / "a.jpg", HEIC, HEIC.replace(b"ftypheic", b"ftypmif1")):
        with pytest.raises(ImageError, match="which needs the package pillow-heif: pip install 'pillow-heif>="):
            open_image(source)


def test_heic_is_read_if_the_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses a replacement of pillow_heif, whose `HeifImageFile` takes a file as Pillow's classes do."""

    def picture(file: io.BytesIO) -> Image.Image:
        assert file.read() == HEIC
        return Image.open(io.BytesIO(encoded(noise(9, 7), "PNG")))

    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(HeifImageFile=picture))
    assert image_size(HEIC) == (9, 7)
    assert np.array_equal(np.asarray(open_image(HEIC)), np.asarray(noise(9, 7)))
    with pytest.raises(ImageError, match=r"6\.3e-05 megapixels"):
        open_image(HEIC, max_pixels=62)


def test_heic_is_read_by_the_package_itself() -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 40))).save(buffer, quality=95)
    assert image_size(buffer.getvalue()) == (64, 48)
    pixel = np.array(open_image(buffer.getvalue()).getpixel((30, 20)))
    assert np.abs(pixel - [200, 30, 40]).max() < 8


# --- limits


def test_pixels_are_counted_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF"):
        content = encoded(noise(30, 20), kind)
        assert image_size(content, max_pixels=600) == (30, 20)
        for read in (open_image, image_size):
            with pytest.raises(ImageError, match=r"0\.0006 megapixels, and up to 0\.000599 are taken; scale"):
                read(content, max_pixels=599)


def test_the_limit_of_pillow_applies_to_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = with_chunks(width=20_000, height=20_000, rows=b"\0")
    with pytest.raises(ImageError, match=r"the picture is too large .*shrink it"):
        open_image(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 47)
    with pytest.raises(ImageError, match="the picture is too large"):
        open_image(with_chunks())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert open_image(with_chunks()).size == (8, 6)


def test_conversion_by_strips_equals_conversion_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The edges of the strips must not be visible."""
    alpha = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 8, 4), dtype=np.uint8))
    deep = Image.fromarray(np.random.default_rng(2).integers(0, 65536, (40, 8), dtype=np.uint16))
    contents = [encoded(alpha, "PNG"), encoded(deep, "PNG"), encoded(alpha.quantize(8), "PNG", transparency=3)]
    whole = [np.asarray(open_image(content)) for content in contents]
    monkeypatch.setattr("deepgllim.imaging.conversion._STRIP", 7)
    for content, expected in zip(contents, whole, strict=True):
        assert np.array_equal(np.asarray(open_image(content)), expected)


# --- PNGs with long texts

LONG = zlib.compress(b"\0" * 3_000_000)
TEXTS = {
    "compressed text": chunk(b"zTXt", b"Comment\0\0" + LONG),
    "compressed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0" + LONG),
    "profile": chunk(b"iCCP", b"icc\0\0" + LONG),
    "many texts": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 1_000_000)) * 70,
    "plain text of 65 MiB": chunk(b"tEXt", b"Comment\0" + b"x" * (65 << 20)),
    "wrong checksum": chunk(b"iCCP", b"icc\0\0" + LONG)[:-1] + b"\0",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_png_with_a_long_text_is_read(name: str) -> None:
    for content in (with_chunks(TEXTS[name]), with_chunks(behind=TEXTS[name])):
        assert image_size(content) == (8, 6)
        assert open_image(content).getpixel((3, 3)) == (100, 100, 100)


def test_a_png_with_a_long_text_stays_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    hexadecimal = (b"exif\n%8d\n" % (len(block) + 6)) + (b"Exif\0\0" + block).hex().encode() + b"\n"
    raw = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\n" + hexadecimal))
    plain = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>')
    for orientation in (chunk(b"eXIf", block), raw, plain):
        for content in (
            with_chunks(TEXTS["profile"] + orientation),
            with_chunks(TEXTS["profile"], behind=orientation),
            with_chunks(behind=orientation),
        ):
            assert open_image(content).size == image_size(content) == (6, 8)


def test_a_damaged_png_with_a_long_text_is_damaged() -> None:
    content = with_chunks(TEXTS["profile"])
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_image(content[:-40])


# --- what is no regular file


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    place = socket.socket(socket.AF_UNIX)
    place.bind(str(tmp_path / "socket.jpg"))
    causes = {"fifo": "is a pipe", "zero": "is a device", "folder": "is a folder", "socket": "is a socket"}
    for name, cause in causes.items():
        for read in (open_image, image_size):
            with pytest.raises(ImageError, match=rf"{name}\.jpg: {cause}"):
                read(tmp_path / f"{name}.jpg")
    place.close()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    noise(4, 4).save(tmp_path / "a.jpg")
    assert open_image(tmp_path / "link.jpg").size == (4, 4)


def test_addresses_and_impossible_names_are_refused() -> None:
    with pytest.raises(ImageError, match=r"https://host/a\.jpg: is an address.* download or record it"):
        open_image("https://host/a.jpg")
    for name in ("a\0b.jpg", "x" * 5000):
        with pytest.raises(
            ImageError, match=r"the picture cannot be opened \((embedded null byte|File name too long)\)"
        ):
            open_image(name)


# --- one call at a time


def test_an_error_of_the_work_is_raised_once() -> None:
    """`work` is called again only if there are texts to drop."""
    calls: list[tuple[int, int]] = []

    def work(image: Image.Image) -> None:
        calls.append(image.size)
        raise RuntimeError("no")

    for content, count in ((with_chunks(), 1), (with_chunks(TEXTS["compressed text"]), 1)):
        calls.clear()
        with pytest.raises(ImageError, match=r"the picture cannot be decoded \((no|Decompressed)"):
            read_picture(content, work)
        assert len(calls) == count


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_another_thread_opens_a_picture_does_not_hang() -> None:
    renew: Callable[[], None] = picture_files._replace_lock
    held = picture_files._warnings_lock
    with held:  # as another thread would hold it at the time of the fork
        renew()
        assert open_image(with_chunks()).size == (8, 6)
    assert picture_files._warnings_lock is not held
