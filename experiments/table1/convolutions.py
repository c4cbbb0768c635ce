"""3 × 3 convolutions of small maps with few multiplications, so that VGG-16's last block can be trained on one core."""

import numpy as np
import torch
from torch import Tensor, nn

from deepgllim.nn import DeepRegression, Recipe

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
VGG_DEPTH = 4
"""Number of VGG-16's frozen blocks; the fifth one is trained."""


def _matrices(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrices that evaluate flattened maps and filters at (side + 2)² points, and the inverse transform."""
    points = np.array(POINTS[: side + 1])
    whole = np.vander(points, side + 2, increasing=True)
    whole = np.vstack([whole, np.eye(side + 2)[-1]])  # the point at infinity: the highest coefficient
    maps, back = whole[:, :side].copy(), np.linalg.inv(whole)[1:-1]
    filters = whole[:, 2::-1].copy()  # reversed, since nn.Conv2d is a correlation
    maps[-1], filters[-1] = np.eye(side)[-1], [1.0, 0.0, 0.0]
    one, two, three = (torch.tensor(np.kron(m, m), dtype=torch.float32) for m in (maps, filters, back))
    return one, two, three


class SmallMapConvolutions(nn.Module):
    """Convolutions 3 × 3 with padding 1, each followed by a ReLU, on maps of a fixed small side (Toom-Cook, Winograd).

    For the side S it needs (S + 2)² multiplications per pair of channels instead of 9 S²: for S = 6, 64 instead of 324.
    Outputs and gradients equal those of `nn.Conv2d` up to rounding.

    Args:
        layers: the convolutions; their weights are used and trained.
        side: side of the maps, 2 to 6.

    Source: A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", 2016.
    """

    maps: Tensor
    filters: Tensor
    back: Tensor

    def __init__(self, layers: list[nn.Conv2d], side: int) -> None:
        super().__init__()
        if not 2 <= side <= 6:
            raise ValueError(f"maps of {side} × {side}: give a side of 2 to 6")
        self.layers, self.side = nn.ModuleList(layers), side
        for name, values in zip(("maps", "filters", "back"), _matrices(side), strict=True):
            self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, S, S) to (N, C', S, S)."""
        n = len(x)
        x = x.permute(2, 3, 0, 1).reshape(self.side**2, n, -1)  # (S², N, C)
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            x = self._convolve(x, layer.weight, layer.bias).relu()
        return x.reshape(self.side, self.side, n, -1).permute(2, 3, 0, 1)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        outputs, inputs = weight.shape[:2]
        taps = weight.permute(2, 3, 1, 0).reshape(9, -1)
        U = (self.filters @ taps).view(-1, inputs, outputs)  # (P, C, C')
        V = (self.maps @ x.flatten(1)).view(-1, x.shape[1], inputs)  # (P, N, C)
        M = torch.bmm(V, U)
        return (self.back @ M.flatten(1)).view(self.side**2, -1, outputs) + bias


def speed_up(model: DeepRegression, recipe: Recipe) -> DeepRegression:
    """Replace the convolutions of VGG-16's fifth block, the first stage of the model, if their maps are small enough.

    The weights are unchanged. Models of other networks and depths are returned unchanged.
    """
    side = recipe.data.image_size // 2**VGG_DEPTH
    if recipe.network.backbone == "vgg16" and min(recipe.network.frozen_depths) == VGG_DEPTH and 2 <= side <= 6:
        layers = list(model.backbone.stages[0].children())
        convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
        fast = SmallMapConvolutions(convolutions, side)
        model.backbone.stages[0] = nn.Sequential(fast, *layers[2 * len(convolutions) :])
    return model
