"""All models of an engine, asked about pictures in memory, such as photographs distorted on purpose."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app import policies
from app.errors import ServiceError
from app.imaging import decode
from app.imaging.limits import Limits
from app.imaging.metering import is_monochrome, measure_exposure
from app.imaging.photograph import is_photograph
from app.inference.batching import Waiting
from app.inference.build import budget_for
from app.inference.scheduling import Line
from app.inference.tasks import CompareTask, ModelResult, Result, ScoreResult, ScoreTask, Task, items_of
from app.policies import MeasuredImage
from app.schemas.common import WeightsUsed
from app.schemas.measured.exposure import MeasuredExposure
from app.scoring.answers import weights_used
from app.scoring.offline import FileFailure, Scorer
from app.settings import Settings, answering
from models.preprocessing import Pixels
from models.registry import FULL_REFERENCE
from models.training.robustness import SHORTEST_SIDE, Opinion, Opinions
from models.vocabulary import DIMENSIONS, WORDS, dimension_scores, pair_probabilities


@dataclass(frozen=True)
class Photograph:
    """A photograph as it is scored, ``(H, W, 3)`` uint8, and the size that it had before, in pixels."""

    pixels: Pixels
    width: int
    height: int


@dataclass(frozen=True)
class Looks:
    """What policies judge of a picture beside the opinions of models.

    Attributes:
        exposure: of the picture.
        monochrome: whether it has shades of one tint only.
        photograph: whether it is one, and no drawing.
    """

    exposure: MeasuredExposure
    monochrome: bool
    photograph: bool

    @classmethod
    def of(cls, pixels: Pixels) -> "Looks":
        """Measures a picture, ``(H, W, 3)`` uint8, as the service measures what it decodes."""
        return cls(measure_exposure(pixels), is_monochrome(pixels), is_photograph(pixels))


class Panel:
    """The models of a scorer, which are asked together.

    Args:
        scorer: with the models.
        settings: limits of the files, and of a batch.
    """

    def __init__(self, scorer: Scorer, settings: Settings) -> None:
        self._scorer = scorer
        self._engine = scorer.engine
        self._budget = budget_for(settings, self._engine)
        self._limits = Limits.of(settings)
        self._cards = {card.name: card for card in self._engine.cards()}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all models, the full-reference one among them."""
        return tuple(self._cards)

    @property
    def has_full_reference(self) -> bool:
        return FULL_REFERENCE in self._cards

    def weights(self, name: str) -> WeightsUsed:
        """The weights of a model."""
        return weights_used(self._cards[name])

    def about(self, name: str) -> dict[str, str]:
        """Which weights of a model were asked, and in which precision."""
        card = self._cards[name]
        return {"weights": card.weights, "sha256": card.sha256, "dtype": card.dtype}

    def read(self, path: Path) -> Photograph:
        """The photograph of a file at the largest size that one of the models scores it at.

        Raises:
            FileFailure: it cannot be read or decoded, or is too small.
        """
        try:
            data = path.read_bytes()
            # The limit of bytes is for uploads; these are read already.
            pixels = decode.decode(data, replace(self._limits, max_bytes=len(data))).pixels
        except OSError as error:
            raise FileFailure(f"It cannot be read: {error.strerror or error}.") from error
        except ServiceError as error:
            raise FileFailure(str(error)) from error
        height, width = pixels.shape[:2]
        bound = self._engine.max_scored_pixels
        finest = max(
            (card.preprocessing for card in self._cards.values()),
            key=lambda preprocessing: math.prod(preprocessing.fitted_size(width, height, bound)),
        )
        photo = finest.fit(pixels, bound)
        if min(photo.shape[:2]) < SHORTEST_SIDE:
            raise FileFailure(
                f"Each side must have at least {SHORTEST_SIDE} pixels to be spoilt; it is scored at "
                f"{photo.shape[1]} x {photo.shape[0]}."
            )
        return Photograph(photo, width, height)

    def judge(
        self, pictures: Sequence[Pixels], reference: Pixels | None, advance: Callable[[int], None]
    ) -> list[Opinions]:
        """What all models say of pictures, the full-reference one of each beside the reference.

        Args:
            pictures: ``(H, W, 3)`` uint8.
            reference: of all of them, or None.
            advance: told how many pictures are done.

        Raises:
            FileFailure: a model fails.
        """
        tasks: list[Task] = [ScoreTask(picture, self._engine.models) for picture in pictures]
        if reference is not None and self.has_full_reference:
            tasks += [CompareTask(reference, picture) for picture in pictures]
        results = self._run(tasks)
        opinions: list[dict[str, Opinion]] = [{} for _ in pictures]
        for number, result in enumerate(results):
            found = (
                result.models if isinstance(result, ScoreResult) else {FULL_REFERENCE: result.full_reference}
            )
            opinions[number % len(pictures)] |= {name: _opinion(said) for name, said in found.items()}
        advance(len(pictures))
        return list(opinions)

    def measured(self, opinions: Opinions, looks: Looks, width: int, height: int) -> MeasuredImage:
        """What the no-reference models said, in the form that policies judge.

        Args:
            opinions: of one image.
            looks: of that image.
            width: to be taken for the image's, in pixels.
            height: to be taken for the image's, in pixels.
        """
        found = {}
        for name in self._engine.models:
            similarities = np.array(opinions[name].similarities)
            probabilities = pair_probabilities(similarities, self._cards[name].temperature)
            has_words = bool(probabilities.size)
            dimensions = dimension_scores(probabilities).tolist()
            found[name] = policies.ModelOpinion(
                opinions[name].score,
                dict(zip(DIMENSIONS if has_words else (), dimensions, strict=True)),
                dict(zip(WORDS if has_words else (), probabilities.tolist(), strict=True)),
            )
        return MeasuredImage(
            width,
            height,
            answering(self._engine.models),
            found,
            looks.exposure,
            looks.monochrome,
            looks.photograph,
        )

    def _run(self, tasks: Sequence[Task]) -> list[Result]:
        """Results in the order of the tasks, in batches as the service forms them."""
        line: Line[int] = Line()
        for number, task in enumerate(tasks):
            line.add(Waiting(number, items_of([task]), deadline=float("inf")))
        results: dict[int, Result] = {}
        while taken := [waiting.key for waiting in line.take(self._budget)]:
            outcomes = self._scorer.run([tasks[number] for number in taken])
            for number, outcome in zip(taken, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    raise FileFailure(
                        f"It could not be scored ({type(outcome).__name__}: {outcome})."
                    ) from outcome
                results[number] = outcome
        return [results[number] for number in range(len(tasks))]


def _opinion(result: ModelResult) -> Opinion:
    return Opinion(result.score, result.similarities)
