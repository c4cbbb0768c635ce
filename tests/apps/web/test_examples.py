"""Test the example pictures of the page."""

import io
from pathlib import Path

from PIL import Image

from deepgllim.apps.web.examples import NAMES, example_images, example_pictures


def test_the_examples_are_pictures_of_640_pixels() -> None:
    images = [Image.open(io.BytesIO(content)) for content in example_images()]
    assert len(images) == len(NAMES)
    assert {image.size for image in images} == {(640, 480)}
    assert {image.format for image in images} == {"JPEG"}


def test_the_examples_are_written_to_a_folder(tmp_path: Path) -> None:
    paths = example_pictures(tmp_path)
    assert [path.read_bytes() for path in paths] == example_images()
