"""From decoded images to tasks for the workers, and what these will cost the device."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import ServiceError
from app.imaging import decode
from app.imaging.decode import Header, Provenance, Size
from app.imaging.limits import Limits
from app.imaging.model_inputs import Comparison, Fitted, Wanted, compare_pair, fit
from app.inference.protocol import State
from app.inference.tasks import CompareTask, ModelCard, ScoreTask
from app.schemas.exposure import MeasuredExposure
from models.fidelity import Signal
from models.registry import FULL_REFERENCE


def _ignore(_: int) -> None:
    pass


@dataclass(frozen=True)
class Question:
    """What is asked about an image.

    Attributes:
        models: names of the no-reference models.
        words: adjectives beyond the 40.
        deadline: by which the work must have started, on the clock of ``time.monotonic()``.
        quality_map: which of the models is asked for local quality too; None for none.
        charge: told the pixels that it costs the device, once they are known.
    """

    models: tuple[str, ...]
    words: tuple[str, ...]
    deadline: float
    quality_map: str | None = None
    charge: Callable[[int], object] = _ignore


@dataclass(frozen=True)
class Prepared:
    """A decoded image: where it comes from, what to be careful about, how it is exposed, and a task per size
    that it is scored at."""

    provenance: Provenance
    warnings: list[str]
    exposure: MeasuredExposure
    tasks: tuple[ScoreTask, ...]


@dataclass(frozen=True)
class PreparedPair:
    """A pair ready to be compared; `resized_from` is the distorted image's own size where it was changed."""

    reference: Prepared
    distorted: Prepared
    task: CompareTask
    signal: Signal
    resized_from: Size | None


def card(name: str, state: State) -> ModelCard:
    """The loaded model of that name."""
    return next(card for card in state.cards if card.name == name)


def cost(image: Header | Provenance, models: Sequence[str], state: State) -> int:
    """Pixels that the device will see of an image, over these models."""
    sizes = (
        card(name, state).preprocessing.fitted_size(image.width, image.height, state.max_scored_pixels)
        for name in models
    )
    return sum(width * height for width, height in sizes)


def weights(models: Sequence[str], state: State) -> Hashable:
    """What the answers of these models depend on beside the image and the question."""
    cards = (card(name, state) for name in models)
    return tuple((each.name, each.sha256, each.dtype) for each in cards), inputs(models, state)


def inputs(models: Sequence[str], state: State) -> Hashable:
    """What the pixels that these models see depend on beside the image."""
    each = tuple((name, card(name, state).preprocessing.model_dump_json()) for name in models)
    return each, state.max_scored_pixels


def most_cost(models: Sequence[str], state: State) -> int:
    """What an image can cost over these models. (A strip may cost more, whose short side is kept at 32.)"""
    sides = (card(name, state).preprocessing.longest_side for name in models)
    most = state.max_scored_pixels
    return sum(most if side is None else min(most, side * side) for side in sides)


def wanted(models: Sequence[str], state: State) -> Wanted:
    """Whose input these models are asked with."""
    return Wanted({name: card(name, state).preprocessing for name in models}, state.max_scored_pixels)


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
        )
        for names in models_of.values()
    )
    return Prepared(fitted.provenance, list(fitted.warnings), fitted.exposure, tasks)


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
    )


def prepare(data: bytes, limits: Limits, question: Question, state: State) -> Prepared:
    """Decodes an image in this process, and scales it for each model.

    Raises:
        ServiceError: it cannot be decoded, or is over a limit.
    """
    inputs = wanted(question.models, state)
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
    comparison = compare_pair(first.pixels, second, own, resize, wanted((FULL_REFERENCE,), state))
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
