"""Rendered heads in the form of the Biwi Kinect head pose database: a colour and a depth camera beside each other.

    01/frame_00003_rgb.png, frame_00003_depth.bin, frame_00003_pose.txt, …; rgb.cal and depth.cal in each folder

A folder a person, frames from 00003 on. As in Biwi, `pose.txt` and `depth.bin` are in the depth camera's frame, and the
extrinsic of `rgb.cal` takes a point from there to the colour camera's: x_rgb = R_ext · x_depth + t_ext. Public readers
disagree on that direction; this is the usual one of stereo calibration, and the pictures here are rendered by it: a
reader that takes the inverse sees the head's centre beside the head by 10 to 30 pixels.

The matrix of `pose.txt` is R of `deepgllim.geometry.rotations` as it stands. Biwi's readers take from A = Rᵀ

    roll = −atan2(A₁₀, A₀₀), yaw = −atan2(−A₂₀, √(A₂₁² + A₂₂²)), pitch = atan2(A₂₁, A₂₂),

which are the three angles of R = Rx(−pitch) · Ry(yaw) · Rz(roll).
"""

import io
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.synthetic.capture import apply_capture
from deepgllim.synthetic.heads import load_head_model
from deepgllim.synthetic.pictures import RenderedPicture, SceneRenderer
from deepgllim.synthetic.posing import label, to_camera
from deepgllim.synthetic.records import MATRIX, METRES, record, rounded
from deepgllim.synthetic.scene import Array, Camera, Capture, Scene, Triple
from deepgllim.synthetic.sets import SceneSampler

WIDTH, HEIGHT = 640, 480
FIRST_FRAME = 3
MOST_PEOPLE = 99
"""Folders have two digits."""

HEAD_CENTRE: Triple = (0.0, 0.0, -0.075)
"""The middle of the head, in its own frame, metres: behind the eyes. Its place is what `pose.txt` tells."""

DISTANCE = (0.7, 1.2)
"""Metres from the colour camera to the eyes."""

_FACE = 0.2  # of the picture's height
_SHOULDERS = 0.27  # metres from the eyes down to where the model's arms end: that is below the picture


@dataclass(frozen=True)
class KinectCamera:
    """A camera as a `.cal` file tells it.

    Attributes:
        focal: pixels.
        centre: principal point, pixels.
        rotation: (3, 3), from the depth camera's frame to this one's.
        translation: likewise, metres.
    """

    focal: float
    centre: tuple[float, float]
    rotation: Array
    translation: Triple

    def camera(self, translation: Array) -> Camera:
        """The camera before a head at a place in its frame, metres."""
        x, y, z = (float(value) for value in translation)
        return Camera(WIDTH, HEIGHT, self.focal, self.centre, (x, y, z))

    def text(self) -> str:
        """The file: intrinsics, distortion, rotation, translation in mm, resolution, blank lines between them.

        Example:
            >>> DEPTH.text().splitlines()[0]
            '575.816 0 320 '
        """
        (x, y), f = self.centre, self.focal
        mm = 1000 * np.array(self.translation)
        blocks = [[[f, 0, x], [0, f, y], [0, 0, 1]], [[0, 0, 0, 0]], self.rotation, [mm], [[WIDTH, HEIGHT]]]
        return "\n".join(_rows(np.array(block, dtype=np.float64)) for block in blocks)


DEPTH = KinectCamera(575.816, (320.0, 240.0), np.eye(3), (0.0, 0.0, 0.0))
RGB = KinectCamera(517.679, (320.0, 240.5), rotation_from_angles(-0.6, 0.4, -0.3), (-0.024, 0.006, -0.013))


def render_frame(sampler: SceneSampler, index: int, renderer: SceneRenderer) -> RenderedPicture:
    """Picture `index` as a frame of Biwi: frame index // identities + 3 of person index mod identities + 1.

    The sampler's pose is that in the depth camera's frame, as `pose.txt` has it; the record's is that in the colour
    camera's, with the other under `depth_frame` (rotation, 9 numbers; centre, metres).
    """
    colour, depth = scenes(sampler, index)
    centre = to_camera(HEAD_CENTRE, depth)
    known = record(sampler, index, colour, label(load_head_model(), colour))
    name = f"{_folder(index % sampler.identities)}/frame_{index // sampler.identities + FIRST_FRAME:05d}"
    picture = io.BytesIO()
    apply_capture(renderer.draw(colour), colour.capture).save(picture, "png", compress_level=4)
    files = {
        f"{name}_rgb.png": picture.getvalue(),
        f"{name}_depth.bin": compressed_depth(renderer.depth(depth)),
        f"{name}_pose.txt": (_rows(depth.rotation) + "\n" + _rows(1000 * centre[None])).encode(),
    }
    seen = {"rotation": rounded(depth.rotation.ravel(), MATRIX), "centre": rounded(centre, METRES)}
    return RenderedPicture(files, {"path": f"{name}_rgb.png", **known, "depth_frame": seen})


def calibration_files(identities: int) -> dict[str, bytes]:
    """The two `.cal` files of every person's folder, contents by path."""
    cameras = {"rgb": RGB, "depth": DEPTH}
    return {
        f"{_folder(person)}/{name}.cal": camera.text().encode()
        for person in range(identities)
        for name, camera in cameras.items()
    }


def scenes(sampler: SceneSampler, index: int) -> tuple[Scene, Scene]:
    """The sampler's scene before the colour camera and before the depth camera, 0.7 to 1.2 m away and off centre."""
    drawn = sampler(index)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([sampler.seed, index, *b"biwi"])))
    z = rng.uniform(*DISTANCE)
    highest = HEIGHT - _SHOULDERS * RGB.focal / z
    pixel = np.array([WIDTH * rng.uniform(0.25, 0.75), highest + rng.uniform(0, 50)])
    there = np.array([*(z * (pixel - RGB.centre) / RGB.focal), z])
    move = there - drawn.camera.translation  # of the head, and its lights with it
    depth = replace(drawn, camera=DEPTH.camera(RGB.rotation.T @ (there - RGB.translation)))
    colour = replace(
        drawn,
        rotation=RGB.rotation @ drawn.rotation,
        torso=RGB.rotation @ drawn.torso,
        camera=RGB.camera(there),
        lights=tuple(replace(light, position=_moved(light.position, move)) for light in drawn.lights),
        capture=_for_small_faces(drawn.capture),
    )
    return colour, depth


def _moved(position: Triple, move: Array) -> Triple:
    x, y, z = (float(value) for value in position + move)
    return x, y, z


def _for_small_faces(capture: Capture) -> Capture:
    """Blur and resolution, shares of a side that a face usually fills, for one that fills a fifth of it."""
    length, direction = capture.motion
    lost = _FACE * (1 - capture.resolution)
    return replace(capture, blur=_FACE * capture.blur, motion=(_FACE * length, direction), resolution=1 - lost)


def compressed_depth(metres: npt.NDArray[np.float32]) -> bytes:
    """`depth.bin` of (H, W): int32 width and height, then {int32 empty, int32 full, full × int16 mm} to the last pixel.

    Example:
        >>> np.frombuffer(compressed_depth(np.array([[0, 1, 2, 0]], dtype=np.float32)), "<i2").tolist()
        [4, 0, 1, 0, 1, 0, 2, 0, 1000, 2000, 1, 0, 0, 0]
    """
    height, width = metres.shape
    mm = (1000 * metres.astype(np.float64)).round().clip(0, 32767).astype("<i2").ravel()
    full = np.concatenate([[False], mm > 0, [False]])
    starts, stops = np.flatnonzero(~full[:-1] & full[1:]), np.flatnonzero(full[:-1] & ~full[1:])
    parts = [np.array([width, height], dtype="<i4").tobytes()]
    at = 0
    for start, stop in zip(starts, stops, strict=True):
        parts += [np.array([start - at, stop - start], dtype="<i4").tobytes(), mm[start:stop].tobytes()]
        at = int(stop)
    if at < len(mm):
        parts.append(np.array([len(mm) - at, 0], dtype="<i4").tobytes())
    return b"".join(parts)


def _folder(person: int) -> str:
    return f"{person + 1:02d}"


def _rows(values: Array) -> str:
    """A line for each row, a blank after each number, as Biwi has them."""
    return "".join("".join(f"{rounded(float(v), MATRIX):.9g} " for v in row) + "\n" for row in values)
