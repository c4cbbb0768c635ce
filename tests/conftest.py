"""Fixtures that several tests share: the real data where it is there, and a small synthetic folder of faces."""

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)  # tiny networks; two threads on busy cores wait for each other

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


@pytest.fixture(scope="session")
def pointing04_dir() -> Path:
    """The Pointing'04 photographs; the test is skipped where they are absent."""
    folder = SHARED / "data" / "pointing04"
    if not folder.is_dir():
        pytest.skip(f"needs the Pointing'04 photographs in {folder}")
    return folder


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Reference values computed by other implementations; the test is skipped where they are absent."""
    folder = SHARED / "reference"
    if not folder.is_dir():
        pytest.skip(f"needs the reference values in {folder}")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB; the test is skipped where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "deepgllim-test", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"needs a file system of its own: {error}")
    if done.returncode != 0:
        pytest.skip(f"needs a file system of its own: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def face_folder(tmp_path: Path) -> Path:
    """24 JPEG pictures, 64 × 48, of 4 subjects, with manifest.csv: a bright blob, moved left by yaw and up by pitch."""
    folder = tmp_path / "faces"
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for index in range(24):
        pitch, yaw = generator.uniform(-40, 40, size=2).round(2)
        name = f"face{index:02d}.jpg"
        Image.fromarray(_blob(pitch, yaw, subject=index % 4)).save(folder / name, quality=95)
        box = {"x0": 10, "y0": 2, "x1": 54, "y1": 46}
        rows.append({"path": name, "subject": f"{index % 4 + 1:02d}", **box, "pitch": pitch, "yaw": yaw})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _blob(pitch: float, yaw: float, subject: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Pixels (48, 64, 3): a disc of the subject's colour on grey."""
    y, x = np.mgrid[:48, :64]
    disc = np.exp(-((x - 32 + yaw * 0.4) ** 2 + (y - 24 + pitch * 0.4) ** 2) / 60)[..., None]
    colour = np.array([150, 130 - 20 * subject, 60 + 30 * subject])
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = (60 + disc * colour).clip(0, 255).astype(np.uint8)
    return pixels
