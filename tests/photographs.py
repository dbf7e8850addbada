"""Real photographs that installed packages carry, for all tests; no file of ours, no download."""

from functools import cache
from importlib.metadata import distribution

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data


@cache
def named() -> dict[str, NDArray[np.uint8]]:
    """Photographs ``(H, W, 3)`` uint8 by name, none of them in any training folder."""
    return {
        "astronaut": data.astronaut(),
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "china": _of_sklearn("china.jpg"),
        "flower": _of_sklearn("flower.jpg"),
        "rocket": data.rocket(),
    }


def photographs() -> list[NDArray[np.uint8]]:
    """All of them, in one order."""
    return list(named().values())


def _of_sklearn(name: str) -> NDArray[np.uint8]:
    """A photograph of scikit-learn, read without importing it, which takes a second of each worker."""
    path = distribution("scikit-learn").locate_file(f"sklearn/datasets/images/{name}")
    with Image.open(str(path)) as image:
        return np.asarray(image)
