"""PSNR and SSIM: how far a distorted image's samples are from its reference's, with no model of what matters.

Sources: PSNR by its definition, over the three RGB channels together. SSIM: Wang, Bovik, Sheikh and
Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE Transactions on
Image Processing 13(4), 2004: luma, an 11x11 Gaussian window with a standard deviation of 1.5, K1 = 0.01,
K2 = 0.03, population statistics, and the mean over the windows that lie wholly inside the image.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

_PEAK: Final = 255.0
_RADIUS: Final = 5
_SIGMA: Final = 1.5
_C1: Final = (0.01 * _PEAK) ** 2
_C2: Final = (0.03 * _PEAK) ** 2
_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as the paper's own code converts to grey
_OFFSETS: Final = np.arange(-_RADIUS, _RADIUS + 1)
_WINDOW: Final = np.exp(-(_OFFSETS**2) / (2 * _SIGMA**2)) / np.exp(-(_OFFSETS**2) / (2 * _SIGMA**2)).sum()
_STRIP_PIXELS: Final = 2**20
"""Images are gone through in strips of about this many pixels, so that a large one takes little memory."""


@dataclass(frozen=True)
class Signal:
    """``psnr_db``: in decibels, None where the images are identical; ``ssim``: at most 1."""

    psnr_db: float | None
    ssim: float


def measure(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> Signal:
    """PSNR over RGB and SSIM on luma of two ``(H, W, 3)`` uint8 images.

    Raises:
        ValueError: the shapes differ, or a side is under the 11 pixels of the window.
    """
    return Signal(psnr(reference, distorted), ssim(reference, distorted))


def psnr(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float | None:
    """Peak signal-to-noise ratio in dB over all samples of two ``(H, W, 3)`` uint8 images; None if equal.

    Raises:
        ValueError: the shapes differ.
    """
    _check(reference, distorted)
    squares = 0
    for rows in _strips(reference, overlap=0):
        difference = reference[rows].astype(np.int32) - distorted[rows]
        squares += int(np.einsum("hwc,hwc->", difference, difference, dtype=np.int64))
    if squares == 0:
        return None
    return 10 * math.log10(_PEAK**2 * reference.size / squares)


def ssim(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
    """Mean structural similarity of the luma of two ``(H, W, 3)`` uint8 images.

    Raises:
        ValueError: the shapes differ, or a side is under the 11 pixels of the window.
    """
    _check(reference, distorted)
    if min(reference.shape[:2]) < _OFFSETS.size:
        raise ValueError(f"SSIM needs sides of at least {_OFFSETS.size} pixels, not {reference.shape[:2]}.")
    total, count = 0.0, 0
    for rows in _strips(reference, overlap=2 * _RADIUS):
        similarity = _ssim_map(reference[rows] @ _LUMA, distorted[rows] @ _LUMA)
        total += float(similarity.sum())
        count += similarity.size
    return total / count


def _ssim_map(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The index of each whole window: ``(h, w)`` luma -> ``(h - 10, w - 10)``."""
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return luminance * structure


def _blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    down = correlate1d(values, _WINDOW, axis=0)[_RADIUS:-_RADIUS]
    across: NDArray[np.float64] = correlate1d(down, _WINDOW, axis=1)[:, _RADIUS:-_RADIUS]
    return across


def _strips(image: NDArray[np.uint8], overlap: int) -> Iterator[slice]:
    """Slices of rows that cover the image; each reaches `overlap` rows into the next."""
    height, width = image.shape[:2]
    step = max(1, _STRIP_PIXELS // width)
    for start in range(0, height - overlap, step):
        yield slice(start, min(start + step, height - overlap) + overlap)


def _check(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> None:
    if reference.shape != distorted.shape or reference.ndim != 3:
        raise ValueError(
            f"The images must have one shape (H, W, 3), not {reference.shape} and {distorted.shape}."
        )
