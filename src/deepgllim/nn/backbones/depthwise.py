"""Depthwise convolution that trains fast on small maps.

On maps of a few pixels the backward pass of oneDNN's depthwise convolution costs five to ten times as much as the sum
itself. On such maps the convolution is computed as a sum over the pixels of the input, Σ_p x[n, c, p] W[c, p, q], where
W[c, p, q] is the weight between pixel p and output q. The channels are contiguous, so that the sum is vectorised.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

MOST_PRODUCTS = 100
"""Largest product of the numbers of input and output pixels for which the sum is faster (benchmarks/README.md)."""


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution to ⌈H/s⌉ × ⌈W/s⌉ with TensorFlow's "SAME" padding.

    Args:
        channels: number of channels, C.
        kernel: side of the kernel, odd.
        stride: stride, s.
        bias: whether a bias is added. Without one, folding a normalisation into the convolution adds one.

    Example:
        >>> DepthwiseConv2d(8, 5, stride=2)(torch.zeros(1, 8, 15, 4)).shape
        torch.Size([1, 8, 8, 2])
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(channels, channels, kernel, stride, groups=channels, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, ⌈H/s⌉, ⌈W/s⌉)."""
        (height, width), k, s = input.shape[-2:], self.kernel_size[0], self.stride[0]
        outputs = -(-height // s) * -(-width // s)
        if torch.is_grad_enabled() and height * width * outputs <= MOST_PRODUCTS and not torch.compiler.is_exporting():
            y = depthwise_sum(input, self.weight, s)
            return y if self.bias is None else y + self.bias.view(-1, 1, 1)
        if s == 1:  # "SAME" is symmetric here
            return conv2d(input, self.weight, self.bias, padding=k // 2, groups=self.groups)
        padding = (*same_padding(width, k, s), *same_padding(height, k, s))
        return conv2d(pad(input, padding), self.weight, self.bias, stride=s, groups=self.groups)


def depthwise_sum(input: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Return the depthwise convolution as a sum over the pixels of the input, in the channels-last memory format.

    Args:
        input: (N, C, H, W).
        weight: kernels, (C, 1, k, k).
        stride: stride, s.

    Returns:
        (N, C, ⌈H/s⌉, ⌈W/s⌉).
    """
    N, C, H, W = input.shape
    size = weight.shape[-1]
    index = _kernel_index(H, W, size, stride)  # (H W, outputs)
    entries = pad(weight.view(C, -1).T, (0, 0, 0, 1))  # (k² + 1, C), the last row 0
    M = entries[index.flatten()].view(*index.shape, C)
    x = input.permute(0, 2, 3, 1).reshape(N, H * W, C)
    y = x[:, :1] * M[0]
    for p in range(1, H * W):
        y = y + x[:, p, None] * M[p]
    return y.view(N, -(-H // stride), -(-W // stride), C).permute(0, 3, 1, 2)


@lru_cache(maxsize=32)
def _kernel_index(height: int, width: int, kernel: int, stride: int) -> Tensor:
    """Return the index of the kernel entry between each input and output pixel, (H W, outputs); k² for none."""
    top, left = same_padding(height, kernel, stride)[0], same_padding(width, kernel, stride)[0]

    def offsets(size: int, before: int) -> Tensor:
        outputs = torch.arange(-(-size // stride))
        return torch.arange(size)[:, None] - stride * outputs + before  # (input, output)

    rows, columns = offsets(height, top)[:, None, :, None], offsets(width, left)[None, :, None, :]
    inside = (rows >= 0) & (rows < kernel) & (columns >= 0) & (columns < kernel)
    index = torch.where(inside, rows * kernel + columns, torch.full_like(rows + columns, kernel * kernel))
    return index.reshape(height * width, -1)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after: ⌊p/2⌋ and p − ⌊p/2⌋ with p = max((⌈H/s⌉ − 1) s + k − H, 0).

    Example:
        >>> same_padding(96, 3, 2)
        (0, 1)
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
