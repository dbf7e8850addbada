"""A ResNet made ready for inference: batch norm folded, images of mixed sizes in one tensor, half precision.

Both models look at an image through a ResNet of bottleneck blocks (:mod:`models.backbones.resnet`). Here
either is rebuilt from its convolutions alone. The originals remain what is trained, and what this is tested
against.
"""

from collections.abc import Callable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.folding import FoldedEncoder, folded, for_inference
from models.backbones.resnet import Bottleneck, ModifiedResNet, ResNet
from models.ragged import Extents

Halving = Callable[[Extents], Extents]


@for_inference.register(ModifiedResNet)
@for_inference.register(ResNet)
class FoldedResNet(FoldedEncoder):
    """The stem and the four stages of a ResNet.

    Args:
        network: it is copied, not changed.
        dtype: of the stages.
    """

    stem: nn.ModuleList

    def __init__(self, network: ModifiedResNet | ResNet, dtype: torch.dtype = torch.float32) -> None:
        stages = nn.ModuleList(
            nn.ModuleList(_Block(block) for block in cast("list[Bottleneck]", stage))
            for stage in network.stages
        )
        super().__init__(nn.ModuleList(_stem(network)), stages, dtype)
        self.stem_pool = network.pool
        # A stride of 2 keeps an odd last row, average pooling drops it.
        self._halve: Halving = (
            Extents.halved_down if isinstance(network, ModifiedResNet) else Extents.halved_up
        )

    def forward(self, images: Tensor, extents: Extents) -> list[tuple[Tensor, Extents]]:
        """See :class:`FoldedEncoder`; sides from 32 px up."""
        values = images
        for number, convolution in enumerate(self.stem):
            if number:
                extents.clear(values)
            else:
                extents = extents.halved_up()
            values = F.relu_(convolution(values))
        values = values.to(self.dtype)
        features = [(values, extents)]
        # Max pooling reads past an edge, where alone it would see minus infinity: after a ReLU zero does as
        # well. Average pooling does not look there.
        values, extents = self.stem_pool(extents.clear(values)), self._halve(extents)
        for stage in self.stages:
            for block in cast(nn.ModuleList, stage):
                values, extents = block(values, extents, self._halve)
            features.append((values, extents))
        return features


class _Block(nn.Module):
    """A bottleneck: 1x1, 3x3, 1x1, and the way around. The 3x3 alone looks beyond its own position."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.reduce = _folded(block.conv1, block.bn1)
        self.spatial = _folded(block.conv2, block.bn2)
        self.expand = _folded(block.conv3, block.bn3)
        self.pool = block.avgpool
        self.shortcut = nn.Sequential(*_shortcut(block.downsample))
        self.halves = block.stride == 2

    def forward(self, values: Tensor, extents: Extents, halve: Halving) -> tuple[Tensor, Extents]:
        hidden = extents.clear(F.relu_(self.reduce(values)))
        hidden = self.pool(F.relu_(self.spatial(hidden)))
        hidden = self.expand(hidden).add_(self.shortcut(values))
        return F.relu_(hidden), halve(extents) if self.halves else extents


def _stem(network: ModifiedResNet | ResNet) -> Iterator[nn.Conv2d]:
    """The folded convolutions before the first pooling; the first has stride 2."""
    if isinstance(network, ModifiedResNet):
        for number in "123":
            yield _folded(getattr(network, f"conv{number}"), getattr(network, f"bn{number}"))
    elif isinstance(network.conv1, nn.Sequential):  # conv, norm, act, conv, norm, act, conv
        first, norm, _, second, second_norm, _, third = network.conv1
        yield _folded(first, norm)
        yield _folded(second, second_norm)
        yield _folded(third, network.bn1)
    else:
        yield _folded(network.conv1, network.bn1)


def _shortcut(downsample: nn.Sequential | None) -> Iterator[nn.Module]:
    if downsample is None:
        return
    *before, convolution, norm = downsample
    yield from before
    yield _folded(convolution, norm)


def _folded(convolution: object, norm: object) -> nn.Conv2d:
    assert isinstance(convolution, nn.Conv2d), convolution
    assert isinstance(norm, nn.BatchNorm2d), norm
    return folded(convolution, norm)
