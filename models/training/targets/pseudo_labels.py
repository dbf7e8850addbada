"""A first opinion of photographs without scores: how sharp their sharpest parts are, how much is clipped.

A photograph is as sharp as what is in focus: observers judge by the sharpest regions, not by the mean (the
pooling of S3, Vu, Phan and Chandler, TIP 2012). The measure and its numbers are ours: the energy of the
Laplacian in blocks of 16 x 16 px, of the sharpest 3 % of them, less what the flattest tenth shows, which is
mostly noise. What is burnt out or drowned in black counts against a photograph, less than blur does.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor

from models.training.distortions.color import luma
from models.training.photos import PhotoReader
from models.training.whole_photos import tracked

_BLOCK = 16
_SHARPEST, _FLATTEST = 0.97, 0.1
_BLACK, _WHITE = 5, 250  # of luma; beyond them nothing is told apart
_WEIGHT_OF_CLIPPING = 0.15  # beside sharpness
_NOISE_GAIN = 1.5  # the flattest tenth lies below the mean of noise


def sharpness(image: Tensor) -> float:
    """``log(1 + E)`` of a ``(3, H, W)`` uint8 picture, at least 16 px; E in squared gray levels of 255."""
    of_blocks = block_energies(luma(image.float())[None], _BLOCK)
    flattest, sharpest = torch.quantile(of_blocks.flatten(), torch.tensor([_FLATTEST, _SHARPEST])).tolist()
    return float(np.log1p(max(sharpest - _NOISE_GAIN * flattest, 0.0)))


def clipped(image: Tensor) -> float:
    """Share of a ``(3, H, W)`` uint8 picture that is burnt out or drowned in black, in [0, 1]."""
    light = luma(image.float())
    return float(((light < _BLACK) | (light > _WHITE)).float().mean())


def ranked(paths: Sequence[Path], *, quiet: bool = False) -> list[float]:
    """The rank of every photograph among all, ``(0.5 ... n - 0.5) / n``, 1 the best; equal ones share theirs.

    Raises:
        DataError: one that cannot be decoded.
    """
    reader = PhotoReader(cache_bytes=0)
    found = []
    for path in tracked(paths, "first opinion", quiet):
        photo = reader.read(path)
        found.append((sharpness(photo), -clipped(photo)))
    by_sharpness, by_clipping = (rankdata(values) for values in zip(*found, strict=True))
    ranks = rankdata(by_sharpness + _WEIGHT_OF_CLIPPING * by_clipping) - 0.5
    return [float(rank) / len(found) for rank in ranks]


def block_energies(planes: Tensor, block: int) -> Tensor:
    """Variance of the Laplacian in blocks of ``block`` px: ``(B, 1, H, W)`` to ``(B, 1, h, w)``."""
    # Shifts and sums: torch's convolutions of a single channel take five times as long on a CPU.
    wide = F.pad(planes, (1, 1, 1, 1), mode="replicate")
    edges = (
        wide[..., 2:, 1:-1] + wide[..., :-2, 1:-1] + wide[..., 1:-1, 2:] + wide[..., 1:-1, :-2] - 4 * planes
    )
    return (F.avg_pool2d(edges.square(), block) - F.avg_pool2d(edges, block).square()).clamp(min=0)
