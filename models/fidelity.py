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

from models.alignment import Displacement, displacement

_PEAK: Final = 255.0
_RADIUS: Final = 5
_SIGMA: Final = 1.5
_C1: Final = (0.01 * _PEAK) ** 2
_C2: Final = (0.03 * _PEAK) ** 2
LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as the paper's own code converts to gray
_OFFSETS: Final = np.arange(-_RADIUS, _RADIUS + 1)
WINDOW_SIDE: Final = 2 * _RADIUS + 1
_WINDOW: Final = np.exp(-(_OFFSETS**2) / (2 * _SIGMA**2)) / np.exp(-(_OFFSETS**2) / (2 * _SIGMA**2)).sum()
_NO_SHIFT_ABOVE_DB: Final = 45.0  # a shift of what has any texture costs more
_STRIP_PIXELS: Final = 2**20
"""Images are gone through in strips of about this many pixels, so that a large one takes little memory."""


@dataclass(frozen=True)
class Signal:
    """How far the samples of two images are apart.

    Attributes:
        psnr_db: in decibels; None where the images are identical.
        ssim: at most 1.
        displacement: of the distorted image; None where it lies on the reference.
    """

    psnr_db: float | None
    ssim: float
    displacement: Displacement | None = None


def measure(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> Signal:
    """PSNR over RGB, SSIM on luma, and the displacement of two ``(H, W, 3)`` uint8 images.

    Raises:
        ValueError: the shapes differ, or a side is under the 11 pixels of the window.
    """
    decibels = psnr(reference, distorted)
    near = decibels is None or decibels > _NO_SHIFT_ABOVE_DB
    return Signal(
        decibels,
        ssim(reference, distorted),
        None if near else displacement(reference, distorted),
    )


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
    if min(reference.shape[:2]) < WINDOW_SIDE:
        raise ValueError(f"SSIM needs sides of at least {WINDOW_SIDE} pixels, not {reference.shape[:2]}.")
    return mean_similarities(reference, distorted)[0]


def mean_similarities(x: NDArray[np.generic], y: NDArray[np.generic]) -> tuple[float, float]:
    """The means over all whole windows of SSIM, and of its contrast and structure without the luminance.

    Args:
        x: ``(H, W, 3)`` RGB or ``(H, W)`` luma, in [0, 255], with sides of at least 11 pixels.
        y: the same shape.
    """
    whole, structure, count = 0.0, 0.0, 0
    for rows in _strips(x, overlap=2 * _RADIUS):
        luminances, structures = _ssim_maps(_luma(x[rows]), _luma(y[rows]))
        whole += float((luminances * structures).sum())
        structure += float(structures.sum())
        count += structures.size
    return whole / count, structure / count


def _luma(image: NDArray[np.generic]) -> NDArray[np.float64]:
    luma: NDArray[np.float64] = image @ LUMA if image.ndim == 3 else image.astype(np.float64)
    return luma


def _ssim_maps(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """The two factors of SSIM of each whole window: ``(h, w)`` luma -> ``(h - 10, w - 10)`` each."""
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return luminance, structure


def _blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import correlate1d  # here: HTTP processes name Signal, and never measure one

    down = correlate1d(values, _WINDOW, axis=0)[_RADIUS:-_RADIUS]
    across: NDArray[np.float64] = correlate1d(down, _WINDOW, axis=1)[:, _RADIUS:-_RADIUS]
    return across


def _strips(image: NDArray[np.generic], overlap: int) -> Iterator[slice]:
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
