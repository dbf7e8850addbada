"""Limits from one's own photographs: a policy that rejects no more than a chosen share of good ones.

Each measure is brought to one scale: how far a photograph lies on the bad side of the median of the good
ones, in spreads of these. The worst measure of a photograph decides about it, so one threshold on that
distance limits the photographs that are rejected for any reason, whatever the number of measures. The
threshold is the quantile of cross-conformal prediction (Vovk, Annals of Mathematics and Artificial
Intelligence 74, 2015): the distance of a photograph is measured by the median and spread of others. Scale and
measures are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.policies.definition import Limit, Policy
from app.policies.judging import MeasuredImage, judge_measured, measured_value
from app.policies.written import PoliciesError, Side, VerdictOutcome
from app.schemas.measured.exposure import ExposureMeasure
from models.vocabulary import DIMENSIONS

_LEAST_SHARE: Final = 1e-6  # so that what is needed for less can be said, too
LEAST_GOOD: Final = 20
"""Good photographs without which no spread can be told."""
LEAST_TO_CHOOSE: Final = 10
"""Bad photographs from which on measures that find none of them are left out."""
CONFIDENCE: Final = 0.95
NEAREST: Final = 6
"""Photographs that are shown of each limit."""

_EXPOSURES: Final[tuple[tuple[ExposureMeasure, Side], ...]] = (
    ("p99_luminance", "below"),
    ("clipped_highlights", "above"),
)
_NEVER_SEEN: Final = 1e-4  # values nearer to 0 or 1 are as good as that
_LEAST_SPREAD: Final = 0.25  # of the logit: a measure that hardly varies would reject for nothing
_TAILS: Final = ((0.10, 1.2816), (0.02, 2.0537))  # quantiles, and how far out a normal distribution has them
_FOLDS: Final = 20
_DECIMALS: Final = 3  # of a limit

_Values = NDArray[np.float64]


@dataclass(frozen=True)
class Promise:
    """What share of photographs like the good ones a threshold rejects.

    Attributes:
        expected: share, on average over all such sets of good photographs.
        low, high: between which the number of rejected ones among as many further photographs lies, with a
            probability of :data:`CONFIDENCE`.
        photographs: how many these further ones are.
        kept: whether `expected` is at most what was asked for; otherwise there are too few good photographs.
    """

    expected: float
    low: int
    high: int
    photographs: int
    kept: bool


@dataclass(frozen=True)
class FoundLimit:
    """A limit, and what it does to the photographs that it was found on.

    Attributes:
        limit: with both bounds.
        median: of the good ones.
        good_failed, bad_failed: how many fail by this limit.
        nearest: places of the good photographs that are worst by it, at most
            :data:`NEAREST`, the worst first.
    """

    limit: Limit
    median: float
    good_failed: int
    bad_failed: int
    nearest: tuple[int, ...]


@dataclass(frozen=True)
class FoundLimits:
    """The limits of a policy.

    Attributes:
        limits: the measures that limit anything.
        left_out: what was tried and limits nothing: no value is that bad, or none of the bad ones is found.
        fail, review: what the two bounds promise.
        good, bad: what becomes of each of the photographs that they were found on, in their order.
    """

    limits: tuple[FoundLimit, ...]
    left_out: tuple[str, ...]
    fail: Promise
    review: Promise
    good: tuple[VerdictOutcome, ...]
    bad: tuple[VerdictOutcome, ...]


def candidates(model: str, *, adjectives: bool) -> tuple[Limit, ...]:
    """What limits are looked for: of a model's score and dimensions, and of the exposure.

    Args:
        model: that is asked.
        adjectives: whether it has any, and so dimensions.
    """
    # The dimension `overall` says what the score says.
    named = [each for each in DIMENSIONS if adjectives and each != "overall"]
    return (
        Limit(score=True, model=model, fail=0.5),
        *(Limit(dimension=name, model=model, fail=0.5) for name in named),
        *(Limit(exposure=name, bad=side, fail=0.5) for name, side in _EXPOSURES),
    )


def find_limits(
    good: Sequence[MeasuredImage],
    bad: Sequence[MeasuredImage],
    tried: Sequence[Limit],
    *,
    fail_at_most: float,
    review_at_most: float,
) -> FoundLimits:
    """Limits that let good photographs pass.

    Args:
        good: photographs that are good enough, at least :data:`LEAST_GOOD`.
        bad: photographs that are not; there may be none.
        tried: of :func:`candidates`.
        fail_at_most: share of photographs like the good ones that may fail, in (0, 1).
        review_at_most: share of them that may fail or go to review, above `fail_at_most`.

    Raises:
        PoliciesError: there are too few good photographs, or nothing tells them from others.
    """
    if len(good) < LEAST_GOOD:
        needed = math.ceil(1 / max(fail_at_most, _LEAST_SHARE)) - 1
        raise PoliciesError(
            f"{len(good)} good photographs are too few to tell what is usual: give at least {LEAST_GOOD}, "
            f"and {needed} for a promise of at most {100 * fail_at_most:g} %."
        )
    known, wrong = _logits(tried, good), _logits(tried, bad)
    scales = [_Scale.of(limit, logits) for limit, logits in zip(tried, known, strict=True)]
    used = list(range(len(tried)))
    if len(bad) >= LEAST_TO_CHOOSE:
        threshold = _threshold(_worst(scales, known), review_at_most)
        used = [place for place in used if (scales[place].distances(wrong[place]) > threshold).any()]
        if not used:
            raise PoliciesError(
                "The bad photographs differ from the good ones in nothing that is measured, so no limit "
                "tells them apart."
            )
    distances = _unseen([tried[place] for place in used], known[used])
    thresholds = _threshold(distances, fail_at_most), _threshold(distances, review_at_most)
    limits, empty = [], [limit.about for place, limit in enumerate(tried) if place not in used]
    for place in used:
        found = scales[place].bounded(*thresholds)
        if found is None:
            empty.append(tried[place].about)
        else:
            limits.append(_found(found, scales[place], known[place], good, bad))
    if not limits:
        raise PoliciesError("Any value can be one of a photograph like the good ones, so nothing is limited.")
    outcomes = [_outcomes([found.limit for found in limits], images) for images in (good, bad)]
    return FoundLimits(
        limits=tuple(limits),
        left_out=tuple(empty),
        fail=_promise(len(good), fail_at_most),
        review=_promise(len(good), review_at_most),
        good=outcomes[0],
        bad=outcomes[1],
    )


@dataclass(frozen=True)
class _Scale:
    """One measure on the common scale: 0 for the median of the good photographs, larger for worse."""

    limit: Limit
    median: float  # of the logit
    spread: float

    @classmethod
    def of(cls, limit: Limit, good: _Values) -> "_Scale":
        """From the logits of good photographs; nan where the limit does not apply."""
        logits = good[np.isfinite(good)]
        if not len(logits):  # colors, and all are black and white
            return cls(limit, 0.0, math.inf)
        median = float(np.median(logits))
        badness = logits - median if limit.is_upper else median - logits
        # The worse of two looks at the tail: where it is heavy, what is far out is no rarity.
        spreads = [float(np.quantile(badness, 1 - share)) / normal for share, normal in _TAILS]
        return cls(limit, median, max(*spreads, _LEAST_SPREAD))

    def distances(self, logits: _Values) -> _Values:
        """How bad photographs are by this measure; minus infinity where it does not apply."""
        values = logits - self.median
        distances: _Values = (values if self.limit.is_upper else -values) / self.spread
        return np.where(np.isfinite(distances), distances, -np.inf)

    def bounded(self, fail: float, review: float) -> Limit | None:
        """The limit with its bounds at these distances; None where they lie beyond what is ever seen."""
        bounds = [self._value(distance) for distance in (fail, review)]
        ends = (0.0, 1.0)
        if bounds[1] in ends:
            return None
        written = {
            "fail": None if bounds[0] in ends else bounds[0],
            "review": None if bounds[0] == bounds[1] else bounds[1],
        }
        return Limit.model_validate(self.limit.model_dump(exclude_none=True, exclude={"fail"}) | written)

    def _value(self, distance: float) -> float:
        """A bound in [0, 1], rounded to the side on which more photographs pass."""
        change = distance * self.spread
        if not math.isfinite(change):
            return 1.0 if self.limit.is_upper else 0.0
        value = 1 / (1 + math.exp(-(self.median + change if self.limit.is_upper else self.median - change)))
        scale = 10**_DECIMALS
        return (math.ceil if self.limit.is_upper else math.floor)(value * scale) / scale


def _logits(limits: Sequence[Limit], images: Sequence[MeasuredImage]) -> _Values:
    """Of each image by each limit, ``(limits, images)``; nan where the limit does not apply to it."""
    values = [
        [
            math.nan if limit.is_of_color and image.monochrome else measured_value(limit, image)[1]
            for image in images
        ]
        for limit in limits
    ]
    kept = np.array(values).clip(_NEVER_SEEN, 1 - _NEVER_SEEN)
    logits: _Values = np.log(kept / (1 - kept))
    return logits


def _worst(scales: Sequence[_Scale], logits: _Values) -> _Values:
    """Each photograph's distance by the measure in which it is worst."""
    worst: _Values = np.max([scale.distances(row) for scale, row in zip(scales, logits, strict=True)], axis=0)
    return worst


def _unseen(limits: Sequence[Limit], good: _Values) -> _Values:
    """As :func:`_worst`, each photograph by the scales of others: its own would flatter it."""
    count = good.shape[1]
    distances = np.empty(count)
    for fold in range(min(_FOLDS, count)):
        inside = np.arange(count) % min(_FOLDS, count) == fold
        scales = [_Scale.of(limit, row[~inside]) for limit, row in zip(limits, good, strict=True)]
        distances[inside] = _worst(scales, good[:, inside])
    return distances


def _rank(count: int, share: float) -> int:
    """The place, counted from 1, of the distance that so small a share of further ones exceeds."""
    return min(count, math.ceil((count + 1) * (1 - share) - 1e-9))


def _threshold(distances: _Values, share: float) -> float:
    return float(np.sort(distances)[_rank(len(distances), share) - 1])


def _promise(count: int, share: float) -> Promise:
    rank = _rank(count, share)
    rejected = _cumulated(count, count + 1 - rank, rank)
    outside = (1 - CONFIDENCE) / 2
    expected = (count + 1 - rank) / (count + 1)
    low, high = (int(np.searchsorted(rejected, part)) for part in (outside, 1 - outside))
    return Promise(expected, low, high, count, expected <= share + 1e-9)


def _cumulated(count: int, a: int, b: int) -> _Values:
    """Of a beta-binomial distribution: the probabilities of 0 to `count` at most, ``(count + 1,)``.

    scipy has it too, and is too large for an HTTP process.
    """

    def beta(x: int, y: int) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    ways = [-math.log(count + 1) - beta(number + 1, count - number + 1) for number in range(count + 1)]
    chances = [
        math.exp(ways[number] + beta(number + a, count - number + b) - beta(a, b))
        for number in range(count + 1)
    ]
    return np.cumsum(chances)


def _found(
    limit: Limit,
    scale: _Scale,
    logits: _Values,
    good: Sequence[MeasuredImage],
    bad: Sequence[MeasuredImage],
) -> FoundLimit:
    good_failed, bad_failed = (_outcomes([limit], images).count("fail") for images in (good, bad))
    nearest = np.argsort(-scale.distances(logits), kind="stable")[:NEAREST]
    median = 1 / (1 + math.exp(-scale.median))
    return FoundLimit(limit, median, good_failed, bad_failed, tuple(int(place) for place in nearest))


def _outcomes(limits: Sequence[Limit], images: Sequence[MeasuredImage]) -> tuple[VerdictOutcome, ...]:
    policy = Policy(name="found", built_in=False, limits=tuple(limits))
    return tuple(judge_measured(policy, image).outcome for image in images)
