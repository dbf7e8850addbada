"""A small image whose score is known for given weights, so that computing wrongly is found out."""

from typing import TYPE_CHECKING

import numpy as np

from models.preprocessing import Pixels, Preprocessing
from models.registry import FULL_REFERENCE

if TYPE_CHECKING:
    from models.base import QualityModel

_SIDE = 224


def canary_pixels() -> Pixels:
    """A smooth, colored pattern with some edges and dark grain: ``(224, 224, 3)`` uint8, always the same."""
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    waves = np.stack([rows, columns, 0.5 + 0.5 * np.sin(40 * rows * columns)], axis=-1)
    waves[_SIDE // 3 : _SIDE // 2, _SIDE // 3 : _SIDE // 2] = (0.9, 0.2, 0.1)
    # Low precision loses dark detail first.
    grain = np.random.default_rng(1).uniform(0.0, 0.06, (_SIDE // 4, _SIDE, 3))
    waves[-_SIDE // 4 :] = grain
    pixels: Pixels = np.rint(255 * waves).astype(np.uint8)
    return pixels


def spoilt_pixels() -> Pixels:
    """The distorted canary, which a full-reference model compares with the canary."""
    return np.ascontiguousarray(canary_pixels() // 32 * 32)


def plain_score(name: str, module: "QualityModel", preprocessing: Preprocessing) -> float:
    """The canary's score by a model's plain modules, float32 on the CPU; for pairs, the spoilt canary's."""
    import torch

    pictures = [spoilt_pixels(), canary_pixels()] if name == FULL_REFERENCE else [canary_pixels()]
    with torch.inference_mode():
        inputs = [preprocessing.tensor(preprocessing.fit(picture)) for picture in pictures]
        return float(module(*inputs).score)
