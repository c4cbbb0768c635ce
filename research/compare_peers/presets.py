"""How other systems want their pictures and write their poses: a row a system, a function a form of output.

Where each row comes from is said beside it. Margins are for boxes as tight as those of Pointing'04.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.geometry.conventions import convention, from_convention, rotation_from_convention
from deepgllim.geometry.rotations import ANGLES, angles_from_rotation, rotation_from_angles

Array = NDArray[np.float64]
Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION: Triple = (58.395, 57.12, 57.375)
"""Of RGB in grey levels: 255 times (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)."""


class Poses(NamedTuple):
    """Predictions in our convention.

    Attributes:
        angles: pitch, yaw, roll as predicted, degrees, (N, 3); a yaw beyond 90 stays beyond 90.
        rotations: the same as matrices, (N, 3, 3).
    """

    angles: Array
    rotations: Array


class Preset(NamedTuple):
    """One system's input and output.

    Attributes:
        size: side of its square input, pixels.
        channels: their order.
        mean, deviation: of each channel in that order, grey levels; the input is (pixel − mean) / deviation.
        layout: of the input's axes.
        margin: side of the crop over the face box's longer side.
        outputs: names of the outputs that are read, in the order of `order`; none: all, as the file has them.
        form: of the outputs, a key of `FORMS`.
        order: which angle each output (or column) is; of no meaning for matrices.
        convention: a key of `deepgllim.geometry.conventions.CONVENTIONS`.
    """

    size: int
    channels: Literal["rgb", "bgr"]
    mean: Triple
    deviation: Triple
    layout: Literal["nchw", "nhwc"]
    margin: float
    outputs: tuple[str, ...]
    form: Literal["angles", "bins", "matrix"]
    order: tuple[str, str, str]
    convention: str


YAW_FIRST = ("yaw", "pitch", "roll")
_IMAGENET_224 = Preset(
    224, "rgb", IMAGENET_MEAN, IMAGENET_DEVIATION, "nchw", 1.4, (), "matrix", ("pitch", "yaw", "roll"), "6drepnet"
)

PRESETS: dict[str, Preset] = {
    # github.com/omasaht/headpose-fsanet-pytorch, src/demo.py: pixels as OpenCV reads them (BGR), (x − 127.5) / 128;
    # "output" holds yaw, pitch, roll; two files averaged. Labels of 300W-LP unchanged. Margin: that of the figures
    # quoted in ../table3/quoted.csv.
    "fsanet": Preset(64, "bgr", (127.5,) * 3, (128.0,) * 3, "nchw", 1.6, ("output",), "angles", YAW_FIRST, "300w-lp"),
    # docs.openvino.ai, head-pose-estimation-adas-0001: 1 × 3 × 60 × 60, BGR, no scaling; three outputs in degrees.
    # Margin as above. A file converted to ONNX may call its outputs otherwise: --outputs.
    "openvino": Preset(
        60,
        "bgr",
        (0.0,) * 3,
        (1.0,) * 3,
        "nchw",
        1.6,
        ("angle_y_fc", "angle_p_fc", "angle_r_fc"),
        "angles",
        YAW_FIRST,
        "openvino",
    ),
    # github.com/thohemp/6DRepNet: sixdrepnet/regressor.py (RGB, ImageNet), demo.py (0.2 of the box on each side); the
    # output is the matrix Rz·Ry·Rx of utils.py.
    "6drepnet": _IMAGENET_224,
    # github.com/yakhyo/uniface, uniface/headpose/models.py: input, matrix and angles as 6DRepNet's, the box itself.
    "uniface": _IMAGENET_224._replace(margin=1.0),
    # github.com/natanielruiz/deep-head-pose, code/test_hopenet.py: Σ softmax·i·3 − 99 of 66 bins, labels of 300W-LP;
    # test_on_video_dlib.py widens the detected box by half of it to the left and to the right.
    "hopenet": _IMAGENET_224._replace(margin=2.0, form="bins", order=YAW_FIRST, convention="300w-lp"),
    # github.com/Ascend-Research/HeadPoseEstimation-WHENet, GPU_CPU/whenet.py: yaw of 120 bins (− 180), pitch and roll
    # of 66 (− 99), channels last; demo.py: RGB. It expects boxes of whole heads: 1.6 of a face's.
    "whenet": _IMAGENET_224._replace(layout="nhwc", margin=1.6, form="bins", order=YAW_FIRST, convention="300w-lp"),
    # The same weights through whenet.py beside this file: channels first.
    "whenet-converted": _IMAGENET_224._replace(margin=1.6, form="bins", order=YAW_FIRST, convention="300w-lp"),
    # github.com/PINTO0309/HeadPoseEstimation-WHENet-yolov4-onnx-openvino, demo_video.py: the same as ONNX, channels
    # first, outputs in the order yaw, roll, pitch.
    "whenet-nchw": _IMAGENET_224._replace(
        margin=1.6, form="bins", order=("yaw", "roll", "pitch"), convention="300w-lp"
    ),
}
"""Systems by the name that `--preset` takes."""


def preset(name: str) -> Preset:
    """A row of `PRESETS`.

    Raises:
        ConfigurationError: for a name that is not there.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"unknown preset {name!r}: the known ones are {', '.join(PRESETS)}")
    return PRESETS[name]


def network_input(pixels: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """What the network is fed: channels in its order, normalised, in its layout.

    Args:
        pixels: RGB crops, (N, 3, S, S).
        preset: the system's.

    Example:
        >>> red = np.zeros((1, 3, 2, 2), dtype=np.uint8)
        >>> red[:, 0] = 255
        >>> network_input(red, PRESETS["openvino"])[0, :, 0, 0]
        array([  0.,   0., 255.], dtype=float32)
    """
    ordered = pixels if preset.channels == "rgb" else pixels[:, ::-1]
    mean, deviation = (np.array(values).reshape(1, 3, 1, 1) for values in (preset.mean, preset.deviation))
    values = ((ordered - mean) / deviation).astype(np.float32)
    return np.ascontiguousarray(values if preset.layout == "nchw" else values.transpose(0, 2, 3, 1))


def decode(outputs: Sequence[Array], preset: Preset) -> Poses:
    """Poses in our convention from a network's outputs, each (N, …).

    Raises:
        ModelError: if the outputs do not have the form that the preset says.
    """
    return FORMS[preset.form](outputs, preset)


def _from_angles(outputs: Sequence[Array], preset: Preset) -> Poses:
    columns = np.concatenate([output.reshape(len(output), -1) for output in outputs], axis=1)  # (N, 3)
    if columns.shape[1] != 3:
        raise _misfit(outputs, "three angles")
    return angle_poses(columns[:, [preset.order.index(name) for name in ("pitch", "yaw", "roll")]], preset.convention)


def _from_bins(outputs: Sequence[Array], preset: Preset) -> Poses:
    """The expectation of bins three degrees wide about zero: 66 of them reach from −99 to 99."""
    if len(outputs) != 3 or any(output.ndim != 2 or output.shape[1] < 2 for output in outputs):
        raise _misfit(outputs, "three sets of bins")
    return _from_angles([_expectation(output) for output in outputs], preset)


def _expectation(logits: Array) -> Array:
    """Degrees, (N, 1), of bins (N, B)."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    bins = np.arange(logits.shape[1])
    mean: Array = (weights @ bins / weights.sum(axis=1))[:, None] * 3 - 1.5 * len(bins)
    return mean


def _from_matrix(outputs: Sequence[Array], preset: Preset) -> Poses:
    if len(outputs) != 1 or outputs[0][0].size != 9:
        raise _misfit(outputs, "one 3 × 3 matrix")
    return matrix_poses(outputs[0].reshape(-1, 3, 3), preset.convention)


FORMS: dict[str, Callable[[Sequence[Array], Preset], Poses]] = {
    "angles": _from_angles,
    "bins": _from_bins,
    "matrix": _from_matrix,
}
"""From outputs to poses, by `Preset.form`."""


def angle_poses(angles: Array, name: str) -> Poses:
    """Pitch, yaw, roll (N, 3) in degrees of a convention, as ours.

    Raises:
        ConfigurationError: for an unknown convention, or one of other angles.
    """
    try:
        row = convention(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if row.names is None or set(row.names) != set(ANGLES):
        raise ConfigurationError(f"convention {name!r} writes no pitch, yaw and roll: convert the table to another one")
    ours = from_convention(angles[:, [ANGLES.index(angle) for angle in row.names]], name)
    return Poses(ours, rotation_from_angles(*ours.T))


def matrix_poses(matrices: Array, name: str) -> Poses:
    """Rotations (N, 3, 3) of a convention, as ours.

    Raises:
        ConfigurationError: for an unknown convention or one that writes no matrix.
    """
    try:
        ours = rotation_from_convention(nearest_rotations(matrices), name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return Poses(angles_from_rotation(ours), ours)


def nearest_rotations(matrices: Array) -> Array:
    """The rotations of least squared distance to some matrices, (N, 3, 3)."""
    U, _, Vt = np.linalg.svd(matrices)
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    nearest: Array = U @ Vt
    return nearest


def average(several: Sequence[Poses], form: str) -> Poses:
    """The mean of several systems' poses: of the angles where these are what they predict, else of the matrices."""
    if form == "matrix":
        rotations = nearest_rotations(np.mean([poses.rotations for poses in several], axis=0))
        return Poses(angles_from_rotation(rotations), rotations)
    angles = np.mean([poses.angles for poses in several], axis=0)
    return Poses(angles, rotation_from_angles(*angles.T))


def _misfit(outputs: Sequence[Array], expected: str) -> ModelError:
    shapes = ", ".join(str(output.shape) for output in outputs)
    return ModelError(f"the network's outputs have the shapes {shapes}, not {expected}: choose another --preset")
