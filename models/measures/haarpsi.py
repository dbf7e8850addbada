"""HaarPSI: how alike the Haar wavelet coefficients of two images are, weighted by the coarsest ones.

Source: Reisenhofer, Bosse, Kutyniok and Wiegand, "A Haar wavelet-based perceptual similarity index for image
quality assessment", Signal Processing: Image Communication 61, 2018; constants and padding of its code.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from models.measures.filtering import Map, block_means, similarity

_C: Final = 30.0
_ALPHA: Final = 4.2
_YIQ: Final = np.array([
    [0.299, 0.587, 0.114],
    [0.5959, -0.2746, -0.3213],
    [0.2115, -0.5227, 0.3112],
])  # fmt: skip
_REACH: Final = 8  # rows at half size that the widest filter sees
_STRIP_PIXELS: Final = 2**19
"""Of a strip, about: images are gone through in strips, so that a large one takes little memory."""


def haarpsi(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
    """HaarPSI of two ``(H, W, 3)`` uint8 images of one shape, sides of at least 16 pixels: 1 is identical."""
    similar = weighed = 0.0
    for strips in zip(_strips(reference), _strips(distorted), strict=True):
        one, other = (_coefficients(yiq) for yiq, _ in strips)
        inner = strips[0][1]
        weights = [np.maximum(one[4 + each], other[4 + each])[inner] for each in range(2)]
        weights.append((weights[0] + weights[1]) / 2)
        for direction, weight in enumerate(weights):
            pairs = (direction, direction + 2) if direction < 2 else (6, 7)
            alike = sum(similarity(one[each][inner], other[each][inner], _C) for each in pairs) / 2
            similar += float((weight / (1 + np.exp(-_ALPHA * alike))).sum())
            weighed += float(weight.sum())
    if weighed == 0:
        return 1.0  # black beside black
    share = similar / weighed
    return float((np.log(share / (1 - share)) / _ALPHA) ** 2)


def _strips(image: NDArray[np.uint8]) -> Iterator[tuple[Map, slice]]:
    """Strips in YIQ at half size, ``(h, w, 3)``, and which rows of each are not another's."""
    odd = max(image.shape[0] % 2, image.shape[1] % 2)
    rows, width = (image.shape[0] + odd) // 2, (image.shape[1] + odd) // 2
    step = max(_REACH, _STRIP_PIXELS // width)
    for start in range(0, rows, step):
        first, last = max(0, start - _REACH), min(rows, start + step + _REACH)
        part = image[2 * first : 2 * last]
        missing = 2 * (last - first) - part.shape[0]
        halved = block_means(np.pad(part, ((0, missing), (0, odd), (0, 0))), 2)
        yield halved @ _YIQ.T, slice(start - first, min(rows, start + step) - first)


def _coefficients(yiq: Map) -> list[Map]:
    """Magnitudes: of luma down and across at three scales, then the means of I and Q over 2x2 pixels."""
    found = []
    for scale in range(1, 4):
        side = 2**scale
        step = np.repeat([1.0, -1.0], side // 2) / side
        for axis in (0, 1):
            sharp = correlate1d(yiq[..., 0], step, axis=axis, mode="constant", origin=-1)
            found.append(np.abs(correlate1d(sharp, np.ones(side), axis=1 - axis, mode="constant", origin=-1)))
    for channel in (1, 2):
        mean = yiq[..., channel]
        for axis in (0, 1):
            mean = correlate1d(mean, np.array([0.5, 0.5]), axis=axis, mode="constant", origin=-1)
        found.append(np.abs(mean))
    return found
