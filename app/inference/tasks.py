"""What the inference process is asked and what it answers: plain data, in process and over the wire."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.inference.batching import SizedItem
from models.calibration import Calibration
from models.grades import GradeSteps
from models.preprocessing import Preprocessing
from models.registry import FULL_REFERENCE


@dataclass(frozen=True)
class ScoreTask:
    """An image to be scored without a reference.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 sRGB; each model scales it down to the size that it scores.
        models: names of the no-reference models to ask.
        words: adjectives beyond the 40, compared by the models whose weights carry a text encoder.
        quality_map: which of the models is asked for local quality too; None for none.
        embedding: which of the models is asked for its embedding too; None for none.
    """

    pixels: NDArray[np.uint8]
    models: tuple[str, ...]
    words: tuple[str, ...] = ()
    quality_map: str | None = None
    embedding: str | None = None


@dataclass(frozen=True)
class CompareTask:
    """A distorted image to compare with its reference.

    Attributes:
        reference: ``(H, W, 3)`` uint8 sRGB.
        distorted: ``(H, W, 3)`` uint8 sRGB, of the same size.
        reference_key: tells the reference's pixels from all others, so that its encoding may serve other
            pairs; empty where it is not to be kept.
    """

    reference: NDArray[np.uint8]
    distorted: NDArray[np.uint8]
    reference_key: str = ""


@dataclass(frozen=True)
class ModelResult:
    """What one model says of one image, or of one pair.

    Attributes:
        score: in [0, 1], higher is better.
        dimensions: six values in [0, 1], in the order of ``models.vocabulary.DIMENSIONS``.
        similarities: 40 cosines, in the order of ``models.vocabulary.ADJECTIVES``.
        probabilities: 40, each over its antonym pair.
        prompt_probabilities: of the good prompt of each pair; empty for BPCLIP.
        words: cosines with the words of the task; None where they were not compared.
        width: of what the model saw, in pixels.
        height: of what the model saw, in pixels.
        quality_map: rows of local quality in [0, 1], on the grid at stride 32; None if it was not asked for.
        embedding: unit vector that the score is read from; None if it was not asked for.
    """

    score: float
    dimensions: tuple[float, ...]
    similarities: tuple[float, ...]
    probabilities: tuple[float, ...]
    prompt_probabilities: tuple[float, ...]
    words: tuple[float, ...] | None
    width: int
    height: int
    quality_map: tuple[tuple[float, ...], ...] | None = None
    embedding: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ScoreResult:
    """The no-reference models' results, by name, in the order asked for."""

    models: dict[str, ModelResult]


@dataclass(frozen=True)
class CompareResult:
    """The full-reference model's result of a pair."""

    full_reference: ModelResult


@dataclass(frozen=True)
class ModelCard:
    """A loaded model as it is described to clients, and as its input is prepared.

    Attributes:
        name: of the slot: qualiclip, bpclip or bpclip-fr.
        weights: name of the weights.
        sha256: of the weights file.
        license: of the weights.
        source: where the weights come from.
        training_data: what they were trained on.
        accuracy: as their metadata states it.
        validated_sides: shortest and longest side, in pixels, that the accuracy was measured on.
        text_encoder: whether words beyond the 40 can be compared.
        prompt_pairs: QualiCLIP's, the good one first; empty for BPCLIP.
        temperature: what cosines are multiplied by before the softmax over a pair.
        preprocessing: of the model's input.
        parameters: how many the network has.
        dtype: the precision that it runs in.
        calibration: what its scores and words amount to; None where the weights do not say.
        grades: of the full-reference model, how visible a distortion is by its score; None as above.
    """

    name: str
    weights: str
    sha256: str
    license: str
    source: str
    training_data: str
    accuracy: dict[str, float]
    validated_sides: tuple[int, int]
    text_encoder: bool
    prompt_pairs: tuple[tuple[str, str], ...]
    temperature: float
    preprocessing: Preprocessing
    parameters: int
    dtype: str = "float32"
    calibration: Calibration | None = None
    grades: GradeSteps | None = None


Task = ScoreTask | CompareTask
Result = ScoreResult | CompareResult


def scores_of(results: Iterable[Result]) -> Iterator[tuple[str, float]]:
    """Every score among results, with the slot that gave it."""
    for result in results:
        if isinstance(result, CompareResult):
            yield FULL_REFERENCE, result.full_reference.score
        else:
            yield from ((name, of_model.score) for name, of_model in result.models.items())


def items_of(tasks: Iterable[Task]) -> tuple[SizedItem, ...]:
    """What the device will see of tasks whose pixels are at the size that each model scores."""
    return tuple(item for task in tasks for item in _items(task))


def _items(task: Task) -> Iterator[SizedItem]:
    if isinstance(task, ScoreTask):
        height, width = task.pixels.shape[:2]
        return (SizedItem(name, height, width) for name in task.models)
    height, width = task.reference.shape[:2]
    # At most: of a reference that the engine has kept, the full-reference model sees nothing.
    return (SizedItem(FULL_REFERENCE, height, width) for _ in ("reference", "distorted"))
