"""Input and output formats of other systems: a preset per system, and a function per output format.

A comment states the source of each preset. Margins are for boxes as tight as those of Pointing'04.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.geometry import (
    ANGLES,
    angles_from_rotation,
    from_convention,
    rotation_from_angles,
    rotation_from_convention,
)
from deepgllim.geometry.conventions import convention

Array = NDArray[np.float64]
Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION: Triple = (58.395, 57.12, 57.375)
"""Mean and deviation of RGB in grey levels: 255 times (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)."""


class Poses(NamedTuple):
    """Predictions in our convention, with the zero of the system: nothing is aligned.

    Attributes:
        angles: pitch, yaw, roll as predicted, degrees, (N, 3); |yaw| may exceed 90.
        rotations: the same as matrices, (N, 3, 3).
    """

    angles: Array
    rotations: Array


class Preset(NamedTuple):
    """Input and output format of a system.

    Attributes:
        size: side of the square input, pixels.
        channels: order of the channels.
        mean, deviation: of each channel in that order, grey levels; the input is (pixel − mean) / deviation.
        layout: order of the axes of the input.
        margin: side of the crop relative to the longer side of the face box.
        outputs: names of the outputs, in the order of `order`; empty for all outputs in the order of the file.
        form: format of the outputs, a key of `DECODERS`.
        order: angle of each output or column; ignored for matrices.
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
    # quoted in experiments/table3/quoted.csv.
    "fsanet": Preset(64, "bgr", (127.5,) * 3, (128.0,) * 3, "nchw", 1.6, ("output",), "angles", YAW_FIRST, "300w-lp"),
    # docs.openvino.ai, head-pose-estimation-adas-0001: 1 × 3 × 60 × 60, BGR, no scaling; three outputs in degrees.
    # Margin as above. The outputs of a file converted to ONNX may have other names: --outputs.
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
    # of 66 (− 99), channels last; demo.py: RGB. Its boxes contain the whole head: 1.6 times the box of the face.
    "whenet": _IMAGENET_224._replace(layout="nhwc", margin=1.6, form="bins", order=YAW_FIRST, convention="300w-lp"),
    # The same weights, converted by whenet.py: channels first.
    "whenet-converted": _IMAGENET_224._replace(margin=1.6, form="bins", order=YAW_FIRST, convention="300w-lp"),
    # github.com/PINTO0309/HeadPoseEstimation-WHENet-yolov4-onnx-openvino, demo_video.py: the same as ONNX, channels
    # first, outputs in the order yaw, roll, pitch.
    "whenet-nchw": _IMAGENET_224._replace(
        margin=1.6, form="bins", order=("yaw", "roll", "pitch"), convention="300w-lp"
    ),
}
"""Presets by name."""


def preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        ConfigurationError: the name is unknown.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"unknown preset {name!r}: the known ones are {', '.join(PRESETS)}")
    return PRESETS[name]


def network_input(pixels: NDArray[np.uint8], preset: Preset) -> NDArray[np.float32]:
    """Return the input of a network: crops with its order of channels, normalisation and layout.

    Args:
        pixels: RGB crops, (N, 3, S, S).
        preset: input format of the system.

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
    """Return poses in our convention from the outputs of a network, each (N, …).

    Raises:
        ModelError: the outputs do not have the format of the preset.
    """
    return DECODERS[preset.form](outputs, preset)


def _from_angles(outputs: Sequence[Array], preset: Preset) -> Poses:
    columns = np.concatenate([output.reshape(len(output), -1) for output in outputs], axis=1)  # (N, 3)
    if columns.shape[1] != 3:
        raise _misfit(outputs, "three angles")
    return angle_poses(columns[:, [preset.order.index(name) for name in ("pitch", "yaw", "roll")]], preset.convention)


def _from_bins(outputs: Sequence[Array], preset: Preset) -> Poses:
    """Decode the mean of bins of three degrees around zero; 66 bins cover −99 to 99."""
    if len(outputs) != 3 or any(output.ndim != 2 or output.shape[1] < 2 for output in outputs):
        raise _misfit(outputs, "three sets of bins")
    return _from_angles([_expectation(output) for output in outputs], preset)


def _expectation(logits: Array) -> Array:
    """Return the mean in degrees, (N, 1), of logits of bins (N, B)."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    bins = np.arange(logits.shape[1])
    mean: Array = (weights @ bins / weights.sum(axis=1))[:, None] * 3 - 1.5 * len(bins)
    return mean


def _from_matrix(outputs: Sequence[Array], preset: Preset) -> Poses:
    if len(outputs) != 1 or outputs[0][0].size != 9:
        raise _misfit(outputs, "one 3 × 3 matrix")
    return matrix_poses(outputs[0].reshape(-1, 3, 3), preset.convention)


DECODERS: dict[str, Callable[[Sequence[Array], Preset], Poses]] = {
    "angles": _from_angles,
    "bins": _from_bins,
    "matrix": _from_matrix,
}
"""Functions from outputs to poses, by `Preset.form`."""


def angle_poses(angles: Array, name: str) -> Poses:
    """Convert pitch, yaw, roll (N, 3) in degrees of a convention to our order and signs; the zero remains.

    Raises:
        ConfigurationError: the convention is unknown, or has other angles.
    """
    try:
        row = convention(name)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if row.names is None or set(row.names) != set(ANGLES):
        raise ConfigurationError(f"convention {name!r} has no pitch, yaw and roll: convert the table to another one")
    ours = from_convention(angles[:, [ANGLES.index(angle) for angle in row.names]], name, zero=False)
    return Poses(ours, rotation_from_angles(*ours.T))


def matrix_poses(matrices: Array, name: str) -> Poses:
    """Convert rotations (N, 3, 3) of a convention to our axes; the zero remains.

    Raises:
        ConfigurationError: the convention is unknown, or has no matrices.
    """
    try:
        ours = rotation_from_convention(nearest_rotations(matrices), name, zero=False)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return Poses(angles_from_rotation(ours), ours)


def nearest_rotations(matrices: Array) -> Array:
    """Return the rotations nearest to matrices (N, 3, 3) in the Frobenius norm."""
    U, _, Vt = np.linalg.svd(matrices)
    U[..., 2] *= np.linalg.det(U @ Vt)[..., None]
    nearest: Array = U @ Vt
    return nearest


def average(several: Sequence[Poses], form: str) -> Poses:
    """Return the mean pose of several networks: of the angles, or of the matrices if they predict matrices."""
    if form == "matrix":
        rotations = nearest_rotations(np.mean([poses.rotations for poses in several], axis=0))
        return Poses(angles_from_rotation(rotations), rotations)
    angles = np.mean([poses.angles for poses in several], axis=0)
    return Poses(angles, rotation_from_angles(*angles.T))


def _misfit(outputs: Sequence[Array], expected: str) -> ModelError:
    shapes = ", ".join(str(output.shape) for output in outputs)
    return ModelError(f"the network's outputs have the shapes {shapes}, not {expected}: choose another --preset")
