"""Small trees in the form of Biwi, written by hand."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.geometry.rotations import rotation_from_angles

Array = npt.NDArray[np.float64]

CALIBRATION = """517.679 0 320
0 517.679 240.5
0 0 1

0 0 0 0

0.999947 0.00432361 0.00929419
-0.00446314 0.999877 0.0150443
-0.009228 -0.015085 0.999844

-24.0198 5.8896 -13.2308

640 480
"""
"""In the form of the published one, written by hand."""


def pose_text(rotation: Array, centre: Array, digits: int = 6) -> str:
    """Three rows with trailing blanks, an empty line, the centre."""
    lines = ["".join(f"{value:.{digits}g} " for value in row) for row in rotation]
    return "\n".join([*lines, "", "".join(f"{value:.{digits}g} " for value in centre), ""])


def write_frame(
    folder: Path,
    number: int,
    angles: tuple[float, float, float] = (10, 20, 5),
    centre: tuple[float, float, float] = (30, 40, 900),
    suffix: str = "png",
) -> None:
    """A frame without depth; the first one of a folder comes with `rgb.cal`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rgb.cal").write_text(CALIBRATION)
    Image.new("L", (640, 480), 90).save(folder / f"frame_{number:05d}_rgb.{suffix}")
    text = pose_text(rotation_from_angles(*angles), np.array(centre))
    (folder / f"frame_{number:05d}_pose.txt").write_text(text)
