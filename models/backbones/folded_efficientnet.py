"""EfficientNet-Lite made ready for inference: batch norm folded, images of mixed sizes in one tensor.

The counterpart of :mod:`models.backbones.folded_resnet` for :mod:`models.backbones.efficientnet`, which
remains what is trained and what this is tested against.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.efficientnet import Block, DepthwiseConv, EfficientNetLite
from models.backbones.folding import FoldedEncoder, folded, for_inference
from models.ragged import Extents


@for_inference.register(EfficientNetLite)
class FoldedEfficientNet(FoldedEncoder):
    """The stem and the seven stages of an EfficientNet-Lite.

    Args:
        network: it is copied, not changed.
        dtype: of the stages.
    """

    level_gains: Tensor
    level_offsets: Tensor

    def __init__(self, network: EfficientNetLite, dtype: torch.dtype = torch.float32) -> None:
        stages = nn.ModuleList(
            nn.ModuleList(_FoldedBlock(block) for block in cast("list[Block]", stage))
            for stage in network.blocks
        )
        super().__init__(_folded(network.conv_stem, network.bn1), stages, dtype)
        self._tapped = network.tapped_stages
        means, scales = network.level_means, network.level_scales
        self.channels = network.channels
        # (z - mean) / scale as one multiplication and one addition.
        self.register_buffer("level_gains", 1 / scales, persistent=False)
        self.register_buffer("level_offsets", -means / scales, persistent=False)

    def forward(self, images: Tensor, extents: Extents) -> list[tuple[Tensor, Extents]]:
        """See :class:`FoldedEncoder`: standardized feature maps; sides are multiples of 32."""
        values, extents = F.relu6(self.stem(images)).to(self.dtype), extents.halved_up()
        found = []
        for number, stage in enumerate(self.stages):
            for block in cast("list[_FoldedBlock]", stage):
                values, extents = block(values, extents)
            if number in self._tapped:
                found.append((values, extents))
        gains = self.level_gains.split(self.channels)
        offsets = self.level_offsets.split(self.channels)
        return [
            (
                torch.addcmul(
                    offset.to(self.dtype)[:, None, None], values, gain.to(self.dtype)[:, None, None]
                ),
                level,
            )
            for (values, level), gain, offset in zip(found, gains, offsets, strict=True)
        ]


class _FoldedBlock(nn.Module):
    """An inverted bottleneck. The depthwise convolution alone looks beyond its own position."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        norms = (block.bn2, block.bn3) if block.expands else (block.bn1, block.bn2)
        self.expand = _folded(block.conv_pw, block.bn1) if block.expands else None
        self.spatial = _folded(block.conv_dw, norms[0])
        self.project = _folded(block.conv_pwl if block.expands else block.conv_pw, norms[1])
        self.halves = block.stride == 2
        self.skips = block.skips

    def forward(self, values: Tensor, extents: Extents) -> tuple[Tensor, Extents]:
        hidden = values if self.expand is None else F.hardtanh_(self.expand(values), 0.0, 6.0)
        hidden = F.hardtanh_(self.spatial(extents.clear(hidden)), 0.0, 6.0)
        hidden = self.project(hidden)
        if self.skips:
            hidden = hidden.add_(values)
        return hidden, extents.halved_up() if self.halves else extents


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution with symmetric padding that does what both do.

    TensorFlow's padding at stride 2 has one more position after than before. A kernel with a row and a column
    of zeros in front, and one more position of padding there, reads the same and needs no padded copy.
    """
    fused = folded(convolution, norm)
    before, after = convolution.edges if isinstance(convolution, DepthwiseConv) else (0, 0)
    more = after - before
    plain = nn.Conv2d(
        fused.in_channels,
        fused.out_channels,
        fused.kernel_size[0] + more,
        fused.stride[0],
        padding=after,
        groups=fused.groups,
    )
    with torch.no_grad():
        plain.weight.copy_(F.pad(fused.weight, (more, 0, more, 0)))
        assert plain.bias is not None
        assert fused.bias is not None
        plain.bias.copy_(fused.bias)
    return plain
