"""MDSI: how far the similarity of gradients and colors deviates over an image; 0 is identical.

Source: Nafchi, Shahkolaei, Hedjam and Cheriet, "Mean deviation similarity index: efficient and reliable
full-reference image quality evaluator", IEEE Access 4, 2016.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.measures.filtering import averaged, gradient, similarity

_SIDE: Final = 256  # of the images that are compared, about
_C1, _C2, _C3 = 140.0, 55.0, 550.0
_ALPHA: Final = 0.6
_POWER: Final = 0.25
_LHM: Final = np.array([[0.2989, 0.587, 0.114], [0.3, 0.04, -0.35], [0.34, -0.6, 0.17]])
_PREWITT: Final = np.array([[-1.0, 0.0, 1.0]] * 3) / 3


def mdsi(reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
    """MDSI of two ``(H, W, 3)`` uint8 images of one shape: 0 is identical, and higher is worse."""
    side = max(1, round(min(reference.shape[:2]) / _SIDE))
    x, y = (averaged(image, side, (side - 1) // 2, edge=False) @ _LHM.T for image in (distorted, reference))
    gradients = [gradient(each, _PREWITT) for each in (x[..., 0], y[..., 0], (x[..., 0] + y[..., 0]) / 2)]
    alike = (
        similarity(gradients[0], gradients[1], _C1)
        + similarity(gradients[0], gradients[2], _C2)
        - similarity(gradients[1], gradients[2], _C2)
    )
    products = (x[..., 1:] * y[..., 1:]).sum(axis=2)
    squares = (x[..., 1:] ** 2 + y[..., 1:] ** 2).sum(axis=2)
    colors = (2 * products + _C3) / (squares + _C3)
    # The similarity of gradients may be negative: then its root is complex.
    roots = (_ALPHA * alike + (1 - _ALPHA) * colors).astype(np.complex128) ** _POWER
    return float(np.abs(roots - roots.mean()).mean() ** _POWER)
