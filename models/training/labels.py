"""What a fault says about the adjectives: which bad word it makes true, and what can be ranked by it.

The table of faults is :data:`models.training.distortions.CAUSES`. A picture counts for a pair as bad where
one of the pair's faults is present at its levels, as good where it is untouched or its faults (level 3 or
more) stand in rows of other dimensions only, and otherwise not at all.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.training.distortions import CAUSES, DISTORTIONS, EXTRA_FAULTS
from models.vocabulary import PAIRS, Dimension

GOOD, BAD, UNKNOWN = 1, 0, -1
_CLEARLY_PRESENT = 3
_UNRANKED = -1

_ALL = DISTORTIONS | EXTRA_FAULTS
NAMES: tuple[str, ...] = tuple(_ALL)
_LEVELS: tuple[dict[str, tuple[int, ...]], ...] = tuple(
    {fault.distortion: fault.levels for fault in CAUSES[pair.positive]} for pair in PAIRS
)
"""For each pair: the levels at which a distortion makes the bad word true."""


def _dimensions_of(name: str) -> set[Dimension]:
    # "good/bad" stands for every fault; taken as a row of its own dimension it would exclude all.
    return {
        pair.dimension
        for pair, levels in zip(PAIRS, _LEVELS, strict=True)
        if name in levels and pair.positive != "good"
    }


_DIMENSIONS: dict[str, set[Dimension]] = {name: _dimensions_of(name) for name in NAMES}


def pair_labels(faults: Sequence[tuple[str, int]]) -> Tensor:
    """Labels of a picture for the twenty pairs.

    Args:
        faults: names of distortions and their levels, all that are present; none for an untouched picture.

    Returns:
        ``(20,)`` int64: 1 the good word is true, 0 the bad one, -1 not known.
    """
    present = [(name, level) for name, level in faults if not _is_identity(name, level)]
    return torch.tensor([_pair_label(i, present) for i in range(len(PAIRS))])


def _pair_label(pair: int, faults: list[tuple[str, int]]) -> int:
    if any(level in _LEVELS[pair].get(name, ()) for name, level in faults):
        return BAD
    elsewhere = all(
        level >= _CLEARLY_PRESENT
        and name not in _LEVELS[pair]
        and _DIMENSIONS[name]
        and PAIRS[pair].dimension not in _DIMENSIONS[name]
        for name, level in faults
    )
    return GOOD if elsewhere else UNKNOWN


def pair_severities(name: str, levels: Sequence[int]) -> Tensor:
    """How much more true each level makes the bad word of the pairs that the distortion is a fault of.

    Returns:
        ``(20, len(levels))`` int64: 0 for untouched, otherwise the level; -1 for pairs that are not concerned
        and for levels with another meaning (contrast above zero, saturation below it).
    """
    return torch.tensor(
        [[_pair_severity(pair, name, level) for level in levels] for pair in range(len(PAIRS))]
    )


def _pair_severity(pair: int, name: str, level: int) -> int:
    true_at = _LEVELS[pair].get(name)
    if true_at is None:
        return _UNRANKED
    if _is_identity(name, level):
        return 0
    milder = _ALL[name].ordered and level < min(true_at)
    return level if milder or level in true_at else _UNRANKED


def _is_identity(name: str, level: int) -> bool:
    return level < _ALL[name].first_ordered
