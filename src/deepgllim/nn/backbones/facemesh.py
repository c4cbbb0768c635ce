"""The trunk of FaceMesh V2, a small network trained on faces, with weights in the package."""

from collections import OrderedDict
from importlib.resources import files
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from deepgllim.nn.backbones.depthwise import DepthwiseConv2d
from deepgllim.nn.backbones.efficientnet import SameConv2d

GRID = 3
"""Side of the output map; inputs of 192 px give this map after the sixth stage."""

# one row for each stage: channels inside its blocks, and of its output
STAGES = ((8, 16), (16, 32), (32, 64), (64, 128), (64, 128), (64, 128))

BLOCKS = 4
"""Number of blocks of a stage after the one that halves the map."""

FACEMESH_HEADS = {"spatial": (128 * GRID**2, None)}


class Bottleneck(nn.Module):
    """Residual block y = prelu(expand(depthwise(prelu(reduce(x)))) + shortcut(x)).

    A block that halves the map reduces by a 2 × 2 convolution of stride 2, and its shortcut is a 2 × 2 max pooling. If
    the output has more channels than the input, the shortcut is extended by zeros.

    Args:
        inputs: number of channels of the input.
        hidden: number of channels between `reduce` and `expand`.
        outputs: number of channels of the output.
        halve: whether the block halves the map.

    Example:
        >>> import torch
        >>> Bottleneck(16, 16, 32, halve=True)(torch.zeros(1, 16, 48, 48)).shape
        torch.Size([1, 32, 24, 24])
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, halve: bool = False) -> None:
        super().__init__()
        self.halve, self.extra = halve, outputs - inputs
        side = 2 if halve else 1
        self.reduce = nn.Sequential(nn.Conv2d(inputs, hidden, side, stride=side), nn.PReLU(hidden))
        self.depthwise = DepthwiseConv2d(hidden, 3, bias=True)
        self.expand = nn.Conv2d(hidden, outputs, 1)
        self.activation = nn.PReLU(outputs)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H, W), or to (N, C', ⌊H/2⌋, ⌊W/2⌋)."""
        shortcut = max_pool2d(input, 2) if self.halve else input
        if self.extra:
            shortcut = pad(shortcut, (0, 0, 0, 0, 0, self.extra))
        result: Tensor = self.activation(self.expand(self.depthwise(self.reduce(input))) + shortcut)
        return result


def facemesh_stages(head: str = "spatial") -> nn.Sequential:
    """Return six stages; the last one ends with a map of 3 × 3 × 128 features (D = 1152).

    Each stage halves the map once: at 192 px, stage 4 has an output of 12 × 12 × 128. Other sizes than 192 px are
    brought to the map of 3 × 3 by adaptive average pooling. The network needs at least 64 px.

    Args:
        head: "spatial", the only one.

    Source: I. Grishchenko et al., "Attention mesh: high-fidelity face mesh prediction in real-time", 2020; the graph
        of `face_landmarks_detector.tflite` in MediaPipe's Face Landmarker, up to its 3 × 3 map.

    Example:
        >>> import torch
        >>> stages = facemesh_stages()
        >>> len(stages), stages(torch.zeros(1, 3, 192, 192)).shape
        (6, torch.Size([1, 1152]))
    """
    stages: list[OrderedDict[str, nn.Module]] = []
    channels = STAGES[0][1]
    for index, (hidden, outputs) in enumerate(STAGES):
        stage: OrderedDict[str, nn.Module] = OrderedDict()
        if index == 0:
            stage["stem"] = nn.Sequential(SameConv2d(3, channels, 3, stride=2), nn.PReLU(channels))
        else:
            stage["down"] = Bottleneck(channels, hidden, outputs, halve=True)
        for block in range(BLOCKS):
            stage[str(block)] = Bottleneck(outputs, hidden, outputs)
        channels = outputs
        stages.append(stage)
    stages[-1].update(pool=nn.AdaptiveAvgPool2d(GRID), flatten=nn.Flatten())
    return nn.Sequential(*map(nn.Sequential, stages))


def facemesh_weights() -> Path:
    """Return the file of the weights in the package, which `tools/convert_facemesh.py` has written."""
    return Path(str(files("deepgllim.nn.backbones").joinpath("facemesh_v2.safetensors")))
