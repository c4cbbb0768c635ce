"""Inputs: the same item whatever the order, batch or process; plain crops equal to prediction's."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from deepgllim.errors import DataError, ImageError
from deepgllim.imaging.images import crop, open_image, square_box
from deepgllim.nn.augmentation import context_size
from deepgllim.nn.config import AugmentationConfig, DataConfig
from deepgllim.nn.inputs import ArrayInputs, FaceInputs, allocate, fixed_copies, prepare_contexts, single
from tests.nn.tiny import faces

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)
DATA = DataConfig(image_size=24, margin=1.4)
OFF = AugmentationConfig.off()


def test_an_item_depends_on_seed_epoch_and_index_alone() -> None:
    config = AugmentationConfig()
    inputs, twin = faces(6, config=config, seed=1), faces(6, config=config, seed=1)
    first = inputs[4, 2]
    for address in ((0, 2), (4, 1)):
        inputs[address]
    again = twin[4, 2]
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], inputs[4, 3][0])
    twin.seed = 2
    assert not torch.equal(first[0], twin[4, 2][0])


def test_two_faces_alike_are_augmented_differently() -> None:
    inputs = faces(2, config=AugmentationConfig())
    inputs.contexts[1] = inputs.contexts[0]
    assert not torch.equal(inputs[0, 0][0], inputs[1, 0][0])


def test_without_an_epoch_the_picture_is_plain() -> None:
    config = AugmentationConfig()
    inputs = faces(3, size=16, config=config)
    border = (context_size(16, config) - 16) // 2
    picture, target = inputs[1, None]
    np.testing.assert_array_equal(picture.numpy(), inputs.contexts[1][:, border:-border, border:-border])
    assert torch.equal(target, inputs.targets[1])
    assert inputs.augmented


def test_a_mirrored_picture_has_mirrored_targets() -> None:
    inputs = faces(8, config=OFF.model_copy(update={"mirror": True}))
    seen = set()
    for index in range(8):
        picture, target = inputs[index, 0]
        plain, own = inputs[index, None]
        mirrored = not torch.equal(picture, plain)
        assert torch.equal(picture, plain.flip(2) if mirrored else plain)
        assert torch.equal(target, own * torch.tensor([1.0, -1.0]) if mirrored else own)
        seen.add(mirrored)
    assert seen == {True, False}


def test_without_augmentation_epochs_do_not_differ() -> None:
    inputs = faces(3, config=OFF)
    assert not inputs.augmented
    assert torch.equal(inputs[0, 1][0], inputs[0, None][0])


def test_arrays_and_tensors_give_the_same_items() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    one, other = ArrayInputs(values, torch.zeros(4, 1)), ArrayInputs(torch.from_numpy(values), torch.zeros(4, 1))
    assert torch.equal(one[2, 7][0], other[2, None][0])


def test_a_target_is_needed_for_every_input() -> None:
    with pytest.raises(DataError, match=r"3 inputs but 2 targets"):
        ArrayInputs(torch.zeros(3, 1), torch.zeros(2, 1))


# reading pictures


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """Smooth waves of several lengths, 120 × 90."""
    y, x = np.mgrid[:90, :120]
    waves = [128 + 60 * np.sin(x / 7 + c) + 50 * np.cos(y / (5 + c)) for c in range(3)]
    path = tmp_path / "waves.png"
    Image.fromarray(np.stack(waves, -1).clip(0, 255).astype(np.uint8)).save(path)
    return path


BOXES = [(30.0, 20.0, 80.0, 60.0), (31.3, 22.7, 55.1, 49.9), (-5.0, 10.0, 40.0, 70.0), (80.0, 50.0, 125.0, 95.0)]


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("size", [24, 33])
def test_the_plain_picture_is_that_of_prediction(photograph: Path, box: tuple[float, ...], size: int) -> None:
    """Training cuts the middle out of a larger crop, prediction crops at once; the grids of both are the same.

    Pillow keeps boxes in single precision and rounds to whole levels after each axis, hence a level or two. The
    outermost row is left out: there, the filter of the smaller crop may meet the edge that `crop` repeats.
    """
    data, augmentation = DataConfig(image_size=size, margin=1.4), AugmentationConfig()
    contexts = prepare_contexts([photograph], np.array([box]), data, augmentation)
    inputs = FaceInputs(contexts, torch.zeros(1, 1), ("yaw",), size, augmentation)
    found = inputs[0, None][0].numpy().astype(int)
    expected = crop(open_image(photograph), square_box(box, 1.4), size).astype(int)
    assert np.abs(found - expected)[:, 1:-1, 1:-1].max() <= 2
    assert expected.std() > 20  # not a comparison of flat pictures


def test_without_augmentation_the_crop_is_exactly_that_of_prediction(photograph: Path) -> None:
    contexts = prepare_contexts([photograph], np.array([BOXES[0]]), DATA, OFF)
    np.testing.assert_array_equal(contexts[0], crop(open_image(photograph), square_box(BOXES[0], 1.4), 24))


def test_a_box_of_nan_is_the_whole_picture(photograph: Path) -> None:
    boxes = np.array([[np.nan] * 4, [0.0, 0.0, 120.0, 90.0]])
    contexts = prepare_contexts([photograph] * 2, boxes, DATA, OFF)
    np.testing.assert_array_equal(contexts[0], contexts[1])
    assert contexts[0].std() > 20


def test_a_cache_on_disk_holds_the_same_as_memory(photograph: Path, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache.npy"
    boxes = np.array(BOXES)
    paths = [photograph] * len(boxes)
    mapped = prepare_contexts(paths, boxes, DATA, AugmentationConfig(), cache)
    held = prepare_contexts(paths, boxes, DATA, AugmentationConfig())
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, held)
    np.testing.assert_array_equal(np.load(cache), held)
    names = ("yaw",)
    on_disk, in_memory = (
        FaceInputs(contexts, torch.zeros(4, 1), names, 24, AugmentationConfig()) for contexts in (mapped, held)
    )
    for index in range(4):
        assert torch.equal(on_disk[index, 3][0], in_memory[index, 3][0])


def filled(value: int) -> Callable[[NDArray[Any]], None]:
    return lambda values: values.fill(value)


SMALL = ((4, 5), np.dtype(np.uint8))


def test_a_cache_that_another_process_reads_keeps_its_pictures(tmp_path: Path) -> None:
    """Two runs in one folder: the second's cache must not become the first's pictures."""
    cache = tmp_path / "cache.npy"
    first = allocate(*SMALL, cache, filled(1))

    def look(values: NDArray[Any]) -> None:
        values.fill(2)
        assert (first == 1).all()

    second = allocate(*SMALL, cache, look)
    assert (first == 1).all()
    assert (second == 2).all()
    assert (np.load(cache) == 2).all()


def test_a_cache_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    def fail(values: NDArray[Any]) -> None:
        raise ImageError("not a picture")

    with pytest.raises(ImageError, match="not a picture"):
        allocate(*SMALL, tmp_path / "cache.npy", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_is_not_written_once_it_is_whole(tmp_path: Path) -> None:
    values = allocate(*SMALL, tmp_path / "cache.npy", filled(1))
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 2


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"cache\.npy: cannot be written"):
        allocate(*SMALL, tmp_path / "file" / "cache.npy", filled(1))


FILL = """
import sys
from pathlib import Path
import numpy as np
from deepgllim.errors import DataError
from deepgllim.nn.inputs import allocate

try:
    allocate((4000, 1000), np.dtype(np.uint8), Path(sys.argv[1]) / "cache" / "cache.npy", lambda values: values.fill(1))
except DataError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_said_before_the_cache_is_filled(small_disk: Path) -> None:
    """In a process of its own: writing through a map to a full disk ends it by SIGBUS."""
    done = subprocess.run([sys.executable, "-c", FILL, small_disk], capture_output=True, text=True)
    assert done.returncode == 0, done
    assert re.search(r"cache\.npy: cannot be written \(No space left on device: 4\.0 MB are needed\)", done.stdout)
    assert done.stdout.count("\n") == 1
    assert list((small_disk / "cache").iterdir()) == []


def test_a_cache_may_be_built_anew_where_two_have_no_room(small_disk: Path) -> None:
    shape = (600, 1000)
    for value in (1, 2):
        values = allocate(shape, np.dtype(np.uint8), small_disk / "cache.npy", filled(value))
        assert (values == value).all()
        del values


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.jpg"):
        prepare_contexts([tmp_path / "absent.jpg"], np.full((1, 4), np.nan), DATA, OFF)


def test_fixed_copies_are_the_plain_pictures_and_some_epochs(tmp_path: Path) -> None:
    inputs = faces(5, config=AugmentationConfig())
    for cache in (None, tmp_path / "cache" / "copies.npy"):
        copies = fixed_copies(inputs, 2, cache)
        assert len(copies) == 15
        assert not copies.augmented
        for copy, epoch in enumerate((None, 0, 1)):
            for index in range(5):
                pairs = zip(copies[5 * copy + index, 7], inputs[index, epoch], strict=True)
                assert all(torch.equal(found, expected) for found, expected in pairs)


def test_fixed_copies_of_mirrored_faces_have_mirrored_targets() -> None:
    copies = fixed_copies(faces(8, config=OFF.model_copy(update={"mirror": True})), 1)
    plain, mirrored = copies.targets[:8], copies.targets[8:]
    turned = mirrored[:, 1] == -plain[:, 1]
    assert 0 < int(turned.sum()) < 8
    assert torch.equal(mirrored[~turned], plain[~turned])


@pytest.mark.parametrize(("offset", "spread"), [(1e7, 1.0), (-1e9, 100.0), (1.0, 1e-6), (1e30, 1e20)])
def test_targets_that_float32_would_round_away_are_refused(offset: float, spread: float) -> None:
    values = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    targets = torch.cat([values, offset + spread * values], 1)
    for make in (single, lambda given: ArrayInputs(torch.zeros(50, 3), given)):
        with pytest.raises(DataError, match=r"^target 1 varies by .* about .*, which float32 rounds: subtract"):
            make(targets)


def test_other_targets_become_float32() -> None:
    values = torch.linspace(-1, 1, 50, dtype=torch.float64)[:, None]
    constant = torch.full_like(values, 1 / 3)
    targets = torch.cat([values, 1e7 + 1e5 * values, 1e-30 * values, constant, 1e30 * constant], 1)
    assert torch.equal(single(targets), targets.float())
    assert single(targets[:0]).shape == (0, 5)
    assert torch.equal(single(targets.float()), targets.float())
