"""From image files to tasks for the workers: what the decoding threads do, and what it will cost the device.

Images are scaled down here, to the sizes at which the models score them, so that the inference process never
waits for Pillow and no pixel travels that nobody looks at.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import cautions, images
from app.errors import ServiceError, SizeMismatch
from app.images import Header, Limits, Picture, Provenance
from app.worker.tasks import FULL_REFERENCE, CompareTask, ModelCard, ScoreTask
from app.worker.wire import State
from models import signal
from models.signal import Signal

Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True)
class Question:
    """What is asked about an image.

    Attributes:
        models: names of the no-reference models.
        words: adjectives beyond the 40.
        deadline: by which the work must have started, on the clock of ``time.monotonic()``.
    """

    models: tuple[str, ...]
    words: tuple[str, ...]
    deadline: float


@dataclass(frozen=True)
class Prepared:
    """A decoded image: where it comes from, what to be careful about, and a task per size it is scored at."""

    provenance: Provenance
    warnings: list[str]
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


def cost(header: Header, models: Sequence[str], state: State) -> int:
    """Pixels that the device will see of an image, over these models."""
    sizes = (
        card(name, state).preprocessing.fitted_size(header.width, header.height, state.max_scored_pixels)
        for name in models
    )
    return sum(width * height for width, height in sizes)


def prepare(data: bytes, limits: Limits, question: Question, state: State) -> Prepared:
    """Decodes an image and scales it for each model.

    Raises:
        ServiceError: it cannot be decoded, or is over a limit.
    """
    return _prepared(images.decode(data, limits), question, state)


def prepare_pair(
    reference: bytes, distorted: bytes, resize: bool, limits: Limits, question: Question, state: State
) -> PreparedPair:
    """Decodes a pair, brings it to one size where asked, measures it, and scales it for each model.

    Raises:
        ServiceError: one cannot be decoded (the field ``field`` says which), or the sizes differ.
    """
    with blamed_on("reference"):
        first = images.decode(reference, limits)
    with blamed_on("distorted"):
        second = images.decode(distorted, limits)
    wanted, own = _size(first), _size(second)
    if wanted != own and not resize:
        raise mismatch(wanted, own)
    compared = second.pixels if wanted == own else _resized(second.pixels, wanted)
    fit = card(FULL_REFERENCE, state).preprocessing.fit
    return PreparedPair(
        reference=_prepared(first, question, state),
        distorted=_prepared(second, question, state),
        task=CompareTask(
            fit(first.pixels, state.max_scored_pixels), fit(compared, state.max_scored_pixels), signal=False
        ),
        # On the pixels as they were compared, before scaling: what other tools would measure.
        signal=signal.measure(first.pixels, compared),
        resized_from=None if wanted == own else own,
    )


def mismatch(reference: Size, distorted: Size) -> SizeMismatch:
    """The refusal of two sizes that differ."""
    return SizeMismatch(
        f"The reference is {reference[0]} x {reference[1]} pixels, the distorted image "
        f"{distorted[0]} x {distorted[1]}.",
        reference={"width": reference[0], "height": reference[1]},
        distorted={"width": distorted[0], "height": distorted[1]},
    )


@contextmanager
def blamed_on(field: str | None) -> Iterator[None]:
    """Adds the name of the field to what goes wrong in the block."""
    try:
        yield
    except ServiceError as error:
        if field is not None:
            error.fields["field"] = field
        raise


def _prepared(picture: Picture, question: Question, state: State) -> Prepared:
    # Models that score the same size share the pixels and a task.
    models_of: dict[Size, list[str]] = {}
    for name in question.models:
        size = card(name, state).preprocessing.fitted_size(*_size(picture), state.max_scored_pixels)
        models_of.setdefault(size, []).append(name)
    tasks = tuple(
        ScoreTask(
            card(names[0], state).preprocessing.fit(picture.pixels, state.max_scored_pixels),
            tuple(names),
            question.words,
        )
        for names in models_of.values()
    )
    return Prepared(picture.provenance, cautions.of_picture(picture), tasks)


def _size(picture: Picture) -> Size:
    return picture.provenance.width, picture.provenance.height


def _resized(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
