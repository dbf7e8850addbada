"""What the published measures of pairs share: averaging, gradients, and the similarity of two maps."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate

Map = NDArray[np.float64]


def similarity(one: Map, other: Map, constant: float) -> Map:
    """``(2ab + c) / (a^2 + b^2 + c)``: 1 where the maps agree."""
    alike: Map = (2 * one * other + constant) / (one**2 + other**2 + constant)
    return alike


def gradient(values: Map, kernel: Map) -> Map:
    """Magnitude of the gradient by a 3x3 kernel and its transpose; beyond the border all is 0."""
    across, down = (correlate(values, each, mode="constant") for each in (kernel, kernel.T))
    magnitude: Map = np.hypot(across, down)
    return magnitude


def averaged(pixels: NDArray[np.uint8], side: int, before: int, *, edge: bool) -> Map:
    """Means of square cells, ``(H, W, 3)`` uint8 -> ``(h, w, 3)`` float64.

    Args:
        pixels: of the image.
        side: of a cell in pixels.
        before: pixels that are added on the left and on top; on the other two sides it is ``side - 1`` less
            that, as authors of measures do it.
        edge: whether what is added repeats the border; otherwise it is black.
    """
    if side == 1:
        return pixels.astype(np.float64)
    after = side // 2 + (side - 1) // 2 - before
    around = ((before, after), (before, after), (0, 0))
    padded = np.pad(pixels, around, mode="edge") if edge else np.pad(pixels, around)
    return block_means(padded, side)


def block_means(values: NDArray[np.generic], side: int) -> Map:
    """Means of the whole square cells of ``(H, W)`` or ``(H, W, C)`` values."""
    height, width = values.shape[0] // side, values.shape[1] // side
    cells = values[: height * side, : width * side].reshape(height, side, width, side, *values.shape[2:])
    means: Map = cells.sum(axis=(1, 3), dtype=np.float64) / side**2
    return means
