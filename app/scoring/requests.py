"""From decoded images to tasks for the workers, and what these will cost the device."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from app.auth.access import EVERYBODY, Bill
from app.errors import ServiceError
from app.imaging import decode, detail_tiles, heatmap
from app.imaging.decode import Header, Provenance, Size
from app.imaging.detail_tiles import TileBox, tile_sizes
from app.imaging.limits import Limits
from app.imaging.model_inputs import Comparison, Fitted, Wanted, compare_pair, fit
from app.imaging.sandbox.work import Asker
from app.inference.protocol import State
from app.inference.tasks import CompareTask, ModelCard, ScoreTask
from app.picking.look import LumaThumb, luma_thumb
from app.schemas.measured.exposure import MeasuredExposure
from app.schemas.measured.facts import NO_FACTS, PictureFacts
from app.schemas.measured.pair_measures import MeasureOfFiles
from app.schemas.measured.regions import NO_REGIONS, FaultRegions
from models.fidelity import Signal
from models.measures.difference import CELL, difference_map
from models.registry import FULL_REFERENCE

_COPIES: Final = 2


@dataclass(frozen=True)
class Question:
    """What is asked about an image.

    Attributes:
        models: names of the no-reference models.
        words: adjectives beyond the 40.
        deadline: by which the work must have started, on the clock of ``time.monotonic()``.
        quality_map: which of the models is asked for local quality too; None for none.
        embedding: which of the models is asked for its embedding too; None for none.
        detail: which of the models is asked about tiles at native size too; None for none.
        difference_map: whether it is asked where the images of a pair differ.
        measures: names of the published measures of a pair that are asked for.
        look: whether the small picture is wanted too that near duplicates are found by.
        bill: told the pixels that it costs, once they are known.
        asker: who asks.
    """

    models: tuple[str, ...]
    words: tuple[str, ...]
    deadline: float
    quality_map: str | None = None
    embedding: str | None = None
    detail: str | None = None
    difference_map: bool = False
    measures: tuple[MeasureOfFiles, ...] = ()
    look: bool = False
    bill: Bill = field(default_factory=lambda: Bill(EVERYBODY))
    asker: Asker = field(default_factory=Asker)


@dataclass(frozen=True)
class Prepared:
    """A decoded image, ready to be scored.

    Attributes:
        provenance: where it comes from.
        warnings: what to be careful about.
        exposure: how it is exposed.
        tasks: one per size that it is scored at, then one per tile.
        regions: where its faults lie, if it has them.
        facts: measured without a model, beside the exposure.
        tiles: where the tiles lie; empty where none are wanted.
        look: the image, small; None where it is not wanted.
    """

    provenance: Provenance
    warnings: list[str]
    exposure: MeasuredExposure
    tasks: tuple[ScoreTask, ...]
    regions: FaultRegions = NO_REGIONS
    facts: PictureFacts = NO_FACTS
    tiles: tuple[TileBox, ...] = ()
    look: LumaThumb | None = None


@dataclass(frozen=True)
class PreparedPair:
    """A pair ready to be compared.

    Attributes:
        reference: the image as it should be.
        distorted: the image that is judged.
        task: for the full-reference model.
        signal: measured on the pair.
        resized_from: the distorted image's own size, where it was changed.
        measures: the published measures that were asked for, by name.
        differences: ``(h, w)`` float32, where the pair differs (:mod:`models.measures.difference`); None
            where that was not asked for.
    """

    reference: Prepared
    distorted: Prepared
    task: CompareTask
    signal: Signal
    resized_from: Size | None
    measures: Mapping[str, float | None]
    differences: NDArray[np.float32] | None = None

    def with_differences(self) -> Self:
        """The same, with the map of differences. It takes some 10 ms a hundred thousand pixels."""
        return replace(self, differences=difference_map(self.task.reference, self.task.distorted))

    def difference_picture(self) -> bytes:
        """The map of differences over the distorted image, as the model sees it: a PNG."""
        assert self.differences is not None
        return heatmap.render_differences(self.task.distorted, self.differences.tolist(), CELL)


def card(name: str, state: State) -> ModelCard:
    """The loaded model of that name."""
    return next(card for card in state.cards if card.name == name)


def cost(image: Header | Provenance, models: Sequence[str], state: State, detail: str | None = None) -> int:
    """Pixels that the device will see of an image, over these models; and of its tiles, by `detail`."""
    sizes = [(name, (image.width, image.height)) for name in models]
    if detail is not None:
        sizes += [(detail, size) for size in tile_sizes((image.width, image.height))]
    fitted = (
        card(name, state).preprocessing.fitted_size(*size, state.max_scored_pixels) for name, size in sizes
    )
    return sum(width * height for width, height in fitted)


def held_bytes(
    image: Header | Provenance, models: Sequence[str], state: State, detail: str | None = None
) -> int:
    """Bytes of the pixels of an image, and of its tiles, that these models see, here and in the worker."""
    size = image.width, image.height
    sizes: list[Size] = list(set(wanted(models, state).sizes(size).values()))
    if detail is not None:
        sizes += tile_sizes(size)
    return _COPIES * 3 * sum(width * height for width, height in sizes)


def weights(models: Sequence[str], state: State) -> Hashable:
    """What the answers of these models depend on beside the image and the question."""
    cards = (card(name, state) for name in models)
    return tuple((each.name, each.sha256, each.dtype) for each in cards), inputs(models, state)


def inputs(models: Sequence[str], state: State) -> Hashable:
    """What the pixels that these models see depend on beside the image."""
    each = tuple((name, card(name, state).preprocessing.model_dump_json()) for name in models)
    return each, state.max_scored_pixels


def most_cost(models: Sequence[str], state: State, detail: str | None = None) -> int:
    """What an image can cost over these models, and its tiles by `detail`.

    (A strip may cost more, whose short side is kept at 32.)
    """
    sides = (card(name, state).preprocessing.longest_side for name in models)
    most = state.max_scored_pixels
    tiles = 0 if detail is None else detail_tiles.MOST * detail_tiles.SIDE**2
    return tiles + sum(most if side is None else min(most, side * side) for side in sides)


def wanted(models: Sequence[str], state: State, *, detail: bool = False) -> Wanted:
    """Whose input these models are asked with, and whether tiles are wanted too."""
    return Wanted({name: card(name, state).preprocessing for name in models}, state.max_scored_pixels, detail)


def prepared(fitted: Fitted, question: Question, state: State) -> Prepared:
    """An image that was decoded for the question's models, ready to be scored."""
    # Models that score the same size share the pixels and a task.
    models_of: dict[Size, list[str]] = {}
    for name, size in wanted(question.models, state).sizes(fitted.size).items():
        models_of.setdefault(size, []).append(name)
    tasks = tuple(
        ScoreTask(
            fitted.pixels[names[0]],
            tuple(names),
            question.words,
            question.quality_map if question.quality_map in names else None,
            question.embedding if question.embedding in names else None,
        )
        for names in models_of.values()
    )
    warnings, places = list(fitted.warnings), tuple(tile.place for tile in fitted.tiles)
    if (detail := question.detail) is not None:
        fit_tile = partial(card(detail, state).preprocessing.fit, max_pixels=state.max_scored_pixels)
        tasks += tuple(ScoreTask(fit_tile(tile.pixels), (detail,)) for tile in fitted.tiles)
    return Prepared(
        provenance=fitted.provenance,
        warnings=warnings,
        exposure=fitted.exposure,
        tasks=tasks,
        regions=fitted.regions,
        facts=fitted.facts,
        tiles=places,
        look=luma_thumb(min(fitted.pixels.values(), key=len)) if question.look else None,
    )


def prepared_pair(
    reference: Fitted,
    distorted: Fitted,
    comparison: Comparison,
    question: Question,
    state: State,
    reference_key: str = "",
) -> PreparedPair:
    """A pair that was decoded for the question's models, ready to be compared.

    Args:
        reference: decoded for :data:`app.inference.tasks.FULL_REFERENCE` too.
        distorted: at its own size.
        comparison: of the two, made for that model.
        question: what is asked.
        state: what is loaded.
        reference_key: tells the reference from all others, if it may be met again.
    """
    task = CompareTask(
        reference.pixels[FULL_REFERENCE],
        comparison.pixels[FULL_REFERENCE],
        reference_key=reference_key,
    )
    return PreparedPair(
        reference=prepared(reference, question, state),
        distorted=prepared(distorted, question, state),
        task=task,
        signal=comparison.signal,
        resized_from=comparison.resized_from,
        measures=comparison.measures,
    )


def prepare(data: bytes, limits: Limits, question: Question, state: State) -> Prepared:
    """Decodes an image in this process, and scales it for each model.

    Raises:
        ServiceError: it cannot be decoded, or is over a limit.
    """
    inputs = wanted(question.models, state, detail=question.detail is not None)
    return prepared(fit(decode.decode(data, limits, inputs.least), inputs), question, state)


def prepare_pair(
    reference: bytes, distorted: bytes, resize: bool, limits: Limits, question: Question, state: State
) -> PreparedPair:
    """Decodes a pair in this process, brings it to one size where asked, measures it, and scales it.

    Raises:
        ServiceError: one cannot be decoded (the field ``field`` says which), or the sizes differ.
    """
    with blamed_on("reference"):
        first = decode.decode(reference, limits)
    with blamed_on("distorted"):
        second = decode.decode(distorted, limits)
    own = fit(second, wanted(question.models, state))
    comparison = compare_pair(
        first.pixels, second, own, resize, wanted((FULL_REFERENCE,), state), question.measures
    )
    both = wanted((FULL_REFERENCE, *question.models), state)
    return prepared_pair(fit(first, both), own, comparison, question, state)


@contextmanager
def blamed_on(field: str | None) -> Iterator[None]:
    """Adds the name of the field to what goes wrong in the block."""
    try:
        yield
    except ServiceError as error:
        if field is not None:
            error.fields["field"] = field
        raise
