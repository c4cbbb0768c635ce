"""The file of a head model: `load_head_model`."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError
from deepgllim.synthetic.heads import HeadModel

FILE = Path(__file__).with_name("heads.npz")


def load_head_model(path: Path | str = FILE) -> HeadModel:
    """Load a head model, by default the one in the package. Each file is read once.

    Args:
        path: file written by `tools/distil_head.py`.

    Raises:
        DataError: the file does not exist or has another format.

    Example:
        >>> model = load_head_model()
        >>> sorted(set(model.part_names) & {"lips", "scalp", "eye_left"})
        ['eye_left', 'lips', 'scalp']
        >>> bool(abs(model.eye_centres(model.random_identity(1)).mean(axis=0)).max() < 1e-4)  # the origin
        True
    """
    return _load(str(path))


@functools.lru_cache(maxsize=2)
def _load(path: str) -> HeadModel:
    try:
        with Path(path).open("rb") as content, np.load(content, allow_pickle=False) as file:
            a = {name: file[name] for name in file.files}
        meta: dict[str, Any] = json.loads(a["metadata"].tobytes().decode())
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path}: not a head model ({error}): write one with tools/distil_head.py") from None
    if meta.get("format") != 1:
        raise DataError(f"{path}: not a head model of format 1: write one with tools/distil_head.py")
    model = _model(a, meta)
    for array in vars(model).values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return model


def _model(a: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> HeadModel:
    """Decode the arrays of a file."""
    corners, source = a["corners"].astype(np.int64), a["source"].astype(np.int64)
    return HeadModel(
        mean=a["mean"].astype(np.float32),
        basis=a["basis"] * a["basis_scale"][:, None, None],
        expressions=a["expressions"] * a["expression_scale"][:, None, None],
        expression_names=tuple(meta["expression_names"]),
        triangles=source[corners],
        corners=corners,
        source=source,
        uv=(a["uv"] / 65535).astype(np.float32),
        parts=a["parts"].astype(np.int64),
        part_names=tuple(meta["part_names"]),
        masks={k: (m / 255).astype(np.float32) for k, m in zip(meta["mask_names"], a["masks"], strict=True)},
        head_weights=(a["follow"] / 255).astype(np.float32),
        landmark_vertices=a["landmarks"].astype(np.int64),
        landmark_weights=a["landmark_weights"],
        landmark_numbers=tuple(a["landmark_numbers"].tolist()),
        eyes=a["eyes"],
        eye_radius=a["eye_radius"],
        joints=a["joints"],
        joint_names=tuple(meta["joint_names"]),
        attributes=a["attributes"],
        attribute_names=tuple(meta["attribute_names"]),
        bank=a["bank"] * np.float32(3 / 127),
        metadata=meta,
    )
