"""The 40 quality adjectives: twenty antonym pairs in six dimensions, one table for everyone.

Both models, the HTTP answers, the training recipes and the documentation read the words, their order and
their polarity from here. The dimensions follow the attributes of SPAQ and CLIP-IQA; "clear", "blurry",
"sharp", "soft" and "stable" are printed in the BPCLIP paper (arXiv 2506.17969), the remaining words are our
decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray  # clients read the table, and have no need of numpy

Dimension = Literal["sharpness", "brightness", "colorfulness", "contrast", "cleanness", "overall"]
Polarity = Literal["positive", "negative"]

FORMER_DIMENSIONS: Final[Mapping[str, Dimension]] = {"noisiness": "cleanness"}
"""Names of dimensions in what earlier versions wrote, and the names that replaced them."""


@dataclass(frozen=True)
class Pair:
    """An antonym pair, the good word first."""

    positive: str
    negative: str
    dimension: Dimension


@dataclass(frozen=True)
class Adjective:
    """One of the 40 words with its place in the table."""

    word: str
    dimension: Dimension
    polarity: Polarity


_TABLE: dict[Dimension, str] = {
    "sharpness": "clear/blurry sharp/soft focused/defocused crisp/smeared",
    "brightness": "bright/dark well-exposed/overexposed well-lit/underexposed",
    "colorfulness": "colorful/dull vivid/faded natural/oversaturated",
    "contrast": "contrasty/flat punchy/washed-out distinct/murky",
    "cleanness": "clean/noisy smooth/grainy pristine/speckled",
    "overall": "good/bad intact/distorted artifact-free/blocky stable/shaky",
}

DIMENSIONS: tuple[Dimension, ...] = tuple(_TABLE)

PAIRS: tuple[Pair, ...] = tuple(
    Pair(pair.split("/")[0], pair.split("/")[1], dimension)
    for dimension, pairs in _TABLE.items()
    for pair in pairs.split()
)

ADJECTIVES: tuple[Adjective, ...] = tuple(
    adjective
    for pair in PAIRS
    for adjective in (
        Adjective(pair.positive, pair.dimension, "positive"),
        Adjective(pair.negative, pair.dimension, "negative"),
    )
)

WORDS: tuple[str, ...] = tuple(adjective.word for adjective in ADJECTIVES)

_PAIRS_OF: dict[Dimension, list[int]] = {
    dimension: [i for i, pair in enumerate(PAIRS) if pair.dimension == dimension] for dimension in DIMENSIONS
}


def pair_probabilities(similarities: "NDArray[Any]", temperature: float) -> "NDArray[Any]":
    """Softmax of each adjective over its antonym pair.

    Args:
        similarities: ``(..., 40)`` float cosines in the order of :data:`ADJECTIVES`; or ``(0,)`` of a model
            without adjectives.
        temperature: what the cosines are multiplied by before the softmax (CLIP's logit scale).

    Returns:
        ``(..., 40)`` probabilities; the two of a pair sum to one.
    """
    import numpy as np

    pairs = similarities.astype(np.float64).reshape(*similarities.shape[:-1], -1, 2)
    # Of two, the softmax is a sigmoid of their difference.
    good = 1 / (1 + np.exp(temperature * (pairs[..., 1] - pairs[..., 0])))
    return np.stack([good, 1 - good], axis=-1).reshape(similarities.shape)


def dimension_scores(probabilities: "NDArray[Any]") -> "NDArray[Any]":
    """Mean probability of each dimension's good words.

    Args:
        probabilities: ``(..., 40)`` from :func:`pair_probabilities`, or ``(0,)``.

    Returns:
        ``(..., 6)`` in [0, 1], in the order of :data:`DIMENSIONS`; ``(0,)`` of a model without adjectives.
    """
    import numpy as np

    if not probabilities.size:
        return probabilities
    good = probabilities[..., 0::2]
    return np.stack([good[..., _PAIRS_OF[dimension]].mean(axis=-1) for dimension in DIMENSIONS], axis=-1)
