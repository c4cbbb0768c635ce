"""Fixtures for several test folders: data from outside the repository, and small synthetic data sets."""

import csv
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import write_pointing04

torch.set_num_threads(1)  # tiny networks; two threads on busy cores wait for each other

VARIABLE = "DEEPGLLIM_TEST_DATA"
TEST_DATA = Path(os.environ.get(VARIABLE, Path(__file__).resolve().parents[2] / "shared"))
"""Folder of data that are too large for the repository."""


def find_test_data(name: str, contents: str) -> Path:
    """Return the path of a part of the test data; skip the test if it is absent."""
    path = TEST_DATA / name
    if not path.exists():
        pytest.skip(f"needs {contents} at {path}; the variable {VARIABLE} names the folder of test data")
    return path


@pytest.fixture(scope="session")
def pointing04_dir() -> Path:
    """Return the folder of the Pointing'04 photographs; skip the test if they are absent."""
    return find_test_data("data/pointing04", "the Pointing'04 photographs")


@pytest.fixture(scope="session")
def rendered_pointing04(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of rendered pictures in the layout of Pointing'04."""
    return write_pointing04(tmp_path_factory.mktemp("pointing04"))


@pytest.fixture(scope="session")
def random_vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of VGG-16's convolutions in half precision, with random values."""
    from safetensors.torch import save_file

    from deepgllim.nn.backbones.vgg import vgg16_file_key, vgg16_stages
    from deepgllim.nn.backbones.weights import initialise

    torch.manual_seed(0)
    state = vgg16_stages("average").apply(initialise).state_dict()
    path = tmp_path_factory.mktemp("vgg") / "convolutions.safetensors"
    save_file({vgg16_file_key(key): value.half() for key, value in state.items()}, path)
    return path


@pytest.fixture(params=["random", "published"])
def vgg16_convolutions(request: pytest.FixtureRequest) -> Path:
    """Return a file of VGG-16's convolutions, random or published; skip the test if the published ones are absent."""
    if request.param == "random":
        return Path(request.getfixturevalue("random_vgg16"))
    return find_test_data("data/vgg16_imagenet_convs_fp16.safetensors", "VGG-16's convolutions in half precision")


@pytest.fixture(scope="session")
def paper_dir() -> Path:
    """Return the folder of the texts from which published figures are quoted; skip the test if they are absent."""
    return find_test_data("docs", "the text of the paper")


@pytest.fixture(scope="session")
def reference_dir(request: pytest.FixtureRequest) -> Path:
    """Return the folder of the "committed" or "complete" reference values; skip the test if they are absent."""
    if request.param == "committed":
        return Path(__file__).parent / "reference"
    return find_test_data("reference", "the complete reference values")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a file system of 1 MiB; skip the test if this user may not mount one."""
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
    """Return a folder of 24 JPEG pictures, 64 × 48, of 4 subjects: a blob displaced by yaw and pitch."""
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
    """Return pixels (48, 64, 3) of a disc with the colour of the subject on grey."""
    y, x = np.mgrid[:48, :64]
    disc = np.exp(-((x - 32 + yaw * 0.4) ** 2 + (y - 24 + pitch * 0.4) ** 2) / 60)[..., None]
    colour = np.array([150, 130 - 20 * subject, 60 + 30 * subject])
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = (60 + disc * colour).clip(0, 255).astype(np.uint8)
    return pixels


@pytest.fixture(scope="session")
def facemesh_reference() -> Path:
    """Return the ONNX file of FaceMesh V2's trunk; skip the test if it is absent."""
    return find_test_data("data/facemesh_v2/facemesh_v2_trunk_192.onnx", "the reference graph of FaceMesh V2")
