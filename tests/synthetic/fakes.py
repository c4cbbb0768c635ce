"""A renderer of uniform images, so that sets can be written without a GL driver."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepgllim.errors import RenderError
from deepgllim.synthetic import Scene, SceneSampler

SAMPLER = SceneSampler("wide", identities=4, size=24, seed=9)
IMAGES = 26
"""The set that most tests write."""


@dataclass
class FakeRenderer:
    """Return pixels that depend on the scene, and append one byte to `log` for each image, in any process."""

    log: Path | None = None
    fail_after: int | None = None
    seconds: float = 0.0
    drawn: int = 0
    closed: bool = False

    def draw(self, scene: Scene) -> npt.NDArray[np.uint8]:
        if self.drawn == self.fail_after:
            raise RenderError("the driver is gone: start it again")
        time.sleep(self.seconds)
        self.drawn += 1
        if self.log is not None:
            with self.log.open("ab") as file:
                file.write(b".")
        camera = scene.camera
        levels = np.abs(scene.rotation.ravel()[:3]) * 255
        return np.broadcast_to(levels.astype(np.uint8), (camera.height, camera.width, 3)).copy()

    def depth(self, scene: Scene) -> npt.NDArray[np.float32]:
        """Return a disc around the head, at its distance."""
        camera = scene.camera
        x, y = camera.project(np.array(camera.translation))
        rows, columns = np.mgrid[: camera.height, : camera.width]
        disc = np.hypot(columns - x, rows - y) < 60
        return np.where(disc, camera.translation[2], 0).astype(np.float32)

    def close(self) -> None:
        self.closed = True


def unable() -> FakeRenderer:
    """Raise the error of a machine without EGL."""
    raise RenderError("EGL gives no context: apt-get install libegl1")


def draws(log: Path) -> int:
    """Return the number of rendered images."""
    return log.stat().st_size if log.exists() else 0


def contents(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the digest of each file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in without)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def recorded(folder: Path) -> int:
    """Return the number of images in the parts."""
    return sum(len(part.read_bytes().splitlines()) for part in (folder / ".parts").glob("*.jsonl"))
