"""Which photograph of a group to keep, and why.

The score decides, with two corrections, since the models see an image at 768 px at most and do not know what
is common to a group: each doubling of the pixels counts for some score, and so does an exposure that differs
from that of most. Where that leaves pictures apart by less than the models' noise, the one with the least
compression is kept: a copy that was encoded again scores the same, and is worse to work with.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from app.schemas.pick import Advantage
from models.faults import FaultName

# Chosen on training photographs, of which the original was to be found among its copies, crops and edits.
_OF_A_DOUBLING: Final = 0.15
"""Score that twice the pixels are worth."""
_OF_A_STOP: Final = 0.10
"""Score that a factor of two in luminance, against the median of the group, costs."""
_NOISE: Final = 0.04
"""Difference in score that says nothing: 98 % of copies encoded again at quality 95 are within 0.012, and of
those exposed otherwise within 0.05."""
_MOST_REASONS: Final = 3
_ENLARGED: Final = 1.5
"""A picture of twice the pixels, or more, has to show that many times the detail along a side to be no mere
enlargement of the smaller one."""
_FEWER: Final = 0.97
"""Share of the pixels below which a picture is called smaller."""
_STOP_APART: Final = 0.3
_DIMENSION_APART: Final = 0.1

_ADVANTAGE_OF_FAULT: Final[dict[FaultName, Advantage]] = {
    "blur": "sharpness",
    "noise": "cleanness",
    "compression": "compression",
    "underexposed": "exposure",
    "overexposed": "exposure",
}
_COMPARED: Final[dict[Advantage, str]] = {
    "pixels": "the same picture at more pixels than",
    "sharpness": "sharper than",
    "cleanness": "less noisy than",
    "compression": "less compressed than",
    "exposure": "better exposed than",
    "faults": "with fewer faults than",
    "score": "with a higher score than",
    "detail": "with more detail than",
    "none": "as good as",
}


@dataclass(frozen=True)
class Contender:
    """What is known of a photograph that may be kept.

    Attributes:
        score: of the model, in [0, 1].
        pixels: width times height.
        luminance: mean linear luminance, in [0, 1].
        fidelity: how little its encoding takes away: settings of JPEG from 1 to 100, 101 is nothing.
        effective_scale: share of the sides at which it would still show its detail; None if unknown.
        sharpness: of the model, in [0, 1]; None where it tells none.
        cleanness: of the model, in [0, 1]; None where it tells none.
        faults: names of its faults, the most harmful first.
        taken: when; None if unknown.
    """

    score: float
    pixels: int
    luminance: float
    fidelity: int
    effective_scale: float | None = None
    sharpness: float | None = None
    cleanness: float | None = None
    faults: tuple[FaultName, ...] = ()
    taken: datetime | None = None


@dataclass(frozen=True)
class GroupChoice:
    """What to keep of a group.

    Attributes:
        best: place in the group.
        advantages: for each picture of the group, what speaks for the best one against it; None for itself.
        reason: a sentence.
    """

    best: int
    advantages: tuple[Advantage | None, ...]
    reason: str


def choose_best(group: Sequence[Contender]) -> GroupChoice:
    """The picture to keep of a group of at least one; the first of equal ones."""
    best = _best(group)
    advantages = tuple(
        None if place == best else _advantage(group[best], other) for place, other in enumerate(group)
    )
    return GroupChoice(best, advantages, _sentence(advantages))


def _best(group: Sequence[Contender]) -> int:
    pixels = _true_pixels(group)
    stops = [_stops(each) for each in group]
    usual = median(stops)
    worth = [
        each.score + _OF_A_DOUBLING * math.log2(own) - _OF_A_STOP * abs(stop - usual)
        for each, own, stop in zip(group, pixels, stops, strict=True)
    ]
    first = max(range(len(group)), key=lambda place: (worth[place], -place))
    # Frames of a burst are no copies of each other: of these, the score alone decides.
    equal = [
        place
        for place, each in enumerate(group)
        if worth[place] >= worth[first] - _NOISE
        and pixels[place] >= pixels[first]
        and (each.taken == group[first].taken or None in (each.taken, group[first].taken))
    ]
    return max(equal, key=lambda p: (group[p].taken is not None, group[p].fidelity, worth[p], -p))


def _true_pixels(group: Sequence[Contender]) -> list[int]:
    """Pixels of each picture; of those that are enlargements, of the next smaller pictures of the group."""
    details: dict[int, float] = {}
    for each in group:
        if each.effective_scale is not None:
            detail = each.effective_scale * math.sqrt(each.pixels)
            details[each.pixels] = max(details.get(each.pixels, 0.0), detail)
    true: dict[int, int] = {}
    before = 0
    for pixels in sorted({each.pixels for each in group}):
        enlarged = any(
            2 * smaller <= pixels and details[pixels] <= _ENLARGED * detail
            for smaller, detail in details.items()
            if pixels in details
        )
        before = true[pixels] = before if enlarged else pixels
    return [true[each.pixels] for each in group]


def _stops(picture: Contender) -> float:
    return math.log2(picture.luminance + 1e-3)


def _advantage(best: Contender, other: Contender) -> Advantage:
    """The plainest thing that speaks for the best picture against another one."""
    worse = [fault for fault in other.faults if fault not in best.faults]
    if worse:
        return _ADVANTAGE_OF_FAULT.get(worse[0], "faults")
    if other.pixels < _FEWER * best.pixels:
        return "pixels"
    gains: dict[Advantage, float] = {
        "sharpness": _gain(best.sharpness, other.sharpness),
        "cleanness": _gain(best.cleanness, other.cleanness),
    }
    greatest = max(gains, key=lambda name: gains[name])
    if gains[greatest] >= _DIMENSION_APART and best.score > other.score:
        return greatest
    if best.score > other.score and abs(_stops(best) - _stops(other)) >= _STOP_APART:
        return "exposure"
    if other.pixels > best.pixels:
        return "detail"
    if other.fidelity < best.fidelity:
        return "compression"
    return "score" if round(best.score, 3) > round(other.score, 3) else "none"


def _gain(best: float | None, other: float | None) -> float:
    return 0.0 if best is None or other is None else best - other


def _sentence(advantages: Sequence[Advantage | None]) -> str:
    """Such as: "Sharper than 2 others, less compressed than 1." """
    counts = Counter(each for each in advantages if each is not None)
    total = counts.total()
    if not total:
        return "No other photograph shows the same."
    parts = []
    for place, (advantage, count) in enumerate(counts.most_common(_MOST_REASONS)):
        if count == total:
            number = "1 other" if total == 1 else f"the {total} others"
        else:
            number = f"{count} {'other' if count == 1 else 'others'}" if place == 0 else str(count)
        parts.append(f"{_COMPARED[advantage]} {number}")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
