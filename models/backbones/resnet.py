"""The two ResNets that the models look through: the plain one (BPCLIP) and CLIP's (QualiCLIP).

Sources: "Deep Residual Learning for Image Recognition", arXiv 1512.03385, with the stride in the 3x3
convolution as it is usual since, and the deep stem of "Bag of Tricks", arXiv 1812.01187; CLIP, arXiv
2103.00020, section 2.4: a stem of three convolutions, and average pooling wherever a ResNet strides.

Parameters are named as in torchvision, timm and OpenAI's CLIP, so that their checkpoints fit; timm and
open_clip are what the tests hold this to. They are written out here because importing either library takes an
inference process as long as all other work before it is ready.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, cast

import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION: Final = 4
"""Channels that leave a bottleneck, for each of its width."""

_PLAIN_STEM_CHANNELS: Final = 64


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, and the way around.

    Args:
        channels_in: of what comes in.
        width: of the 3x3 convolution; :data:`EXPANSION` times as many channels go out.
        stride: 1, or 2 to halve the sides.
        averages: whether halving is done by average pooling, as in CLIP, and not by stride.
    """

    def __init__(self, channels_in: int, width: int, stride: int, averages: bool) -> None:
        super().__init__()
        channels = EXPANSION * width
        pooling = averages and stride > 1
        convolution_stride = 1 if averages else stride
        self.stride = stride
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, convolution_stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(stride) if pooling else nn.Identity()
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels_in != channels:
            # Pooling has no parameters and takes no number from those that have.
            parts: list[tuple[str, nn.Module]] = [("-1", nn.AvgPool2d(stride))] if pooling else []
            parts.append(("0", nn.Conv2d(channels_in, channels, 1, convolution_stride, bias=False)))
            parts.append(("1", nn.BatchNorm2d(channels)))
            self.downsample = nn.Sequential(OrderedDict(parts))

    def forward(self, values: Tensor) -> Tensor:
        """``(B, channels_in, H, W)`` -> ``(B, 4 width, H / stride, W / stride)``."""
        around = values if self.downsample is None else self.downsample(values)
        values = F.relu(self.bn1(self.conv1(values)), inplace=True)
        values = F.relu(self.bn2(self.conv2(values)), inplace=True)
        values = self.bn3(self.conv3(self.avgpool(values)))
        return F.relu(values + around, inplace=True)


class _Stages(nn.Module):
    """The four stages after a stem, each but the first at half the size of the one before."""

    pool: nn.Module
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def _add_stages(
        self, channels: int, widths: Sequence[int], layers: Sequence[int], averages: bool
    ) -> None:
        for number, (width, count) in enumerate(zip(widths, layers, strict=True), start=1):
            blocks = []
            for place in range(count):
                stride = 2 if number > 1 and place == 0 else 1
                blocks.append(Bottleneck(channels, width, stride, averages))
                channels = EXPANSION * width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    @property
    def stages(self) -> tuple[nn.Sequential, ...]:
        """In the order in which an image goes through them."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def stem(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` -> F1, ``(B, C_1, H / 2, W / 2)``."""
        raise NotImplementedError

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` normalized -> F1..F5, ``(B, C_i, H / 2^i, W / 2^i)``."""
        found = [self.stem(images)]
        values = self.pool(found[0])  # at half the size, as the first stage takes it
        for stage in self.stages:
            values = stage(values)
            found.append(values)
        return tuple(found)


class ResNet(_Stages):
    """The plain one, without a classifier.

    Args:
        layers: bottlenecks of each stage.
        widths: of each stage's bottlenecks.
        stem_channels: 64 have a single convolution of 7x7; other numbers three of 3x3.
    """

    def __init__(self, layers: Sequence[int], widths: Sequence[int], stem_channels: int) -> None:
        super().__init__()
        if stem_channels == _PLAIN_STEM_CHANNELS:
            self.conv1: nn.Module = nn.Conv2d(3, stem_channels, 7, 2, padding=3, bias=False)
        else:
            half = stem_channels // 2
            self.conv1 = nn.Sequential(
                nn.Conv2d(3, half, 3, 2, padding=1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(inplace=True),
                nn.Conv2d(half, half, 3, padding=1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(inplace=True),
                nn.Conv2d(half, stem_channels, 3, padding=1, bias=False),
            )
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self._add_stages(stem_channels, widths, layers, averages=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, images: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(images)), inplace=True)


class ModifiedResNet(_Stages):
    """CLIP's, without what pools its last feature map.

    Args:
        layers: bottlenecks of each stage.
        width: of the first stage's bottlenecks, and channels of the stem; doubled with each stage.
    """

    def __init__(self, layers: Sequence[int], width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = nn.Conv2d(3, half, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(2)
        self._add_stages(width, [width << number for number in range(4)], layers, averages=True)
        for stage in self.stages:
            for block in cast("list[Bottleneck]", stage):
                nn.init.zeros_(block.bn3.weight)  # a block begins as what goes around it

    def stem(self, images: Tensor) -> Tensor:
        values = F.relu(self.bn1(self.conv1(images)), inplace=True)
        values = F.relu(self.bn2(self.conv2(values)), inplace=True)
        return F.relu(self.bn3(self.conv3(values)), inplace=True)
