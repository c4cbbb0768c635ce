"""Shared helpers of the tests of the page: predictors without a model, pictures, and requests."""

import http.client
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.pose import Pose, PoseMode

R = rotation_from_angles(12, -23, 4)
POSE = Pose(R, 9.0 * np.eye(3), box=(20, 20, 80, 80), log_density=-41.25, in_distribution=True)
MODES = (PoseMode(R, np.eye(3), 0.6), PoseMode(rotation_from_angles(0, 40, 0), np.eye(3), 0.4))
STRANGE = Pose(R, np.eye(3), modes=MODES, box=(5, 5, 30, 30), log_density=-900.0, in_distribution=False)
PARTIAL = Pose(np.eye(3), np.eye(3), unknown=("roll", "neck_roll"))


class ConstantPredictor:
    """A predictor of the same poses for every picture."""

    def __init__(self, *poses: Pose) -> None:
        self.poses = poses

    def predict(self, image: Image.Image) -> list[Pose]:
        return list(self.poses)


class RecordingPredictor:
    """A predictor of a yaw that depends on the red level of a picture; it waits for an event and records its calls."""

    def __init__(self) -> None:
        self.may_continue, self.lock = threading.Event(), threading.Lock()
        self.may_continue.set()
        self.started, self.pixels, self.most_pixels = 0, 0, 0
        self.threads: set[int] = set()

    def predict(self, image: Image.Image) -> list[Pose]:
        with self.lock:
            self.started += 1
            self.pixels += image.width * image.height
            self.most_pixels = max(self.most_pixels, self.pixels)
            self.threads.add(threading.get_ident())
        try:
            assert self.may_continue.wait(60)
            pixel = image.getpixel((0, 0))
            assert isinstance(pixel, tuple)
            return [Pose(rotation_from_angles(0, pixel[0] - 128, 0), np.eye(3))]
        finally:
            with self.lock:
                self.pixels -= image.width * image.height


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def ask(
    port: int,
    path: str = "/api/poses",
    content: bytes | Iterable[bytes] | None = None,
    method: str = "POST",
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Send a request to this machine; chunks are sent without a content length."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body=content, headers=dict(headers))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def get(port: int, path: str = "/", **headers: str) -> Answer:
    return ask(port, path, method="GET", headers=headers)


def picture(red: int = 150, size: tuple[int, int] = (60, 40), kind: str = "png") -> bytes:
    """Return a file of a picture of one colour."""
    return saved(Image.new("RGB", size, (red, 100, 90)), kind)


def saved(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return the header of a PNG without the pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n%%EOF\n"
HOSTILE: dict[str, bytes] = {
    "text": b"no picture",
    "nulls": bytes(1000),
    "half a PNG": picture()[:60],
    "half a JPEG": picture(kind="jpeg")[:300],
    "damaged PNG": picture()[:50] + b"\xff" * 20 + picture()[70:],
    "HEIC": HEIC,
    "EPS": EPS,
    "PDF": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "playlist": b"#EXTM3U\nfile:///etc/passwd\n",
    "floating point": saved(Image.new("F", (4, 4)), "tiff"),
    "header of 81 megapixels": png_header(9000, 9000),
    "header of 10 gigapixels": png_header(100_000, 100_000),
    "header of 2^31": png_header(2**31 - 1, 2**31 - 1),
}
"""Files that are rejected with an error of one line."""
