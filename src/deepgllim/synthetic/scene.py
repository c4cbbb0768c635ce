"""A scene: all that determines a rendered picture, as plain values that are saved with it.

Camera frame: x to the image's right, y down, z away from the camera; metres. A vertex of the head v goes to

    v_cam = R · diag(1, −1, −1) · v + t,    pixel = (f·x/z + c_x, f·y/z + c_y)

with R in the package's convention (`deepgllim.geometry.rotations`), and pixels counted from the upper left corner of
the upper left pixel, as boxes are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from deepgllim.synthetic.people import Colour, Person

Array = npt.NDArray[np.float64]

HEAD_TO_CAMERA: Array = np.diag([1.0, -1.0, -1.0])
"""The axes of the head model's frame in a camera's that it looks into."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera and where the head is before it.

    Attributes:
        width, height: of the picture, pixels.
        focal: f, pixels.
        centre: the principal point (c_x, c_y), pixels; outside the picture where the picture is a part of a larger one.
        translation: t, of the head's origin, the middle between the eyes, metres.
    """

    width: int
    height: int
    focal: float
    centre: tuple[float, float]
    translation: Triple

    def project(self, points: npt.ArrayLike) -> Array:
        """Pixels (..., 2) of points of the camera's frame, (..., 3).

        Example:
            >>> Camera(64, 64, 100.0, (32.0, 32.0), (0.0, 0.0, 1.0)).project([0.1, 0.0, 1.0])
            array([42., 32.])
        """
        p = np.asarray(points, dtype=np.float64)
        pixels: Array = self.focal * p[..., :2] / p[..., 2:] + np.array(self.centre)
        return pixels


@dataclass(frozen=True)
class Light:
    """A point light, without falloff.

    Attributes:
        position: metres, in the camera's frame.
        colour: linear red, green, blue; 1 lights a white surface that faces it to white.
    """

    position: Triple
    colour: Triple


@dataclass(frozen=True)
class Wear:
    """What a person wears in a picture.

    Attributes:
        cloth, cloth_second: colours of the shirt and of its pattern.
        pattern: of the shirt.
        neckline: metres by which the shirt's edge is higher (+) or lower (−).
        glasses, glasses_colour: their form; the colour of the rims.
        glasses_size: of the lenses against the usual.
        hat, hat_colour: what covers the hair.
    """

    cloth: Colour
    cloth_second: Colour
    pattern: Literal["plain", "stripes", "checks"]
    neckline: float
    glasses: Literal["none", "round", "square", "sun"]
    glasses_colour: Colour
    glasses_size: float
    hat: Literal["none", "beanie", "cap", "scarf"]
    hat_colour: Colour


@dataclass(frozen=True)
class Background:
    """What is behind the head: its kind, or a picture of the user's, and the seed of its details."""

    kind: Literal["plain", "gradient", "noise", "shapes", "room", "picture"]
    seed: int
    picture: str | None = None


@dataclass(frozen=True)
class Capture:
    """What camera and file do to the picture.

    Attributes:
        exposure: factor on linear light.
        contrast: 1 leaves it as it is.
        saturation: 1 leaves it as it is; 0 is grey.
        blur: standard deviation, share of the picture's side.
        motion: length of a linear motion, share of the side, and its direction, degrees.
        noise: standard deviation of the noise at mid-grey, levels of 255.
        resolution: the picture is shrunk to this share and enlarged again; 1 leaves it.
        occlusions: how many patches lie over the picture.
        jpeg_quality: 1 to 95.
        seed: of noise and patches.
    """

    exposure: float
    contrast: float
    saturation: float
    blur: float
    motion: tuple[float, float]
    noise: float
    resolution: float
    occlusions: int
    jpeg_quality: int
    seed: int


@dataclass(frozen=True, eq=False)  # arrays in it have no truth value
class Scene:
    """A picture to be.

    Attributes:
        person: whose head.
        expression: weights by name of the head model's expressions.
        gaze: yaw and pitch of the eyes against the head, degrees: +yaw to the image's left, +pitch up.
        rotation: R of the head, (3, 3).
        torso: of the torso against the camera, (3, 3), in the same convention.
        camera: where it is seen from.
        lights: one to three; the first casts the shadow.
        ambient: linear light from above and from below.
        wear, background, capture: see there.
    """

    person: Person
    expression: Mapping[str, float]
    gaze: tuple[float, float]
    rotation: Array
    torso: Array
    camera: Camera
    lights: tuple[Light, ...]
    ambient: tuple[Triple, Triple]
    wear: Wear
    background: Background
    capture: Capture
