"""Small copies of 300W-LP and AFLW2000-3D in their true format, of heads whose pose and landmarks are known."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.io import savemat

from deepgllim.geometry.rotations import angles_from_rotation, mirror_angles
from deepgllim.synthetic import SceneSampler, label, load_head_model

Array = npt.NDArray[np.float64]

SIDE = 450


class Head(NamedTuple):
    """The truth of a picture: pitch, yaw, roll in degrees, and 68 landmarks, (68, 2), pixels."""

    angles: Array
    points: Array

    def mirrored(self) -> "Head":
        return Head(mirror_angles(self.angles), self.points * (-1, 1) + (SIDE, 0))


SAMPLER = SceneSampler("uniform", identities=4, size=SIDE, seed=3)
CHIN, NOSE_TIP, EYE_CORNERS = 8, 30, [36, 45]


def head(index: int) -> Head:
    """The head of a rendered scene; the model has no points on the jaw beside the chin, which stands for them."""
    scene, model = SAMPLER(index), load_head_model()
    known = label(model, scene).landmarks
    points = np.tile(known[model.landmark_numbers.index(CHIN)], (68, 1))
    points[list(model.landmark_numbers)] = known
    return Head(angles_from_rotation(scene.rotation), points)


def write_picture(path: Path, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 150)).save(path)


def write_cut_picture(path: Path) -> None:
    """Its header is whole, its pixels are not."""
    Image.effect_noise((SIDE, SIDE), 60).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def write_pose(path: Path, head: Head, **fields: object) -> None:
    """Pose_Para: pitch, yaw, roll in radians, translation, scale."""
    pose = np.array([[*np.radians(head.angles), 200.0, 250.0, -50.0, 1e-3]])
    savemat(path, {"Pose_Para": pose, "roi": np.array([[1, 1, SIDE, SIDE]]), **fields})


def write_aflw2000(root: Path, heads: list[Head]) -> Path:
    """`image00002.jpg` and `.mat`, `image00003.jpg` and so on."""
    for number, each in enumerate(heads, start=2):
        path = root / f"image{number:05d}.jpg"
        write_picture(path)
        depth = np.zeros((1, 68))
        points = {"pt3d_68": np.concatenate([each.points.T, depth]), "pt2d": np.full((2, 21), -1.0)}
        write_pose(path.with_suffix(".mat"), each, **points)
    return root


def write_300w_lp(root: Path, heads: dict[str, Head], *, flips: bool = True) -> Path:
    """Pictures by name such as "AFW_134212_1_0", their landmarks, and their flips, which have none of their own."""
    for name, each in heads.items():
        subset = name.split("_")[0]
        write_picture(root / subset / f"{name}.jpg")
        write_pose(root / subset / f"{name}.mat", each, pt2d=np.zeros((2, 68)))
        write_points(root / "landmarks" / subset / f"{name}_pts.mat", each)
        if flips:
            write_picture(root / f"{subset}_Flip" / f"{name}.jpg")
            write_pose(root / f"{subset}_Flip" / f"{name}.mat", each.mirrored(), pt2d=np.zeros((2, 68)))
    return root


def write_points(path: Path, head: Head) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"pts_2d": head.points, "pts_3d": head.points})
