"""From a decoded image to what a network sees: upright sRGB pixels, a size, a normalized tensor.

Training, evaluation and the service all come through here, so a model is asked about the same pixels that
it learned from. What differs between weights (mean, standard deviation, longest side) is data,
:class:`Preprocessing`, and travels in the weights' metadata.
"""

import math
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    # HTTP processes prepare images; they have no need of torch, nor of the half gigabyte that it takes.
    from torch import Tensor


Pixels = NDArray[np.uint8]
_Positive = Annotated[float, Field(gt=0)]
SMALLEST_SIDE: Final = 32  # pixels; one cell of the networks' stride-32 grid
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)  # openai/CLIP, clip/clip.py
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)  # torchvision's ResNets
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


class Preprocessing(BaseModel):
    """How pixels become the input of a network.

    Attributes:
        mean: per RGB channel, for values in [0, 1].
        std: per RGB channel, for values in [0, 1].
        longest_side: in pixels, what larger images are brought down to; None scores at native size.
        version: of the procedure in this module; raised when the same file would give other pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: tuple[float, float, float]
    std: tuple[_Positive, _Positive, _Positive]
    longest_side: int | None = Field(default=None, ge=SMALLEST_SIDE)
    version: str = "1"

    def fitted_size(self, width: int, height: int, max_pixels: int | None = None) -> tuple[int, int]:
        """The size that an image is scored at.

        Never larger than the image. The aspect is kept: where the short side would fall under 32 pixels, it
        is kept at 32 and the long side stays longer than :attr:`longest_side`. `max_pixels` holds always;
        for a strip so long that its 32 rows alone exceed it, the long side is squeezed.

        Args:
            width: of the image, in pixels.
            height: of the image, in pixels.
            max_pixels: a bound on width times height, at least 32 * 32; None for no bound.

        Returns:
            ``(width, height)`` in pixels.

        Raises:
            ValueError: `max_pixels` is under 1024, or a side is not positive.
        """
        short, long = sorted((width, height))
        if short < 1:
            raise ValueError(f"An image has positive sides, not {width} x {height}.")
        if max_pixels is not None and max_pixels < SMALLEST_SIDE**2:
            raise ValueError(f"max_pixels must be at least {SMALLEST_SIDE**2}, not {max_pixels}.")

        scale = 1.0
        if self.longest_side is not None:
            scale = min(scale, self.longest_side / long)
        if max_pixels is not None:
            scale = min(scale, math.sqrt(max_pixels / (short * long)))
        least = min(SMALLEST_SIDE, short)
        scale = max(scale, least / short)

        fitted_short, fitted_long = max(least, round(short * scale)), max(least, round(long * scale))
        if max_pixels is not None and fitted_short * fitted_long > max_pixels:
            # Rounding up both sides may pass the bound by a row; rounding down cannot.
            fitted_short = max(least, math.floor(short * scale))
            fitted_long = min(fitted_long, max_pixels // fitted_short)
        return (fitted_short, fitted_long) if width <= height else (fitted_long, fitted_short)

    def fit(self, pixels: Pixels, max_pixels: int | None = None) -> Pixels:
        """Scales an image down to the size of :meth:`fitted_size`, as :func:`scaled` does.

        Args:
            pixels: ``(H, W, 3)`` uint8.
            max_pixels: see :meth:`fitted_size`.

        Returns:
            ``(h, w, 3)`` uint8; the same array where the size fits already.

        Raises:
            ValueError: `pixels` has another shape or dtype, or `max_pixels` is under 1024.
        """
        _check(pixels)
        height, width = pixels.shape[:2]
        return scaled(pixels, self.fitted_size(width, height, max_pixels))

    def tensor(self, pixels: Pixels) -> "Tensor":
        """The normalized input of a network.

        Args:
            pixels: ``(H, W, 3)`` uint8.

        Returns:
            ``(1, 3, H, W)`` float32, contiguous, on the CPU: ``(pixels / 255 - mean) / std``.

        Raises:
            ValueError: `pixels` has another shape or dtype.
        """
        _check(pixels)
        import torch

        planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32))
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return planes.div_(255.0).sub_(mean).div_(std).unsqueeze(0)


def scaled(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Scales an image, antialiased, to a width and a height in pixels.

    Bicubic, as CLIP's own preprocessing: Pillow widens the kernel by the scale, so nothing aliases, and it
    rings less than Lanczos, which a quality model could take for over-sharpening.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        size: width and height in pixels.

    Returns:
        ``(h, w, 3)`` uint8; the same array where it has that size already.

    Raises:
        ValueError: `pixels` has another shape or dtype.
    """
    _check(pixels)
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=None)
    return np.array(resized)


def _check(pixels: Pixels) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"Pixels are (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}.")
