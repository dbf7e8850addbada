"""What folded encoders have in common: convolutions that carry their batch norm, and precision by part."""

from functools import singledispatch

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.ragged import Extents


class FoldedEncoder(nn.Module):
    """Base of the encoders for inference: a network's stem and stages, in evaluation mode, without gradients.

    Args:
        stem: convolutions before the first stage. They stay in float32: eight bits of mantissa, bfloat16's,
            cannot tell neighboring gray levels of a normalized image apart, and most of the error of a whole
            pass in bfloat16 arises there (measured; ours).
        stages: what follows, each a sequence of blocks.
        dtype: of the stages.
    """

    def __init__(self, stem: nn.Module, stages: nn.ModuleList, dtype: torch.dtype) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages.to(dtype)
        self.dtype = dtype
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, extents: Extents) -> list[tuple[Tensor, Extents]]:
        """The five feature maps at strides 2 to 32, ``(B, C_i, H / 2^i, W / 2^i)``, each with its extents.

        Values beyond the extents are undefined.

        Args:
            images: ``(B, 3, H, W)`` float32, normalized, zero beyond the extents.
            extents: of the images.
        """
        raise NotImplementedError


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that does what both do.

    Raises:
        ValueError: the batch norm is in training mode.
    """
    if norm.training:
        raise ValueError("Batch norm is folded with the statistics of evaluation mode.")
    return fuse_conv_bn_eval(convolution, norm)


@singledispatch
def for_inference(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """An encoder made ready for inference: it takes and gives what :meth:`FoldedEncoder.forward` does.

    A network that nothing is registered for is one already, and works in float32.

    Args:
        network: in evaluation mode; it is copied, not changed.
        dtype: of its stages.
    """
    return network
