"""One picture of a set: rendered, developed, encoded, with its record; as files by name. Used by every layout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deepgllim.synthetic.capture import apply_capture, encode
from deepgllim.synthetic.heads import load_head_model
from deepgllim.synthetic.posing import label
from deepgllim.synthetic.records import Record, record
from deepgllim.synthetic.scene import Scene
from deepgllim.synthetic.sets import SceneSampler


class SceneRenderer(Protocol):
    """What a renderer does: `deepgllim.synthetic.renderer.Renderer`, or one for tests."""

    def draw(self, scene: Scene) -> npt.NDArray[np.uint8]:
        """The scene, (H, W, 3)."""

    def depth(self, scene: Scene) -> npt.NDArray[np.float32]:
        """Metres along the camera's z, (H, W), 0 where nobody is."""

    def close(self) -> None:
        """Give the context back."""


@dataclass(frozen=True)
class RenderedPicture:
    """A finished picture.

    Attributes:
        files: contents by path within the set's folder, the picture first.
        record: what is known of it, with the picture's `path`.
    """

    files: dict[str, bytes]
    record: Record


PictureFunction = Callable[[SceneSampler, int, SceneRenderer], RenderedPicture]
"""Picture n of a set, drawn by a renderer."""


def render_picture(sampler: SceneSampler, index: int, renderer: SceneRenderer) -> RenderedPicture:
    """Picture `index` as a JPEG, `images/000/000123.jpg`."""
    scene = sampler(index)
    picture = encode(apply_capture(renderer.draw(scene), scene.capture), scene.capture.jpeg_quality)
    path = f"images/{index // 1000:03d}/{index:06d}.jpg"
    known = record(sampler, index, scene, label(load_head_model(), scene))
    return RenderedPicture({path: picture}, {"path": path, **known})
