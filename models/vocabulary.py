"""The 40 quality adjectives: twenty antonym pairs in six dimensions, one table for everyone.

Both models, the HTTP answers, the training recipes and the documentation read the words, their order and
their polarity from here. The dimensions follow the attributes of SPAQ and CLIP-IQA; "clear", "blurry",
"sharp", "soft" and "stable" are printed in the BPCLIP paper (arXiv 2506.17969), the other words are our
decision.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    # HTTP processes read the table; they have no need of torch, nor of the half gigabyte that it takes.
    from torch import Tensor

Dimension = Literal["sharpness", "brightness", "colorfulness", "contrast", "noisiness", "overall"]
Polarity = Literal["positive", "negative"]


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
    "noisiness": "clean/noisy smooth/grainy pristine/speckled",
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


def pair_probabilities(similarities: "Tensor", temperature: float) -> "Tensor":
    """Softmax of each adjective over its antonym pair.

    Args:
        similarities: ``(..., 40)`` float cosines in the order of :data:`ADJECTIVES`.
        temperature: what the cosines are multiplied by before the softmax (CLIP's logit scale).

    Returns:
        ``(..., 40)`` probabilities; the two of a pair sum to one.
    """
    pairs = similarities.unflatten(-1, (len(PAIRS), 2))
    return cast("Tensor", (temperature * pairs).softmax(dim=-1).flatten(-2))


def dimension_scores(probabilities: "Tensor") -> "Tensor":
    """Mean probability of each dimension's good words.

    Args:
        probabilities: ``(..., 40)`` from :func:`pair_probabilities`.

    Returns:
        ``(..., 6)`` in [0, 1], in the order of :data:`DIMENSIONS`.
    """
    import torch

    good = probabilities.unflatten(-1, (len(PAIRS), 2))[..., 0]
    return torch.stack([good[..., _PAIRS_OF[dimension]].mean(dim=-1) for dimension in DIMENSIONS], dim=-1)
