"""Scenes to test with: one symmetric person of the mean shape, looking ahead, whose skin shows no pattern."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import settings

from deepgllim.geometry.rotations import mirror_rotation
from deepgllim.synthetic import (
    Appearance,
    Background,
    Camera,
    HeadModel,
    Light,
    Person,
    Scene,
    Wear,
    fit_camera,
    load_head_model,
    to_camera,
)
from deepgllim.synthetic.randomisation import FIXED_CAPTURE
from deepgllim.synthetic.scene import Array

properties = settings(deadline=None, max_examples=15, derandomize=True, database=None)

PLAIN_LOOK = Appearance(
    skin=(0.83, 0.63, 0.51),
    tone=0.3,
    lips=(0.75, 0.45, 0.40),
    iris=(0.33, 0.20, 0.10),
    hair=(0.06, 0.05, 0.05),
    beard_colour=(0.06, 0.05, 0.05),
    freckles=0.0,
    blush=0.0,
    wrinkles=0.0,
    blotches=0.0,
    shine=0.1,
    brows=0.5,
    hair_style="bald",
    hair_volume=0.0,
    hair_length=0.0,
    hairline=0.0,
    curls=0.0,
    beard="none",
    beard_length=0.0,
    pattern_seed=5,
)
PLAIN_WEAR = Wear(
    cloth=(0.3, 0.35, 0.5),
    cloth_second=(0.3, 0.35, 0.5),
    pattern="plain",
    neckline=0.0,
    glasses="none",
    glasses_colour=(0.05, 0.05, 0.05),
    glasses_size=1.0,
    hat="none",
    hat_colour=(0.7, 0.1, 0.1),
)
LIGHT = Light((0.0, -0.5, -1.0), (0.7, 0.7, 0.7))


def mean_person(**look: Any) -> Person:
    """The mean head, with changes of its appearance."""
    model = load_head_model()
    return Person(0, model.identity(np.zeros(len(model.basis))), replace(PLAIN_LOOK, **look))


def frontal(size: int = 96, margin: float = 1.6, distance: float = 1.0, **changes: Any) -> Scene:
    """The mean head before a plain background, with changes; the face fills the picture at R = I."""
    scene = Scene(
        person=mean_person(),
        expression={},
        gaze=(0.0, 0.0),
        rotation=np.eye(3),
        torso=np.eye(3),
        camera=Camera(size, size, 1.0, (0.0, 0.0), (0.0, 0.0, distance)),
        lights=(LIGHT,),
        ambient=((0.3, 0.3, 0.3), (0.2, 0.2, 0.2)),
        wear=PLAIN_WEAR,
        background=Background("plain", 3),
        capture=FIXED_CAPTURE,
    )
    return replace(fit_camera(scene, load_head_model(), margin), **changes)


def assert_same(first: object, second: object) -> None:
    """Two dataclasses with arrays in them are equal in every value."""
    np.testing.assert_equal(asdict(first), asdict(second))  # type: ignore[call-overload]


def pixels_of(scene: Scene, points: npt.ArrayLike) -> Array:
    """Where points of the head's frame, (..., 3), are seen: (..., 2)."""
    return scene.camera.project(to_camera(points, scene))


def head_only(model: HeadModel) -> npt.NDArray[np.int64]:
    """The vertices that follow the head's turn in full."""
    return np.flatnonzero(model.head_weights == 1)


def mirrored(scene: Scene) -> Scene:
    """The scene whose picture is the scene's, flipped left to right, where the person is symmetric."""
    camera, (x, y, z) = scene.camera, scene.camera.translation
    centre = (camera.width - camera.centre[0], camera.centre[1])
    sides = {"Left": "Right", "Right": "Left"}
    return replace(
        scene,
        expression={_swapped(name, sides): weight for name, weight in scene.expression.items()},
        gaze=(-scene.gaze[0], scene.gaze[1]),
        rotation=mirror_rotation(scene.rotation),
        torso=mirror_rotation(scene.torso),
        camera=replace(camera, centre=centre, translation=(-x, y, z)),
        lights=tuple(replace(each, position=(-each.position[0], *each.position[1:])) for each in scene.lights),
    )


def _swapped(name: str, sides: dict[str, str]) -> str:
    for side, other in sides.items():
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name
