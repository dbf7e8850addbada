"""What one model says of photographs with one distortion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.loading import LoadedModel
from models.preprocessing import Pixels
from models.training.distortions import DISTORTIONS, EXTRA_FAULTS, distort_levels

Scores = NDArray[np.float64]
AnswerScorer = Callable[[Pixels], tuple[float, Sequence[float]]]
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
    def in_order(self) -> Scores:
        """Of each photograph, the share of adjacent levels that are in order; untouched left out."""
        shares: Scores = (np.diff(self.scores[:, 1:], axis=1) < 0).mean(axis=1)
        return shares

    @property
    def adjacent_in_order(self) -> float:
        """Share of (photograph, adjacent levels) whose worse level scores lower; untouched left out."""
        return float(self.in_order.mean())

    @property
    def below_mildest(self) -> NDArray[np.bool_]:
        """Of each photograph, whether the worst level scores lower than the mildest one."""
        below: NDArray[np.bool_] = self.scores[:, -1] < self.scores[:, 1]
        return below

    @property
    def worst_below_mildest(self) -> float:
        """Share of photographs whose worst level scores lower than the mildest one."""
        return float(self.below_mildest.mean())


def levels_of(name: str) -> range:
    """The levels of a distortion that change the picture: 1 or 2 to 5."""
    return range((DISTORTIONS | EXTRA_FAULTS)[name].first_ordered, 6)


def spoilt(photo: Pixels, name: str, seed: int = 0, levels: Sequence[int] | None = None) -> list[Pixels]:
    """A photograph untouched and at levels of a distortion, ``(H, W, 3)`` uint8 each.

    Without `levels` it is all that change the photograph.
    """
    image = torch.from_numpy(photo.copy()).permute(2, 0, 1).float() / 255
    images = distort_levels(image, name, torch.Generator().manual_seed(seed), levels or levels_of(name))
    return [photo, *(_pixels(image) for image in images)]


def ask(scorer: AnswerScorer, photos: Sequence[Pixels], name: str, seed: int = 0) -> Answers:
    """A model's answers to photographs under one distortion."""
    answers = [[scorer(image) for image in spoilt(photo, name, seed)] for photo in photos]
    scores = np.array([[score for score, _ in levels] for levels in answers])
    return Answers(name, scores, np.array([[words for _, words in levels] for levels in answers]))


@torch.inference_mode()
def scored(loaded: LoadedModel, *images: Pixels) -> tuple[float, list[float]]:
    """The score of an image, or of a distorted image and its reference, and the 40 similarities.

    Args:
        loaded: asked as it is, in float32.
        images: ``(H, W, 3)`` uint8, which the model's preprocessing brings to its size.
    """
    preprocessing = loaded.metadata.preprocessing
    output = loaded.module(*(preprocessing.tensor(preprocessing.fit(image)) for image in images))
    return float(output.score[0]), output.similarities[0].tolist()


def _pixels(image: Tensor) -> Pixels:
    return np.ascontiguousarray((image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
