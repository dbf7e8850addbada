"""Real photographs that installed packages carry, for all tests; no file of ours, no download."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_image


@cache
def named() -> dict[str, NDArray[np.uint8]]:
    """Photographs ``(H, W, 3)`` uint8 by name, none of them in any training folder."""
    return {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "china": np.ascontiguousarray(load_sample_image("china.jpg")),
        "flower": np.ascontiguousarray(load_sample_image("flower.jpg")),
        "rocket": data.rocket(),
    }


def photographs() -> list[NDArray[np.uint8]]:
    """All of them, in one order."""
    return list(named().values())
