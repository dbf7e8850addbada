"""A first opinion of photographs that nobody scored: how sharp their sharpest parts are, how much is clipped.

A photograph is as sharp as what is in focus: observers judge by the sharpest regions, not by the mean (the
pooling of S3, Vu, Phan and Chandler, TIP 2012). The measure and its numbers are ours: the energy of the
Laplacian in blocks of 16 x 16 px, of the sharpest 3 % of them, less what the flattest tenth shows, which is
mostly noise. What is burnt out or drowned in black counts against a photograph, less than blur does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from scipy.stats import rankdata
from torch import Tensor

from models.training.distortions.colour import luma
from models.training.measures import block_energies
from models.training.photos import PhotoReader

_BLOCK = 16
_SHARPEST, _FLATTEST = 0.97, 0.1
_BLACK, _WHITE = 5, 250  # of luma; beyond them nothing is told apart
_WEIGHT_OF_CLIPPING = 0.15  # beside sharpness
_NOISE_GAIN = 1.5  # the flattest tenth lies below the mean of noise


@dataclass(frozen=True)
class Opinion:
    """A photograph and its place among others, in (0, 1), 1 the best: a :class:`RatedPhoto`."""

    path: Path
    worth: float


def sharpness(image: Tensor) -> float:
    """``log(1 + E)`` of a ``(3, H, W)`` uint8 picture, at least 16 px; E in squared grey levels of 255."""
    of_blocks = block_energies(luma(image.float())[None], _BLOCK)
    flattest, sharpest = torch.quantile(of_blocks.flatten(), torch.tensor([_FLATTEST, _SHARPEST])).tolist()
    return float(np.log1p(max(sharpest - _NOISE_GAIN * flattest, 0.0)))


class Scale:
    """Opinions of single pictures, by their places among pictures that were seen before.

    Args:
        pictures: ``(3, H, W)`` uint8 each.
    """

    def __init__(self, pictures: Iterable[Tensor]) -> None:
        found = [(sharpness(picture), clipped(picture)) for picture in pictures]
        self._sharpness, self._clipping = (np.sort(values) for values in zip(*found, strict=True))
        self._merits = np.sort([self._merit(*values) for values in found])

    def worth(self, picture: Tensor) -> float:
        """Share of the known pictures that are worse than a ``(3, H, W)`` uint8 picture, in [0, 1]."""
        return _share(self._merits, self._merit(sharpness(picture), clipped(picture)))

    def _merit(self, sharp: float, clip: float) -> float:
        return _share(self._sharpness, sharp) - _WEIGHT_OF_CLIPPING * _share(self._clipping, clip)


def _share(known: NDArray[np.float64], value: float) -> float:
    """Of the known values, those that are lower, and half of the equal ones."""
    return float(np.searchsorted(known, value) + np.searchsorted(known, value, "right")) / (2 * len(known))


def clipped(image: Tensor) -> float:
    """Share of a ``(3, H, W)`` uint8 picture that is burnt out or drowned in black, in [0, 1]."""
    light = luma(image.float())
    return float(((light < _BLACK) | (light > _WHITE)).float().mean())


def ranked(paths: Sequence[Path], *, quiet: bool = False) -> list[Opinion]:
    """Every photograph with its rank among all, ``(0.5 ... n - 0.5) / n``; equal ones share theirs.

    Raises:
        DataError: one that cannot be decoded.
    """
    reader = PhotoReader(cache_bytes=0)
    console = Console(stderr=True)
    found = []
    for path in track(paths, "first opinion", console=console, disable=quiet):
        photo = reader.read(path)
        found.append((sharpness(photo), -clipped(photo)))
    by_sharpness, by_clipping = (rankdata(values) for values in zip(*found, strict=True))
    ranks = (rankdata(by_sharpness + _WEIGHT_OF_CLIPPING * by_clipping) - 0.5) / len(found)
    return [Opinion(path, float(rank)) for path, rank in zip(paths, ranks, strict=True)]
