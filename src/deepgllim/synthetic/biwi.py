"""Rendered heads in the format of the Biwi Kinect head pose database, with a colour and a depth camera.

    01/frame_00003_rgb.png, frame_00003_depth.bin, frame_00003_pose.txt, …; rgb.cal and depth.cal in each folder

There is one folder for each person, with frames from 00003. As in Biwi, `pose.txt` and `depth.bin` are in the frame of
the depth camera, and the extrinsics of `rgb.cal` transform a point to the frame of the colour camera:
x_rgb = R_ext · x_depth + t_ext. Public readers disagree on this direction; it is the usual one of stereo calibration.
With the inverse, the centre of the head would be displaced by 10 to 30 pixels.

The matrix of `pose.txt` is R of `deepgllim.geometry.rotations`. Readers of Biwi compute, from A = Rᵀ,

    roll = −atan2(A₁₀, A₀₀), yaw = −atan2(−A₂₀, √(A₂₁² + A₂₂²)), pitch = atan2(A₂₁, A₂₂),

which are the angles of R = Rx(−pitch) · Ry(yaw) · Rz(roll).
"""

import io
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.synthetic.capture import apply_capture
from deepgllim.synthetic.head_file import load_head_model
from deepgllim.synthetic.pictures import RenderedPicture, SceneRenderer
from deepgllim.synthetic.posing import label, to_camera
from deepgllim.synthetic.records import MATRIX, METRES, record, round_values
from deepgllim.synthetic.sampler import SceneSampler
from deepgllim.synthetic.scene import Array, Camera, Capture, Scene, Triple

WIDTH, HEIGHT = 640, 480
FIRST_FRAME = 3
MOST_PEOPLE = 99
"""Largest number of people, since folders have two digits."""

HEAD_CENTRE: Triple = (0.0, 0.0, -0.075)
"""Centre of the head in the head frame, metres. Its position is in `pose.txt`."""

DISTANCE = (0.7, 1.2)
"""Range of the distance from the colour camera to the eyes, metres."""

_FACE = 0.2  # height of a face over the height of the image
_SHOULDERS = 0.27  # from the eyes down to the end of the arms of the model, metres; it is below the image


@dataclass(frozen=True)
class KinectCamera:
    """A camera of a `.cal` file.

    Attributes:
        focal: focal length, pixels.
        centre: principal point, pixels.
        rotation: rotation from the frame of the depth camera to that of this one, (3, 3).
        translation: translation between these frames, metres.
    """

    focal: float
    centre: tuple[float, float]
    rotation: Array
    translation: Triple

    def camera(self, translation: Array) -> Camera:
        """Return the camera for a head at a position in its frame, (3,), metres."""
        x, y, z = (float(value) for value in translation)
        return Camera(WIDTH, HEIGHT, self.focal, self.centre, (x, y, z))

    def text(self) -> str:
        """Return the content of the file: intrinsics, distortion, rotation, translation in mm, resolution.

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
    """Render image `index` as frame index // identities + 3 of person index mod identities + 1.

    The pose of the sampler is in the frame of the depth camera, as in `pose.txt`. The pose in the record is in the
    frame of the colour camera, and `depth_frame` has the other (rotation, 9 numbers; centre, metres).
    """
    colour, depth = scenes(sampler, index)
    centre = to_camera(HEAD_CENTRE, depth)
    values = record(sampler, index, colour, label(load_head_model(), colour))
    name = f"{_folder(index % sampler.identities)}/frame_{index // sampler.identities + FIRST_FRAME:05d}"
    picture = io.BytesIO()
    apply_capture(renderer.draw(colour), colour.capture).save(picture, "png", compress_level=4)
    files = {
        f"{name}_rgb.png": picture.getvalue(),
        f"{name}_depth.bin": compress_depth(renderer.depth(depth)),
        f"{name}_pose.txt": (_rows(depth.rotation) + "\n" + _rows(1000 * centre[None])).encode(),
    }
    pose = {"rotation": round_values(depth.rotation.ravel(), MATRIX), "centre": round_values(centre, METRES)}
    return RenderedPicture(files, {"path": f"{name}_rgb.png", **values, "depth_frame": pose})


def calibration_files(identities: int) -> dict[str, bytes]:
    """Return the two `.cal` files of the folder of each person, contents by path."""
    cameras = {"rgb": RGB, "depth": DEPTH}
    return {
        f"{_folder(person)}/{name}.cal": camera.text().encode()
        for person in range(identities)
        for name, camera in cameras.items()
    }


def scenes(sampler: SceneSampler, index: int) -> tuple[Scene, Scene]:
    """Return scene `index` as seen by the colour camera and by the depth camera, 0.7 to 1.2 m away and off centre."""
    sampled = sampler(index)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([sampler.seed, index, *b"biwi"])))
    z = rng.uniform(*DISTANCE)
    highest = HEIGHT - _SHOULDERS * RGB.focal / z
    pixel = np.array([WIDTH * rng.uniform(0.25, 0.75), highest + rng.uniform(0, 50)])
    there = np.array([*(z * (pixel - RGB.centre) / RGB.focal), z])
    shift = there - sampled.camera.translation  # of the head and of the lights
    depth = replace(sampled, camera=DEPTH.camera(RGB.rotation.T @ (there - RGB.translation)))
    colour = replace(
        sampled,
        rotation=RGB.rotation @ sampled.rotation,
        torso=RGB.rotation @ sampled.torso,
        camera=RGB.camera(there),
        lights=tuple(replace(light, position=_translate(light.position, shift)) for light in sampled.lights),
        capture=_for_small_faces(sampled.capture),
    )
    return colour, depth


def _translate(position: Triple, shift: Array) -> Triple:
    x, y, z = (float(value) for value in position + shift)
    return x, y, z


def _for_small_faces(capture: Capture) -> Capture:
    """Scale blur and resolution, which are shares of the side of an image that a face fills, to this small face."""
    length, direction = capture.motion
    lost = _FACE * (1 - capture.resolution)
    return replace(capture, blur=_FACE * capture.blur, motion=(_FACE * length, direction), resolution=1 - lost)


def compress_depth(metres: npt.NDArray[np.float32]) -> bytes:
    """Encode depths, (H, W), metres, as `depth.bin`: int32 width and height, then runs.

    A run is int32 number of empty pixels, int32 number of full pixels, and their int16 millimetres.

    Example:
        >>> np.frombuffer(compress_depth(np.array([[0, 1, 2, 0]], dtype=np.float32)), "<i2").tolist()
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
    """Format rows as lines with a blank after each number."""
    return "".join("".join(f"{round_values(float(v), MATRIX):.9g} " for v in row) + "\n" for row in values)
