"""Predictors of batches without a model."""

import threading
from collections.abc import Sequence

import numpy as np
from PIL import Image

from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.pose import Pose


def red_pose(image: Image.Image) -> Pose:
    """Return a pose whose yaw depends on the red level of a picture."""
    pixel = image.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return Pose(rotation_from_angles(0, pixel[0] - 128, 0), np.eye(3), box=(0, 0, *image.size), in_distribution=True)


class ConstantBatches:
    """A predictor of the same poses for every picture."""

    def __init__(self, *poses: Pose) -> None:
        self.poses = poses

    def predict_batch(self, images: Sequence[Image.Image], *, detection_batch: int) -> list[tuple[Pose, ...]]:
        assert detection_batch == len(images)
        return [self.poses for _ in images]


class RecordingBatches:
    """A predictor of `red_pose` that waits for an event, records the sizes of its batches, and fails for red 13."""

    def __init__(self) -> None:
        self.may_continue = threading.Event()
        self.may_continue.set()
        self.sizes: list[int] = []

    def predict_batch(self, images: Sequence[Image.Image], *, detection_batch: int) -> list[list[Pose]]:
        assert detection_batch == len(images)
        self.sizes.append(len(images))
        assert self.may_continue.wait(60)
        if any(image.getpixel((0, 0)) == (13, 100, 90) for image in images):
            raise ValueError("/home/me/secret\nsecond line")
        return [[red_pose(image)] for image in images]
