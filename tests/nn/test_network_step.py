"""The batch normalisation that processes share, in a group of one process; test_distributed.py has two."""

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from deepgllim.nn.network_step import shared_norm


@pytest.fixture
def group() -> Iterator[dist.ProcessGroup | None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    yield dist.group.WORLD
    dist.destroy_process_group()


def layer(channels: int, affine: bool, axes: int) -> _BatchNorm:
    """Return a layer in training mode with random weights, double precision."""
    norm = (nn.BatchNorm1d if axes == 1 else nn.BatchNorm2d)(channels, affine=affine).double()
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, -2, 2)
    return norm


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_it_is_torch_s_batch_normalisation(
    shape: tuple[int, ...], affine: bool, group: dist.ProcessGroup | None
) -> None:
    torch.manual_seed(0)
    values = (3 + torch.randn(shape, dtype=torch.float64)).requires_grad_()
    target = torch.randn(shape, dtype=torch.float64)
    ours, theirs = (layer(3, affine, len(shape) - 1) for _ in range(2))
    ours.load_state_dict(theirs.state_dict())

    def outcome(norm: _BatchNorm, normalised: Tensor) -> list[Tensor]:
        loss = (normalised - target).pow(3).sum()
        gradients = torch.autograd.grad(loss, [values, *norm.parameters()])
        return [normalised.detach(), *gradients, *norm.buffers()]

    for found, expected in zip(
        outcome(ours, shared_norm(ours, group, values)), outcome(theirs, theirs(values)), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_half_precision_keeps_its_type(group: dist.ProcessGroup | None) -> None:
    torch.manual_seed(0)
    norm, values = nn.BatchNorm2d(3), 100 + torch.randn(8, 3, 4, 4)
    halves = values.bfloat16().requires_grad_()
    found = shared_norm(norm, group, halves)
    assert found.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad(found.float().square().sum(), [halves])
    assert gradient.dtype == torch.bfloat16
    assert abs(float(found.detach().float().mean())) < 0.05  # the sums have more than the eight bits of the values
