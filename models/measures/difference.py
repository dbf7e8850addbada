"""Where a distorted image differs from its reference: the distance of their colors, cell by cell.

Source: Oklab, Björn Ottosson, "A perceptual color space for image processing", 2020. In it equal distances
look equally large; black and white are 1 apart.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.color.colorimetry import srgb_curve

CELL: Final = 16
"""Side of a cell in pixels."""
NOTICEABLE: Final = 0.02
"""A distance of colors that is just noticed side by side, as CSS Color 4 takes it."""

_Floats = NDArray[np.float32]

_TO_CONES: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_LINEAR: Final = srgb_curve(np.arange(256) / 255).astype(np.float32)


def difference_map(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> _Floats:
    """The root mean square distance of the colors in each cell, from 0 (identical) to 1 (black and white).

    Args:
        reference: ``(H, W, 3)`` uint8 sRGB.
        distorted: the same shape.

    Returns:
        ``(ceil(H / CELL), ceil(W / CELL))`` float32; cells at the right and bottom edge may be smaller.

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != distorted.shape or reference.ndim != 3:
        raise ValueError(
            f"The images must have one shape (H, W, 3), not {reference.shape} and {distorted.shape}."
        )
    squares = np.square(_oklab(reference) - _oklab(distorted)).sum(axis=2)
    means = _means(_means(squares, 0), 1)
    distances: _Floats = np.sqrt(means).clip(0, 1)
    return distances


def _oklab(pixels: NDArray[np.uint8]) -> _Floats:
    lab: _Floats = np.cbrt(_LINEAR[pixels] @ _TO_CONES.T) @ _TO_LAB.T
    return lab


def _means(values: _Floats, axis: int) -> _Floats:
    """The means of the cells along an axis."""
    begins = np.arange(0, values.shape[axis], CELL)
    sizes = np.diff(np.append(begins, values.shape[axis]))
    sums = np.add.reduceat(values, begins, axis=axis)
    means: _Floats = (sums / np.expand_dims(sizes, 1 - axis)).astype(np.float32)
    return means
