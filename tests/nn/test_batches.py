"""Batches: every input once, the same order and items with any number of workers; functions of all inputs."""

from itertools import chain

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.nn.batches import batches, map_batches, n_batches
from deepgllim.nn.config import AugmentationConfig
from deepgllim.nn.inputs import ArrayInputs, FaceInputs
from tests.nn.tiny import faces

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)


def numbered(n: int) -> ArrayInputs:
    """Inputs whose value is their index."""
    return ArrayInputs(torch.arange(n)[:, None], torch.arange(n)[:, None] / 2)


def indices(n: int, size: int, epoch: int | None = 0, seed: int = 0) -> list[list[int]]:
    stream = batches(numbered(n), size, epoch=epoch, shuffle=epoch is not None, seed=seed)
    return [x.flatten().tolist() for x, _ in stream]


def drained(inputs: FaceInputs, workers: int = 0, epoch: int = 3, seed: int = 5) -> list[tuple[Tensor, Tensor]]:
    return list(batches(inputs, 5, epoch=epoch, shuffle=True, seed=seed, workers=workers))


def equal(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(one, other, strict=True))


@properties
@given(st.integers(1, 70), st.integers(2, 17), st.integers(0, 5), st.integers(0, 5))
def test_a_shuffled_epoch_has_every_index_once_and_no_single_last(n: int, size: int, epoch: int, seed: int) -> None:
    groups = indices(n, size, epoch, seed)
    assert sorted(chain(*groups)) == list(range(n))
    assert len(groups) == n_batches(n, size)
    assert all(len(group) in (size, size + 1) for group in groups[:-1])
    assert n == 1 or len(groups[-1]) > 1
    assert len(groups[-1]) <= size + 1


@properties
@given(st.integers(1, 40), st.integers(2, 9))
def test_without_shuffling_the_order_is_kept(n: int, size: int) -> None:
    groups = indices(n, size, None)
    assert list(chain(*groups)) == list(range(n))
    assert all(len(group) <= size for group in groups)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    assert indices(40, 8, 1) == indices(40, 8, 1)
    assert indices(40, 8, 1) != indices(40, 8, 2)
    assert indices(40, 8, 1, seed=1) != indices(40, 8, 1, seed=2)


def test_targets_stay_with_their_inputs() -> None:
    for x, y in batches(numbered(20), 6, epoch=0, shuffle=True):
        assert torch.equal(y, x / 2)


def test_batches_are_the_same_in_this_process_and_in_others() -> None:
    inputs = faces(17, config=AugmentationConfig())
    assert equal(drained(inputs, workers=0), drained(inputs, workers=2))


def test_batches_leave_the_global_random_numbers_alone() -> None:
    """A resumed training computes caches again; were numbers drawn for it, it would go on differently."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(batches(numbered(8), 4, epoch=0, shuffle=True))
    list(batches(numbered(8), 4))
    assert torch.equal(torch.get_rng_state(), before)


@properties
@given(st.integers(1, 20), st.integers(1, 9))
def test_a_function_of_batches_has_one_row_for_each_input(n: int, size: int) -> None:
    inputs = numbered(n)
    values, targets = map_batches(lambda x, y: (3 * x, y), inputs, size)
    assert torch.equal(values.flatten(), 3 * torch.arange(n))
    assert torch.equal(targets, inputs.targets)


def test_a_function_of_batches_sees_the_augmentation_of_its_epoch_and_no_gradients() -> None:
    inputs = faces(5, config=AugmentationConfig())
    for epoch in (None, 0):
        (found,) = map_batches(lambda x, _: (x,), inputs, 2, epoch=epoch)
        assert torch.equal(found, torch.stack([inputs[i, epoch][0] for i in range(5)]))
    weight = torch.ones(1, requires_grad=True)
    (scaled,) = map_batches(lambda x, _: (weight * x,), inputs, 2)
    assert not scaled.requires_grad
