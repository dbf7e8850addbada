"""Multi-scale structural similarity: SSIM's contrast and structure at five sizes, its luminance at the last.

Source: Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar
Conference on Signals, Systems and Computers, 2003; its weights. Luma and window are those of our SSIM
(:mod:`models.fidelity`).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.fidelity import LUMA, WINDOW_SIDE, mean_similarities
from models.measures.filtering import block_means

_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SHORTEST: Final = (WINDOW_SIDE - 1) * 2 ** (len(_WEIGHTS) - 1) + 1
"""A side below this many pixels has no window left at the last size."""
_STRIP_PIXELS: Final = 2**19
"""Of a strip, about: images are halved in strips, so that a large one takes little memory."""


def ms_ssim(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float | None:
    """MS-SSIM of the luma of two ``(H, W, 3)`` uint8 images of one shape; None for sides under 161 px."""
    if min(reference.shape[:2]) < _SHORTEST:
        return None
    found = []
    one: NDArray[np.generic] = reference
    other: NDArray[np.generic] = distorted
    for number in range(len(_WEIGHTS)):
        if number > 0:
            one, other = _halved(one), _halved(other)
        whole, structure = mean_similarities(one, other)
        found.append(whole if number == len(_WEIGHTS) - 1 else structure)
    return float(np.prod([max(0.0, each) ** weight for each, weight in zip(found, _WEIGHTS, strict=True)]))


def _halved(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Luma at half the size; where a side is odd, the first row and column count twice."""
    if odd := max(image.shape[0] % 2, image.shape[1] % 2):
        image = np.pad(image, ((odd, 0), (odd, 0), (0, 0))[: image.ndim], mode="edge")
    strips = []
    step = 2 * max(1, _STRIP_PIXELS // image.shape[1])
    for start in range(0, image.shape[0] - 1, step):
        means = block_means(image[start : start + step], 2)
        strips.append((means @ LUMA if image.ndim == 3 else means).astype(np.float32))
    return np.concatenate(strips)
