"""Images brought to whole cells of the networks' stride-32 grid."""

from typing import Final

import torch.nn.functional as F
from torch import Tensor

STRIDE: Final = 32
"""Pixels to a cell: of the last feature map of every encoder, and so of the grid that heads read."""


def pad_to_stride(images: Tensor) -> Tensor:
    """Reflect-pad ``(B, 3, H, W)`` right and bottom to multiples of 32: every level's grid is whole [O].

    Sides from 32 px up: at most 31 rows are mirrored, which reflection allows.
    """
    bottom, right = -images.shape[-2] % STRIDE, -images.shape[-1] % STRIDE
    return F.pad(images, (0, right, 0, bottom), mode="reflect") if bottom or right else images
