"""How a model answers to faults made on purpose: do scores fall with the level, do the words name the fault.

Works on any good photographs; those that a model was trained on say nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.distortions import DISTORTIONS, EXTRA_FAULTS, distort_levels

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float64]
Scorer = Callable[[Pixels], tuple[float, Sequence[float]]]
"""What is examined: ``(H, W, 3)`` uint8 -> the score in [0, 1] and the 40 similarities."""

ORDERED: tuple[str, ...] = tuple(name for name, distortion in DISTORTIONS.items() if distortion.ordered)


@dataclass(frozen=True)
class Answers:
    """What a model said of ``P`` photographs, untouched and under one distortion.

    ``scores``: ``(P, 1 + L)``, untouched first, then the levels that change the picture. ``similarities``:
    ``(P, 1 + L, 40)``.
    """

    name: str
    scores: Scores
    similarities: Scores

    @property
    def adjacent_in_order(self) -> float:
        """Share of (photograph, adjacent levels) whose worse level scores lower; untouched left out."""
        levels = self.scores[:, 1:]
        return float((np.diff(levels, axis=1) < 0).mean())

    @property
    def worst_below_mildest(self) -> float:
        """Share of photographs whose worst level scores lower than the mildest one."""
        return float((self.scores[:, -1] < self.scores[:, 1]).mean())


def spoilt(photo: Pixels, name: str, seed: int = 0) -> list[Pixels]:
    """A photograph untouched and at the levels of a distortion that change it, ``(H, W, 3)`` uint8 each."""
    distortion = (DISTORTIONS | EXTRA_FAULTS)[name]
    levels = range(distortion.first_ordered, 6)
    image = torch.from_numpy(photo.copy()).permute(2, 0, 1).float() / 255
    images = distort_levels(image, name, torch.Generator().manual_seed(seed), levels)
    return [photo, *(_pixels(image) for image in images)]


def ask(scorer: Scorer, photos: Sequence[Pixels], name: str, seed: int = 0) -> Answers:
    """A model's answers to photographs under one distortion."""
    answers = [[scorer(image) for image in spoilt(photo, name, seed)] for photo in photos]
    scores = np.array([[score for score, _ in levels] for levels in answers])
    return Answers(name, scores, np.array([[words for _, words in levels] for levels in answers]))


def _pixels(image: Tensor) -> Pixels:
    return np.ascontiguousarray((image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
