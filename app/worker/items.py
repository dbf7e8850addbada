"""Tasks divided into what one model does with one image or pair, and gathered again. No torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.worker.tasks import (
    FULL_REFERENCE,
    CompareResult,
    ModelResult,
    Result,
    ScoreResult,
    ScoreTask,
    Task,
)
from models import signal

Pixels = NDArray[np.uint8]
Place = tuple[int, str]
Found = Mapping[Place, Mapping[str, ModelResult | Exception]]
"""Results, or what went wrong, by place and model."""

_PAIR: Final = "pair"
_REFERENCE: Final = "reference"
_DISTORTED: Final = "distorted"  # also the only image of a task without a reference


@dataclass(frozen=True)
class Item:
    """One image or pair for one model.

    Attributes:
        place: of the result: the task's number, and which of its images.
        images: ``(H, W, 3)`` uint8 at the size that the model scores: the image, or distorted and reference.
        words: beyond the 40.
        mapped: whether local quality is wanted too.
        reference_key: as of the task.
    """

    place: Place
    images: tuple[Pixels, ...]
    words: tuple[str, ...] = ()
    mapped: bool = False
    reference_key: str = ""


def divided(number: int, task: Task, name: str, fitted: Callable[[Pixels], Pixels]) -> list[Item]:
    """What a task asks of one model.

    Args:
        number: of the task.
        task: with pixels of any size.
        name: of the model.
        fitted: brings pixels to the size that the model scores.
    """
    if name == FULL_REFERENCE:
        if isinstance(task, ScoreTask):
            return []
        both = fitted(task.distorted), fitted(task.reference)
        return [Item((number, _PAIR), both, reference_key=task.reference_key)]
    if name not in task.models:
        return []
    if isinstance(task, ScoreTask):
        mapped = task.quality_map == name
        return [Item((number, _DISTORTED), (fitted(task.pixels),), task.words, mapped)]
    images = {_REFERENCE: task.reference, _DISTORTED: task.distorted}
    return [Item((number, which), (fitted(pixels),), task.words) for which, pixels in images.items()]


def gathered(number: int, task: Task, found: Found) -> Result | Exception:
    """A task's results in the order asked for, or the first failure among them."""
    try:
        distorted = _chosen(task.models, found.get((number, _DISTORTED), {}))
        if isinstance(task, ScoreTask):
            return distorted
        reference = _chosen(task.models, found.get((number, _REFERENCE), {}))
        (pair,) = _chosen((FULL_REFERENCE,), found[number, _PAIR]).models.values()
        measured = signal.measure(task.reference, task.distorted) if task.signal else None
        return CompareResult(pair, reference, distorted, measured)
    except Exception as error:
        return error


def _chosen(models: Sequence[str], found: Mapping[str, ModelResult | Exception]) -> ScoreResult:
    results = {}
    for name in models:
        result = found.get(name, ValueError(f"{name} is not loaded."))
        if isinstance(result, Exception):
            raise result
        results[name] = result
    return ScoreResult(results)
