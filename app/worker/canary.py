"""A small image that every worker scores before it is called ready."""

import numpy as np
from numpy.typing import NDArray

from app.worker.engine import Engine
from app.worker.tasks import FULL_REFERENCE, CompareTask, ScoreTask

_SIDE = 224


class CanaryFailed(Exception):
    """The models cannot score the canary image; the message is one sentence."""


def canary_pixels() -> NDArray[np.uint8]:
    """A smooth, coloured pattern with some edges: ``(224, 224, 3)`` uint8, always the same."""
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    waves = np.stack([rows, columns, 0.5 + 0.5 * np.sin(40 * rows * columns)], axis=-1)
    waves[_SIDE // 3 : _SIDE // 2, _SIDE // 3 : _SIDE // 2] = (0.9, 0.2, 0.1)
    pixels: NDArray[np.uint8] = np.rint(255 * waves).astype(np.uint8)
    return pixels


def score_canary(engine: Engine) -> None:
    """Scores the canary with every loaded model, which also warms them up.

    Raises:
        CanaryFailed: a model raised, or gave a score that is not a finite number in [0, 1].
    """
    pixels = canary_pixels()
    scores: dict[str, float] = {}
    (result,) = engine.score([ScoreTask(pixels, engine.models)])
    if isinstance(result, Exception):
        raise CanaryFailed(f"The models could not score the canary image: {result}") from result
    scores |= {name: model.score for name, model in result.models.items()}
    if any(card.name == FULL_REFERENCE for card in engine.cards()):
        (pair,) = engine.compare([CompareTask(pixels, pixels, signal=False)])
        if isinstance(pair, Exception):
            raise CanaryFailed(f"{FULL_REFERENCE} could not compare the canary image: {pair}") from pair
        scores[FULL_REFERENCE] = pair.full_reference.score
    if wrong := [name for name, score in scores.items() if not 0.0 <= score <= 1.0]:
        raise CanaryFailed(f"{wrong[0]} gave the canary image a score outside [0, 1].")
