"""A photograph as small as it can be and still be told from all others: what near duplicates are found by."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMB_SIDE: Final = 128
"""Pixels of the longest side."""


@dataclass(frozen=True)
class LumaThumb:
    """Luma of a photograph, small.

    Attributes:
        luma: ``(h, w)`` uint8; the longer side is :data:`THUMB_SIDE`.
    """

    luma: NDArray[np.uint8]


def luma_thumb(pixels: NDArray[np.uint8]) -> LumaThumb:
    """The look of ``(H, W, 3)`` uint8 sRGB pixels of any size."""
    height, width = pixels.shape[:2]
    scale = THUMB_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Box: each pixel is the mean of those that it stands for, so grain and the blocks of codecs vanish.
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BOX).convert("L")
    return LumaThumb(np.asarray(small))
