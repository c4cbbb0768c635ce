"""Scenes: all values that determine a rendered image.

Camera frame, metres: x to the image's right, y down, z away from the camera. A vertex v of the head is projected to

    v_cam = R · diag(1, −1, −1) · v + t,    pixel = (f·x/z + c_x, f·y/z + c_y)

with R in the convention of `deepgllim.geometry.rotations`. The origin of the pixels is the upper left corner of the
upper left pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from deepgllim.synthetic.people import Colour, Person

Array = npt.NDArray[np.float64]

HEAD_TO_CAMERA: Array = np.diag([1.0, -1.0, -1.0])
"""Rotation of the head frame to the camera frame for a frontal head."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera and the position of the head.

    Attributes:
        width, height: size of the image, pixels.
        focal: focal length f, pixels.
        centre: principal point (c_x, c_y), pixels; it may lie outside the image, as for a crop.
        translation: t, position of the origin of the head frame, metres.
    """

    width: int
    height: int
    focal: float
    centre: tuple[float, float]
    translation: Triple

    def project(self, points: npt.ArrayLike) -> Array:
        """Project points of the camera frame, (..., 3), metres, to pixels, (..., 2).

        Example:
            >>> Camera(64, 64, 100.0, (32.0, 32.0), (0.0, 0.0, 1.0)).project([0.1, 0.0, 1.0])
            array([42., 32.])
        """
        p = np.asarray(points, dtype=np.float64)
        pixels: Array = self.focal * p[..., :2] / p[..., 2:] + np.array(self.centre)
        return pixels


@dataclass(frozen=True)
class Light:
    """A point light whose intensity does not depend on the distance.

    Attributes:
        position: metres, in the camera frame.
        colour: linear red, green, blue; 1 gives a white surface that faces the light the value 1.
    """

    position: Triple
    colour: Triple


@dataclass(frozen=True)
class Wear:
    """Clothes, glasses and hat.

    Attributes:
        cloth, cloth_second: colours of the shirt and of its pattern.
        pattern: pattern of the shirt.
        neckline: upward shift of the edge of the shirt, metres.
        glasses, glasses_colour: shape, and colour of the rims.
        glasses_size: scale of the lenses; 1 is the usual size.
        hat, hat_colour: kind and colour of what covers the hair.
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
    """Background of a scene.

    Attributes:
        kind: a procedural kind, or "picture" for an image file.
        seed: random seed of the details, or of the crop of the file.
        picture: path of the image file.
    """

    kind: Literal["plain", "gradient", "noise", "shapes", "room", "picture"]
    seed: int
    picture: str | None = None


@dataclass(frozen=True)
class Capture:
    """Effects of camera and file on an image.

    Attributes:
        exposure: factor on linear light.
        contrast: factor on the difference from mid-grey.
        saturation: factor on the difference from grey.
        blur: standard deviation of the blur, as a share of the shorter side.
        motion: length of a linear motion, as a share of the shorter side, and its direction, degrees.
        noise: standard deviation of the noise at mid-grey, levels of 255.
        resolution: the image is reduced to this share of its size and enlarged again; 1 does nothing.
        occlusions: number of patches over the image.
        jpeg_quality: 1 to 95.
        seed: random seed of noise and patches.
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


@dataclass(frozen=True, eq=False)  # equality of arrays is not a truth value
class Scene:
    """All values that determine a rendered image.

    Attributes:
        person: person.
        expression: weights by name of the expression of the head model.
        gaze: yaw and pitch of the eyes relative to the head, degrees: +yaw to the image's left, +pitch up.
        rotation: R of the head, (3, 3).
        torso: rotation of the torso in the camera frame, (3, 3), in the same convention.
        camera: camera and position of the head.
        lights: one to three lights; the first casts a shadow.
        ambient: linear colours of the ambient light from above and from below.
        wear: clothes, glasses and hat.
        background: background.
        capture: effects of camera and file.
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
