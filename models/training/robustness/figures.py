"""Figures of an examination: the order of levels, the words, steadiness, agreement with the teachers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import correlation
from models.training.distortions import DISTORTIONS
from models.training.labels import BAD, NAMES, UNKNOWN, pair_labels
from models.training.robustness.answers import ORDERED, levels_of
from models.training.robustness.examination import Examined, answers
from models.training.robustness.harmless import HARMLESS
from models.vocabulary import PAIRS

_Array = NDArray[np.float64]
Interval = tuple[float, float]

_CLEARLY_PRESENT = 3
_RESAMPLES = 1000


@dataclass(frozen=True)
class OrderFigures:
    """Whether scores fall with the level, by ordered type of distortion; untouched left out.

    Attributes:
        adjacent: share of (photograph, adjacent levels) whose worse level scores lower.
        worst: share of photographs whose worst level scores below the mildest one.
        adjacent_mean: over the types.
        adjacent_least: minimum over the types.
        adjacent_interval: 95 % bootstrap interval of the mean over photographs; None of a single one.
        worst_mean: over the types.
        worst_least: minimum over the types.
        worst_interval: as `adjacent_interval`.
    """

    adjacent: dict[str, float]
    worst: dict[str, float]
    adjacent_mean: float
    adjacent_least: float
    adjacent_interval: Interval | None
    worst_mean: float
    worst_least: float
    worst_interval: Interval | None


@dataclass(frozen=True)
class WordFigures:
    """How well each pair of adjectives tells its faults from untouched photographs and from other faults.

    Attributes:
        areas: by pair, the area under the ROC curve of "one of its faults is present at level 3 or more", as
            :func:`models.training.labels.pair_labels` counts them; chance is 0.5.
        median: of the pairs.
        worst: minimum over the pairs.
        worst_pair: which that is.
        median_interval: 95 % bootstrap interval over photographs; None of a single one.
    """

    areas: dict[str, float]
    median: float
    worst: float
    worst_pair: str
    median_interval: Interval | None


@dataclass(frozen=True)
class Movement:
    """How far scores move under a harmless change: mean and largest absolute difference."""

    mean: float
    largest: float


@dataclass(frozen=True)
class TeacherAgreement:
    """How full-reference scores go with the targets they learned from, over all published distortions.

    Attributes:
        pairs: how many, every type and level of every photograph.
        srcc: over all pairs; None where there is no order to agree on.
        mean_difference: mean absolute difference, over all pairs.
        differences: the same within each type.
    """

    pairs: int
    srcc: float | None
    mean_difference: float
    differences: dict[str, float]


@dataclass(frozen=True)
class FullReference:
    """What a full-reference model says of photographs beside themselves, and how it goes with its teachers.

    ``teachers`` is None where there were none to ask.
    """

    identical_mean: float
    identical_least: float
    teachers: TeacherAgreement | None


@dataclass(frozen=True)
class Figures:
    """All figures of one model.

    Attributes:
        order: of the levels.
        curves: by type, the mean score at each level that changes the picture, and untouched at level 0.
        words: None of a full-reference model and of one without adjectives.
        steadiness: by harmless change; None of a full-reference model.
        full_reference: None of a no-reference model.
    """

    order: OrderFigures
    curves: dict[str, dict[int, float]]
    words: WordFigures | None = None
    steadiness: dict[str, Movement] | None = None
    full_reference: FullReference | None = None


def figures(examined: Sequence[Examined], model: str, *, has_reference: bool = False) -> Figures:
    """All figures of one model; `has_reference` says that it is a full-reference one.

    Args:
        examined: at least one photograph, all by the same distortions, an ordered one among them.
        model: a name under which all have opinions.
        has_reference: whether those were about pairs.
    """
    tried = [name for name, levels in examined[0].spoilt.items() if model in levels[0]]
    curves = {name: _curve(examined, model, name) for name in tried}
    fallen = order(examined, model)
    if has_reference:
        return Figures(fallen, curves, full_reference=full_reference(examined, model))
    named = words(examined, model) if examined[0].untouched[model].similarities else None
    return Figures(fallen, curves, named, steadiness(examined, model))


def order(examined: Sequence[Examined], model: str) -> OrderFigures:
    """Whether a model's scores fall with the level of every ordered type that was tried."""
    found = [answers(examined, model, name) for name in ORDERED if name in examined[0].spoilt]
    adjacent = {each.name: each.adjacent_in_order for each in found}
    worst = {each.name: each.worst_below_mildest for each in found}
    return OrderFigures(
        adjacent,
        worst,
        float(np.mean(list(adjacent.values()))),
        min(adjacent.values()),
        over_photographs(np.mean([each.in_order for each in found], axis=0)),
        float(np.mean(list(worst.values()))),
        min(worst.values()),
        over_photographs(np.mean([each.below_mildest for each in found], axis=0)),
    )


def words(examined: Sequence[Examined], model: str) -> WordFigures:
    """Whether a no-reference model's words name the faults that were tried."""
    trials = [("untouched", 0)]
    trials += [
        (name, level)
        for name in NAMES
        if name in examined[0].spoilt
        for level in levels_of(name)
        if level >= _CLEARLY_PRESENT
    ]
    margins = np.array([[_margins(each, model, *trial) for trial in trials] for each in examined])
    labels = np.array([pair_labels([trial] if trial[1] else []).numpy() for trial in trials])
    areas, drawn = {}, []
    counts = _draws(len(examined))
    for place, pair in enumerate(PAIRS):
        bad, known = labels[:, place] == BAD, labels[:, place] != UNKNOWN
        if not bad.any():  # of a few types only, some pairs have no fault
            continue
        wins = _wins(margins[:, bad, place], margins[:, known & ~bad, place])
        areas[f"{pair.positive}/{pair.negative}"] = float(wins.mean())
        # A photograph that is drawn twice meets every other twice, and itself four times.
        drawn.append(((counts @ wins) * counts).sum(axis=1) / len(examined) ** 2)
    values = list(areas.values())
    worst = min(areas, key=areas.__getitem__)
    interval = _percentiles(np.median(drawn, axis=0)) if len(examined) > 1 else None
    return WordFigures(areas, float(np.median(values)), areas[worst], worst, interval)


def steadiness(examined: Sequence[Examined], model: str) -> dict[str, Movement]:
    """How far a no-reference model's scores move under each change of :data:`HARMLESS`."""
    moved = {
        change: [abs(each.harmless[change][model].score - each.untouched[model].score) for each in examined]
        for change in HARMLESS
    }
    return {change: Movement(float(np.mean(values)), max(values)) for change, values in moved.items()}


def full_reference(examined: Sequence[Examined], model: str) -> FullReference:
    """What a full-reference model says of identical pairs, and how it goes with its teachers."""
    identical = [each.untouched[model].score for each in examined]
    scores, targets = {}, {}
    for name in DISTORTIONS:
        if all(name in each.targets for each in examined):
            scores[name] = answers(examined, model, name).scores[:, 1:].ravel()
            targets[name] = np.array([each.targets[name] for each in examined]).ravel()
    agreement = None
    if scores:
        found, wanted = np.concatenate(list(scores.values())), np.concatenate(list(targets.values()))
        agreement = TeacherAgreement(
            len(found),
            _srcc(found, wanted),
            float(np.abs(found - wanted).mean()),
            {name: float(np.abs(scores[name] - targets[name]).mean()) for name in scores},
        )
    return FullReference(float(np.mean(identical)), min(identical), agreement)


def over_photographs(values: _Array) -> Interval | None:
    """95 % percentile bootstrap interval of the mean of ``(P,)`` values; None of a single one."""
    if len(values) < 2:
        return None
    return _percentiles(_draws(len(values)) @ values / len(values))


def _srcc(found: _Array, wanted: _Array) -> float | None:
    try:
        return correlation.srcc(found, wanted)
    except ValueError:  # untrained weights may score everything alike
        return None


def _curve(examined: Sequence[Examined], model: str, name: str) -> dict[int, float]:
    means = answers(examined, model, name).scores.mean(axis=0)
    return dict(zip((0, *levels_of(name)), means.tolist(), strict=True))


def _draws(photographs: int) -> _Array:
    """How often each photograph is drawn in each resample, ``(R, P)``; always the same for as many."""
    chances = np.full(photographs, 1 / photographs)
    return np.random.default_rng(0).multinomial(photographs, chances, _RESAMPLES).astype(np.float64)


def _percentiles(values: _Array) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _margins(examined: Examined, model: str, name: str, level: int) -> _Array:
    """How much nearer an image comes to the bad word of each pair than to the good one, ``(20,)``."""
    opinions = examined.spoilt[name][level - levels_of(name)[0]] if level else examined.untouched
    pairs = np.array(opinions[model].similarities).reshape(-1, 2)
    margins: _Array = pairs[:, 1] - pairs[:, 0]
    return margins


def _wins(bad: _Array, good: _Array) -> _Array:
    """Areas under the ROC curve, ``(P, P)``: bad images of photograph p above good ones of photograph q.

    Args:
        bad: ``(P, m)``.
        good: ``(P, n)``.

    Returns:
        Shares of pairs of images, ties half; the mean is the area of all images together.
    """
    columns = []
    for others in np.sort(good, axis=1):
        below, upto = (np.searchsorted(others, bad, side) for side in ("left", "right"))
        columns.append((below + upto).mean(axis=1) / (2 * len(others)))
    return np.stack(columns, axis=1)
