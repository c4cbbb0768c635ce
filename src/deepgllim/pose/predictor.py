"""Prediction of the poses of heads in images: `HeadPose`."""

import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import islice
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
"""Largest number of faces in one run of the network."""

DEFAULT_MODEL = "models/headpose.onnx"
"""Path of the packaged network within `deepgllim.pose`."""


_Located = tuple[Box, float | None]
"""The box of a face and the score of the detector, None if the box was given."""


class _Crop(NamedTuple):
    """A cropped face."""

    pixels: Pixels
    box: Box
    score: float | None
    picture: int  # index of the image


class HeadPose:
    """Predict the poses of the heads in images, each with its uncertainty.

    Pickling stores the arguments. Unpickling, and the first use in a forked process, read the file of the model again.

    Args:
        model: an ONNX file written by `deepgllim export`, or a loaded network; None for the network in the package.
        detector: the face detector: a name that `make_detector` accepts, or an object with a method `detect(image)`.
            With None, boxes must be given, or the whole image is the face.
        threads: number of threads of the network, and of a detector given by its name; None for the number of cores.

    Attributes:
        network: the loaded network.
        calibration: the calibration in its file; None if there is none.
        detector: the face detector; None if there is none.

    Raises:
        ModelError: the file does not exist, is not a model of this package or does not predict a pose, or its
            calibration has another number of targets.
        ConfigurationError: the detector is unknown or not installed.

    Example:
        >>> pose, = HeadPose().predict("portrait.jpg")  # doctest: +SKIP
        >>> print(pose)  # doctest: +SKIP
        looking up and to the image's left, pitch 12° ± 4°, yaw 23° ± 4°, roll −3° ± 3° (90 %)
    """

    def __init__(
        self,
        model: "str | os.PathLike[str] | PoseNetwork | None" = None,
        detector: "FaceDetector | str | None" = "blazeface",
        threads: int | None = None,
    ) -> None:
        self._arguments = (_portable(model), detector, threads)
        self.network = _loaded(model, threads)
        predicted_angles(self.network.spec.targets)  # raises an error if they do not determine a pose
        self.calibration = _calibration(self.network)
        self.detector = _detector(detector, threads, self.network.spec.boxes)

    def __reduce__(self) -> "tuple[type[HeadPose], tuple[Any, ...]]":
        """Return class and arguments."""
        return type(self), self._arguments

    def predict(
        self, image: Picture, boxes: npt.ArrayLike | None = None, *, intrinsics: Intrinsics | None = None
    ) -> list[Pose]:
        """Return the poses of the faces of one image.

        Args:
            image: a path, a Pillow image or an array; see `as_picture`.
            boxes: boxes of the faces without margin, (N, 4), rows x0, y0, x1, y1, pixels of the upright image. With
                None the detector finds them; without a detector the whole image is the face.
            intrinsics: intrinsics of the camera. With them, rotations are relative to the axes of the camera; without
                them, to the ray through the centre of the box.

        Returns:
            The poses, in the order of the boxes or of the detector.

        Raises:
            ImageError: the image cannot be read, or a box is invalid or outside the image.
        """
        return self.predict_batch([image], None if boxes is None else [boxes], intrinsics=intrinsics)[0]

    def predict_batch(
        self,
        images: Iterable[Picture],
        boxes: Iterable[npt.ArrayLike | None] | None = None,
        *,
        intrinsics: Intrinsics | None = None,
        detection_batch: int = 1,
    ) -> list[list[Pose]]:
        """Return the poses of the faces of each image; faces of different images share runs of the network.

        Args:
            images: images as in `predict`, read one after another, or `detection_batch` at a time.
            boxes: for each image, its boxes or None, as in `predict`.
            intrinsics: intrinsics of the camera of all images.
            detection_batch: number of images that are in memory at once and share runs of the detector, at least 1; it
                has an effect on detectors with a method `detect_batch`.

        Returns:
            For each image, the poses of its faces.

        Raises:
            ImageError: as in `predict`, or the numbers of images and entries of `boxes` differ.
        """
        found: list[list[Pose]] = []
        waiting: list[_Crop] = []
        paired = _paired(images, boxes)
        while block := [(as_picture(image), given) for image, given in islice(paired, max(detection_batch, 1))]:
            for (picture, _), faces in zip(block, self._faces(block), strict=True):
                waiting += self._crops(picture, faces, len(found))
                found.append([])
            while len(waiting) >= BLOCK:
                self._predict_block(waiting[:BLOCK], found, intrinsics)
                del waiting[:BLOCK]
        self._predict_block(waiting, found, intrinsics)
        return found

    def predict_crops(self, crops: Pixels) -> list[Pose]:
        """Return the poses of faces that are already cropped with the margin of the network.

        Args:
            crops: RGB, uint8, (N, 3, S, S), where S is the image size of the network.

        Returns:
            N poses; their boxes are in pixels of the crop.

        Raises:
            ImageError: the crops have another shape or type.
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

    def _crops(self, picture: Image.Image, faces: Sequence[_Located], number: int) -> list[_Crop]:
        spec = self.network.spec
        crops = (crop_face(picture, box, spec.margin, spec.image_size) for box, _ in faces)
        return [_Crop(crop, *face, number) for crop, face in zip(crops, faces, strict=True)]

    def _faces(self, block: Sequence[tuple[Image.Image, npt.ArrayLike | None]]) -> list[list[_Located]]:
        """Return the faces of each image, at the given boxes or as the detector finds them."""
        found = iter(self._detect([picture for picture, given in block if given is None]))
        return [[(box, None) for box in checked_boxes(b)] if b is not None else next(found) for _, b in block]

    def _detect(self, pictures: Sequence[Image.Image]) -> list[list[_Located]]:
        if self.detector is None:
            return [[((0.0, 0.0, float(picture.width), float(picture.height)), None)] for picture in pictures]
        together = getattr(self.detector, "detect_batch", None) if len(pictures) > 1 else None
        found = together(pictures) if together else [self.detector.detect(picture) for picture in pictures]
        return [[(checked_box(face.box), float(face.score)) for face in faces] for faces in found]

    def _predict_block(self, faces: Sequence[_Crop], found: list[list[Pose]], intrinsics: Intrinsics | None) -> None:
        """Append the poses of some faces to the lists of their images."""
        for face, pose in zip(faces, self._poses(faces), strict=True):
            found[face.picture].append(pose if intrinsics is None else pose.rotate(intrinsics.ray_rotation(face.box)))

    def _poses(self, faces: Sequence[_Crop]) -> list[Pose]:
        if not faces:
            return []
        outputs = self.network(np.stack([face.pixels for face in faces]))
        density = (
            [None] * len(faces) if outputs.log_density is None else [float(value) for value in outputs.log_density]
        )
        mixtures = map(Mixture.of, outputs.weights, outputs.means, outputs.covariances)
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
                f"the network's covariances for the face at {[round(side) for side in face.box]} are "
                f"invalid ({error}): the model is damaged or the training failed; train and export it again"
            ) from error


def checked_boxes(boxes: npt.ArrayLike) -> list[Box]:
    """Return boxes as tuples.

    Args:
        boxes: (N, 4), or (4,) for one box, rows x0, y0, x1, y1, pixels.

    Raises:
        ImageError: the shape is another, an entry is not a number, or a box is empty.

    Example:
        >>> checked_boxes([[10, 20, 30, 40]]), checked_boxes([])
        ([(10.0, 20.0, 30.0, 40.0)], [])
    """
    try:
        rows = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ImageError(f"boxes {boxes!r} are not numbers: give x0, y0, x1, y1 of each face, (N, 4)") from error
    if not rows.size:
        return []
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ImageError(f"boxes have shape {rows.shape}: give x0, y0, x1, y1 of each face, (N, 4)")
    return [checked_box(row) for row in rows.tolist()]


def default_model() -> Path:
    """Return the path of the network in the package.

    Raises:
        ModelError: the file does not exist.
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
    from deepgllim.pose.network import PoseNetwork  # imports onnxruntime

    return PoseNetwork(path, threads)


def _portable(model: "str | os.PathLike[str] | PoseNetwork | None") -> "Path | PoseNetwork | None":
    """Return the argument with an absolute path, since another process may have another working folder."""
    return Path(model).absolute() if isinstance(model, (str, os.PathLike)) else model


def _calibration(network: "PoseNetwork") -> Calibration | None:
    """Return the calibration in the file of a network, checked against its targets."""
    if network.spec.calibration is None:
        return None
    found = Calibration.from_json(network.spec.calibration)
    found.scaled(np.eye(len(network.spec.targets)))  # raises an error for another number of targets
    return found


def _detector(detector: "FaceDetector | str | None", threads: int | None, boxes: str) -> "FaceDetector | None":
    if not isinstance(detector, str):
        return detector
    from deepgllim.pose.detection.faces import make_detector

    return make_detector(detector, threads=threads or 0, boxes=boxes)


def _paired(
    images: Iterable[Picture], boxes: Iterable[npt.ArrayLike | None] | None
) -> Iterator[tuple[Picture, npt.ArrayLike | None]]:
    if boxes is None:
        yield from ((image, None) for image in images)
        return
    try:
        yield from zip(images, boxes, strict=True)
    except ValueError as error:
        raise ImageError(f"give boxes for each picture, or None for those with faces to detect ({error})") from error
