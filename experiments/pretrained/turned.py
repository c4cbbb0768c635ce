"""Portraits turned in space: a photograph as the texture of a head, drawn in other poses.

The pose of the portrait is predicted by a model that was trained on rendered heads, and a random head of the linear
model is placed in that pose at the box of the face. Each vertex has the colour of the pixel that it is projected to;
the head is then turned about its joint with the neck and drawn over the portrait. The turn is known exactly; the error
of the predicted pose is the same for all pictures of a person. The method is that of 300W-LP (Zhu et al., CVPR 2016)
with a generic head.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

from deepgllim import HeadPose
from deepgllim.data import Manifest
from deepgllim.geometry import NECK_ANGLES, rotation_from_pan_tilt
from deepgllim.imaging import open_image
from deepgllim.synthetic import (
    HEAD_TO_CAMERA,
    Camera,
    Scene,
    SceneSampler,
    head_vertices,
    label,
    load_head_model,
    to_camera,
)
from deepgllim.synthetic.gl import open_context, projection

Array = NDArray[np.float64]

VIEWS = 8
"""Number of turned pictures of a portrait; the portrait is used too."""

TURNS = (20.0, 40.0, 8.0)
"""Largest turns of tilt and pan, and the standard deviation of that of the neck roll, degrees. Beyond, the parts of the
head that the portrait does not show become visible."""

DISTANCE = 1.2
"""Distance of the camera, metres."""

VARIATION = 0.5
"""Factor on the coefficients of a random head."""

OVERSAMPLING = 2
PARTS = ("skin", "scalp", "brow", "lips", "ear", "eye_left", "eye_right")

VERTEX_SHADER = """#version 330
in vec3 position; in vec2 place; out vec2 texel; uniform mat4 projection;
void main() { texel = place; gl_Position = projection * vec4(position, 1.0); }"""

FRAGMENT_SHADER = """#version 330
in vec2 texel; out vec4 colour; uniform sampler2D portrait;
void main() { colour = vec4(texture(portrait, texel).rgb, 1.0); }"""


class Portrait(NamedTuple):
    """A portrait with one face of a predicted pose."""

    path: Path
    picture: Image.Image
    box: tuple[float, float, float, float]
    neck_angles: Array


def turned_portraits(folder: Path, heads: HeadPose, work: Path, every: int = 1) -> Manifest:
    """Return the manifest of turned portraits below a work folder; they are drawn if they are absent.

    Args:
        folder: folder of portraits of different people.
        heads: model that predicts the poses of the portraits.
        work: folder for the pictures and their manifest.
        every: use every n-th portrait.
    """
    target = work / "turned"
    table = target / "manifest.csv"
    if not table.is_file():
        target.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, object]] = []
        with Turner() as turner:
            for portrait in posed(sorted(folder.glob("*.jpg"))[::every], heads):
                rows += draw_views(turner, portrait, target)
        pd.DataFrame(rows).to_csv(table, index=False)
    return Manifest(pd.read_csv(table, dtype={"subject": str}), NECK_ANGLES)


def posed(paths: list[Path], heads: HeadPose) -> Iterator[Portrait]:
    """Yield the portraits with one face, with the mean of the poses of the portrait and of its mirror image."""
    signs = np.array([1.0, -1.0, -1.0])
    for path in paths:
        picture = open_image(path).convert("RGB")
        found, mirrored = heads.predict(picture), heads.predict(ImageOps.mirror(picture))
        if len(found) == len(mirrored) == 1 and found[0].box is not None:
            angles = (np.asarray(found[0].neck_angles) + signs * np.asarray(mirrored[0].neck_angles)) / 2
            yield Portrait(path, picture, found[0].box, angles)


def draw_views(turner: "Turner", portrait: Portrait, target: Path) -> Iterator[dict[str, object]]:
    """Write the views of a portrait, and yield their rows of the manifest; the first is the portrait itself."""
    generator = np.random.default_rng(int.from_bytes(portrait.path.stem.encode(), "big") % 2**32)
    scene = placed_head(portrait, generator)
    for view in range(1 + VIEWS):
        turn = np.zeros(3) if view == 0 else random_turn(generator)
        angles = portrait.neck_angles + turn
        turned = turn_head(scene, rotation_from_pan_tilt(angles[1], angles[0], angles[2]))
        picture = portrait.picture if view == 0 else turner.draw(portrait.picture, scene, turned)
        path = target / f"{portrait.path.stem}_{view}.jpg"
        picture.save(path, quality=92)
        box = dict(zip(("x0", "y0", "x1", "y1"), label(load_head_model(), turned).box, strict=True))
        yield {"path": str(path), "subject": f"portrait {portrait.path.stem}", **box} | dict(
            zip(NECK_ANGLES, angles, strict=True)
        )


def random_turn(generator: np.random.Generator) -> Array:
    """Return random changes of tilt, pan and neck roll, degrees."""
    tilt, pan, roll = TURNS
    return np.array([generator.uniform(-tilt, tilt), generator.uniform(-pan, pan), generator.normal(0, roll)])


def placed_head(portrait: Portrait, generator: np.random.Generator) -> Scene:
    """Return a scene with a random head in the pose of the portrait, whose face has the box of the portrait's."""
    model = load_head_model()
    identity = model.random_identity(int(generator.integers(2**31)))
    identity = model.identity(VARIATION * identity.coefficients)
    tilt, pan, roll = portrait.neck_angles
    rotation = rotation_from_pan_tilt(pan, tilt, roll)
    any_scene = SceneSampler("wide", 1, 64)(0)
    width, height = portrait.picture.size
    scene = replace(
        any_scene,
        person=replace(any_scene.person, identity=identity),
        expression={},
        gaze=(0.0, 0.0),
        rotation=rotation,
        torso=rotation,
        camera=Camera(width, height, 1.0, (0.0, 0.0), (0.0, 0.0, DISTANCE)),
    )
    low, high = np.reshape(label(model, scene).box, (2, 2))
    wanted_low, wanted_high = np.reshape(portrait.box, (2, 2))
    focal = float((wanted_high - wanted_low).max() / (high - low).max())
    x, y = (wanted_low + wanted_high) / 2 - focal * (low + high) / 2
    return replace(scene, camera=replace(scene.camera, focal=focal, centre=(float(x), float(y))))


def turn_head(scene: Scene, rotation: Array) -> Scene:
    """Return the scene with the head turned about its joint with the neck; the torso stays."""
    joint = load_head_model().pivots(scene.person.identity)["head"].astype(np.float64)
    shift = (scene.rotation - rotation) @ HEAD_TO_CAMERA @ joint
    x, y, z = (float(value) for value in np.array(scene.camera.translation) + shift)
    return replace(scene, rotation=rotation, camera=replace(scene.camera, translation=(x, y, z)))


class Turner:
    """Draw heads with the texture of a portrait, in a graphics context without a window; a context manager."""

    def __init__(self) -> None:
        import moderngl

        self.context = open_context()
        self.context.enable_only(moderngl.DEPTH_TEST)
        self.program = self.context.program(VERTEX_SHADER, FRAGMENT_SHADER)
        model = load_head_model()
        triangles = model.triangles[model.part(*PARTS)]
        moving = (model.head_weights[triangles] > 0).all(axis=1)
        self.indices = self.context.buffer(triangles[moving].astype(np.int32).tobytes())
        self._targets: dict[tuple[int, int], Any] = {}

    def draw(self, picture: Image.Image, scene: Scene, turned: Scene) -> Image.Image:
        """Return a portrait over which its head is drawn as in another scene.

        Args:
            picture: the portrait.
            scene: scene with the head in the pose of the portrait, which gives its texture.
            turned: scene with the head in another pose.
        """
        model, (width, height) = load_head_model(), picture.size
        at = scene.camera.project(to_camera(head_vertices(model, scene), scene)) / [width, height]
        vertices = to_camera(head_vertices(model, turned), turned)
        size = (OVERSAMPLING * width, OVERSAMPLING * height)
        buffer = self.context.buffer(np.concatenate([vertices, at], axis=1).astype(np.float32).tobytes())
        array = self.context.vertex_array(self.program, [(buffer, "3f 2f", "position", "place")], self.indices)
        texture = self.context.texture(picture.size, 3, picture.tobytes(), alignment=1)
        texture.repeat_x = texture.repeat_y = False
        if size not in self._targets:  # a released framebuffer would leave its buffers behind
            self._targets[size] = self.context.simple_framebuffer(size, 4)
        target = self._targets[size]
        target.use()
        target.clear()
        texture.use(0)
        uniform: Any = self.program["projection"]
        uniform.write(projection(turned.camera).T.astype(np.float32).tobytes())
        array.render()
        head = Image.frombytes("RGBA", size, target.read(components=4)).resize(picture.size, Image.Resampling.BOX)
        for resource in (array, buffer, texture):
            resource.release()
        return Image.alpha_composite(picture.convert("RGBA"), head).convert("RGB")

    def __enter__(self) -> "Turner":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.context.release()
