"""One image of a set as files, with its record."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deepgllim.synthetic.capture import apply_capture, encode_jpeg
from deepgllim.synthetic.head_file import load_head_model
from deepgllim.synthetic.posing import label
from deepgllim.synthetic.records import Record, record
from deepgllim.synthetic.sampler import SceneSampler
from deepgllim.synthetic.scene import Scene


class SceneRenderer(Protocol):
    """Interface of a renderer, such as `Renderer`."""

    def draw(self, scene: Scene) -> npt.NDArray[np.uint8]:
        """Return the image of a scene, RGB, (H, W, 3)."""

    def depth(self, scene: Scene) -> npt.NDArray[np.float32]:
        """Return distances along the z axis of the camera, (H, W), metres; 0 in the background."""

    def close(self) -> None:
        """Release the context."""


@dataclass(frozen=True)
class RenderedPicture:
    """An image of a set.

    Attributes:
        files: contents by path within the folder of the set, the image first.
        record: record of the image, with its `path`.
    """

    files: dict[str, bytes]
    record: Record


PictureFunction = Callable[[SceneSampler, int, SceneRenderer], RenderedPicture]
"""Renders image n of a set."""


def render_picture(sampler: SceneSampler, index: int, renderer: SceneRenderer) -> RenderedPicture:
    """Render image `index` as a JPEG file, `images/000/000123.jpg`."""
    scene = sampler(index)
    picture = encode_jpeg(apply_capture(renderer.draw(scene), scene.capture), scene.capture.jpeg_quality)
    path = f"images/{index // 1000:03d}/{index:06d}.jpg"
    values = record(sampler, index, scene, label(load_head_model(), scene))
    return RenderedPicture({path: picture}, {"path": path, **values})
