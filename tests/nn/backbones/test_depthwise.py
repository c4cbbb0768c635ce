"""Depthwise convolution on small maps: the sum and the library's convolution are the same function."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from deepgllim.nn.backbones import depthwise as module
from deepgllim.nn.backbones.depthwise import MOST_PRODUCTS, DepthwiseConv2d, depthwise_sum, same_padding
from deepgllim.nn.backbones.efficientnet import SameConv2d

SHAPES = [(1, 1), (2, 2), (4, 4), (3, 2), (5, 3)]


def reference(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    (height, width), k = x.shape[-2:], weight.shape[-1]
    padding = (*same_padding(width, k, stride), *same_padding(height, k, stride))
    return conv2d(pad(x, padding), weight, stride=stride, groups=len(weight))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_is_the_convolution_with_its_gradients(shape: tuple[int, int], kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 4, *shape).double(), torch.randn(4, 1, kernel, kernel).double()
    x.requires_grad_(), weight.requires_grad_()
    found, expected = depthwise_sum(x, weight, stride), reference(x, weight, stride)
    pull = torch.randn_like(expected)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    for one, other in zip(
        torch.autograd.grad(found, (x, weight), pull), torch.autograd.grad(expected, (x, weight), pull), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [2, 8])
def test_training_and_prediction_agree(side: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(6, 5, stride)
    other = SameConv2d(6, 6, 5, stride, groups=6, bias=False)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 6, side, side).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = layer(x)
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(expected, other(x), atol=1e-6, rtol=1e-5)


def test_the_sum_serves_small_maps_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def record(input: Tensor, weight: Tensor, stride: int) -> Tensor:
        calls.append(tuple(input.shape))
        return depthwise_sum(input, weight, stride)

    monkeypatch.setattr(module, "depthwise_sum", record)
    layer = DepthwiseConv2d(2, 3)
    assert 3**4 <= MOST_PRODUCTS < 4**4
    layer(torch.zeros(1, 2, 4, 4))
    with torch.no_grad():
        layer(torch.zeros(1, 2, 3, 3))
    assert calls == []
    layer(torch.zeros(1, 2, 3, 3))
    assert calls == [(1, 2, 3, 3)]
