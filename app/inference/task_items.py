"""Tasks divided into what models that share an encoder do with an image or a pair, and gathered again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.inference.tasks import CompareResult, ModelResult, Result, ScoreResult, ScoreTask, Task
from models.preprocessing import Pixels
from models.registry import FULL_REFERENCE

ResultPlace = tuple[int, str]
Found = Mapping[ResultPlace, Mapping[str, ModelResult | Exception]]
"""Results, or what went wrong, by place and model."""

_PAIR: Final = "pair"
_IMAGE: Final = "image"


@dataclass(frozen=True)
class Item:
    """One image or pair, and the models that are asked about it.

    Attributes:
        place: of the result: the task's number, and whether it is about an image or a pair.
        images: ``(H, W, 3)`` uint8 at the size that the models score: the image, or distorted and reference.
            Items of one task hold the same array where they are about the same image.
        models: names of the models; the full-reference one alone for a pair.
        words: beyond the 40.
        mapped: which of the models is asked for local quality too; None for none.
        embedded: which of the models is asked for its embedding too; None for none.
        reference_key: as of the task.
    """

    place: ResultPlace
    images: tuple[Pixels, ...]
    models: tuple[str, ...]
    words: tuple[str, ...] = ()
    mapped: str | None = None
    embedded: str | None = None
    reference_key: str = ""


def divided(number: int, task: Task, names: Sequence[str], fitted: Callable[[Pixels], Pixels]) -> list[Item]:
    """What a task asks of some models.

    Args:
        number: of the task.
        task: with pixels of any size.
        names: of the models, all of which take the same input.
        fitted: brings pixels to the size that the models score.
    """
    if isinstance(task, ScoreTask):
        asked = tuple(name for name in task.models if name in names)
        if not asked:
            return []
        mapped = task.quality_map if task.quality_map in asked else None
        embedded = task.embedding if task.embedding in asked else None
        return [Item((number, _IMAGE), (fitted(task.pixels),), asked, task.words, mapped, embedded)]
    if FULL_REFERENCE not in names:
        return []
    both = fitted(task.distorted), fitted(task.reference)
    return [Item((number, _PAIR), both, (FULL_REFERENCE,), reference_key=task.reference_key)]


def gathered(number: int, task: Task, found: Found) -> Result | Exception:
    """A task's results in the order asked for, or the first failure among them."""
    try:
        if isinstance(task, ScoreTask):
            return _chosen(task.models, found.get((number, _IMAGE), {}))
        (pair,) = _chosen((FULL_REFERENCE,), found[number, _PAIR]).models.values()
        return CompareResult(pair)
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
