"""VGG-16, the network of the paper, for weights with the state-dict keys of torchvision."""

from collections import OrderedDict

from torch import nn

# one row for each block: channels of its convolutions, which are followed by a 2×2 max pooling
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

GRID = 3
"""Side of the output map of the spatial head; inputs of 96 px give this map after the fifth pooling."""

HEADS = {"fc7": (4096, "classifier.0.weight"), "average": (512, None), "spatial": (512 * GRID**2, None)}

_CLASSIFIER = {"fc6": "classifier.0", "fc7": "classifier.3"}


def vgg16_stages(head: str = "fc7") -> nn.Sequential:
    """Return the stages: five convolution blocks, and fc6 and fc7 where the head has them.

    The spatial head preserves positions, which the mean over the map does not. Its map is 3 × 3; inputs of other sizes
    than 96 px are brought to it by adaptive average pooling. Adaptive average pooling to 7 × 7 before fc6 allows any
    input of 32 px or more, and has no effect at 224 px. fc6 and fc7 end with their ReLU. There is no dropout, since
    the mixture is fitted to deterministic features.

    Args:
        head: "fc7" (7 stages, D = 4096), "spatial" (5 stages, D = 4608) or "average" (5 stages, D = 512).

    Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015.

    Example:
        >>> len(vgg16_stages("average"))
        5
    """
    stages: list[OrderedDict[str, nn.Module]] = []
    inputs, index = 3, 0
    for channels in BLOCKS:
        stage: OrderedDict[str, nn.Module] = OrderedDict()
        for outputs in channels:
            stage[str(index)] = nn.Conv2d(inputs, outputs, 3, padding=1)
            stage[str(index + 1)] = nn.ReLU(inplace=True)
            inputs, index = outputs, index + 2
        stage[str(index)] = nn.MaxPool2d(2)
        stages.append(stage)
        index += 1
    if head in ("average", "spatial"):
        stages[-1].update(average=nn.AdaptiveAvgPool2d(GRID if head == "spatial" else 1), flatten=nn.Flatten())
        return nn.Sequential(*map(nn.Sequential, stages))
    pool, flatten = nn.AdaptiveAvgPool2d(7), nn.Flatten()
    fc6 = OrderedDict(pool=pool, flatten=flatten, fc6=nn.Linear(512 * 7 * 7, 4096), relu=nn.ReLU(inplace=True))
    fc7 = OrderedDict(fc7=nn.Linear(4096, 4096), relu=nn.ReLU(inplace=True))
    return nn.Sequential(*map(nn.Sequential, [*stages, fc6, fc7]))


def vgg16_file_key(key: str) -> str:
    """Return torchvision's name of a tensor of `vgg16_stages`; layers have the same index in both.

    Example:
        >>> vgg16_file_key("2.14.weight"), vgg16_file_key("6.fc7.bias")
        ('features.14.weight', 'classifier.3.bias')
    """
    _, layer, leaf = key.split(".")
    return f"{_CLASSIFIER.get(layer, f'features.{layer}')}.{leaf}"
