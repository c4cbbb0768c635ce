"""A hundred valid and malicious pictures: the correct pixels, or an error of one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from deepgllim.errors import ImageError
from deepgllim.imaging.images import image_size, open_image
from tests.corpus.outcomes import Refused, both_kinds, refuses
from tests.corpus.pictures import PICTURES, Shows


def test_there_are_a_hundred_of_both_kinds() -> None:
    assert len(PICTURES) >= 100
    assert both_kinds((case.expected for case in PICTURES.values()), 40)


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    make, expected, file = PICTURES[name]
    make(tmp_path / file)
    if isinstance(expected, Refused):
        refuses(lambda: open_image(tmp_path / file), expected)
        return
    for source in (tmp_path / file, (tmp_path / file).read_bytes()):
        check(open_image(source), expected)
        assert image_size(source) == expected.size


def check(image: Image.Image, expected: Shows) -> None:
    assert (image.mode, image.size) == ("RGB", expected.size)
    width, height = image.size
    places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    for place, colour in zip(places, expected.colours or (), strict=expected.colours is not None):
        seen = np.asarray(image.getpixel(place), dtype=np.int64)
        assert np.abs(seen - colour).max() <= expected.tolerance, (place, seen, colour)


@pytest.mark.parametrize("address", ["http://127.0.0.1/a.jpg", "file:///etc/hostname", "rtsp://127.0.0.1/a"])
def test_an_address_is_not_opened(address: str) -> None:
    refuses(lambda: open_image(address), Refused(ImageError, "is an address, and addresses are not opened"))
