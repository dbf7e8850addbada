"""Measures what the scores and words of a model's weights amount to, for their metadata.

Readings and percentiles come from real photographs, as people take them. Whether a fault may be named comes
from clean photographs, of which few may be blamed, and from the same photographs distorted on purpose, by
which the words show that they tell the fault at all. The clean ones are often those that the model learned
from, which it knows too well. An image that scores well is therefore held to a second threshold of a strong
fault, which few of the best real photographs exceed. The limits are our decision.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from models.base import QualityModel, WordsReadOut
from models.calibration import DIMENSION_PERCENTILES, SCORE_PERCENTILES, Calibration, Readings, Thresholds
from models.faults import FAULTS, Fault, FaultName
from models.preprocessing import Pixels, Preprocessing
from models.training import distortions
from models.training.photos import DataError, PhotoReader
from models.training.robustness import seed_of, spoilt
from models.training.whole_photos import pixels, some, tracked
from models.vocabulary import DIMENSIONS, PAIRS, WORDS, dimension_scores, pair_probabilities

READING_PERCENTILES: Final = {"excellent": 90, "good": 60, "fair": 30, "poor": 10}
"""Percentile of the real photographs' scores from which a score reads so."""

STRONG_BLAMED: Final = 0.01
SLIGHT_BLAMED: Final = 0.05
"""The maximum share of clean photographs whose strength may exceed a threshold before the margin."""

BEST_PERCENTILE: Final = READING_PERCENTILES["good"]
BEST_BLAMED: Final = 0.005
"""The maximum share of the real photographs that read good whose strength may exceed the second threshold."""

LEAST_STRONG: Final = 0.5
LEAST_SLIGHT: Final = 0.35
"""The bad words of a fault must win to call it strong, and not be far from it to call it slight."""

LEAST_FOUND: Final = 0.25
"""The share of the distorted photographs that must exceed the slight threshold for the fault to be named."""

_MARGIN: Final = 0.02  # other clean photographs go a little further; near 1, half of what is left
_SCORE_DECIMALS: Final = 6
_THRESHOLD_DECIMALS: Final = 3

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What a model said of ``N`` photographs.

    Attributes:
        scores: ``(N,)`` in [0, 1].
        dimensions: ``(N, 6)`` in [0, 1], in the order of ``models.vocabulary.DIMENSIONS``.
        probabilities: ``(N, 40)``, in the order of ``models.vocabulary.WORDS``.
    """

    scores: Values
    dimensions: Values
    probabilities: Values


@dataclass(frozen=True)
class Rates:
    """How a fault fares with its thresholds.

    Attributes:
        clean: share of the clean photographs that the fault is named of, slight or strong.
        slight: share of the photographs distorted by it that it is named of, slight or strong.
        strong: share of these that it is called strong of if they score badly.
        strong_from_fair: share of these that it is called strong of if they read fair or better.
        named: whether the calibration has the fault; otherwise too few distorted photographs were found.
    """

    clean: float
    slight: float
    strong: float
    strong_from_fair: float
    named: bool


@dataclass(frozen=True)
class Measured:
    """A calibration, and how each fault fares with its thresholds on what they were chosen on."""

    calibration: Calibration
    rates: dict[FaultName, Rates]


def measure_calibration(
    real: Seen, clean: Values, spoilt: Mapping[FaultName, Values], source: str
) -> Measured:
    """A calibration from what a model said of photographs.

    Args:
        real: of real photographs, as people take them.
        clean: ``(M, 40)`` probabilities of the adjectives, of photographs without faults.
        spoilt: by fault, ``(K, 40)`` probabilities of clean photographs with this fault. A fault that is
            missing, or has no photographs, is not named.
        source: what the real photographs are.

    Raises:
        ValueError: there are no real photographs or no clean ones, or the real ones score so much alike that
            no readings can be told apart; the message is one sentence.
    """
    if len(real.scores) == 0 or len(clean) == 0:
        raise ValueError("A calibration needs real photographs and clean ones.")
    readings = _readings(real.scores)
    best = real.probabilities[real.scores >= np.percentile(real.scores, BEST_PERCENTILE)]
    thresholds: dict[FaultName, Thresholds] = {}
    rates: dict[FaultName, Rates] = {}
    for fault in FAULTS:
        positives = spoilt.get(fault.name)
        if positives is None or len(positives) == 0:
            continue
        of_clean, of_spoilt = _strengths(fault, clean), _strengths(fault, positives)
        strong = threshold(of_clean, STRONG_BLAMED, LEAST_STRONG)
        limits = Thresholds(
            slight=threshold(of_clean, SLIGHT_BLAMED, LEAST_SLIGHT),
            strong=strong,
            strong_from_fair=threshold(_strengths(fault, best), BEST_BLAMED, strong),
        )
        found = float((of_spoilt > limits.slight).mean())
        named = found >= LEAST_FOUND
        rates[fault.name] = Rates(
            clean=float((of_clean > limits.slight).mean()),
            slight=found,
            strong=float((of_spoilt > limits.strong).mean()),
            strong_from_fair=float((of_spoilt > limits.strong_for(fair=True)).mean()),
            named=named,
        )
        if named:
            thresholds[fault.name] = limits
    calibration = Calibration(
        photographs=len(real.scores),
        source=source,
        score_percentiles=_percentiles(real.scores, SCORE_PERCENTILES),
        dimension_percentiles={
            name: _percentiles(real.dimensions[:, place], DIMENSION_PERCENTILES)
            for place, name in enumerate(DIMENSIONS)
        },
        readings=readings,
        faults=thresholds,
    )
    return Measured(calibration, rates)


def _readings(scores: Values) -> Readings:
    steps = {
        name: _rounded(np.percentile(scores, percentile)) for name, percentile in READING_PERCENTILES.items()
    }
    if not steps["excellent"] > steps["good"] > steps["fair"] > steps["poor"]:
        raise ValueError(
            f"The {len(scores)} real photographs score too much alike for five readings; "
            "more photographs, of more kinds, are needed."
        )
    return Readings(**steps)


def threshold(strengths: Values, share: float, least: float) -> float:
    """The lowest strength, not below `least`, that at most a share of the strengths exceed, and a margin.

    Args:
        strengths: ``(M,)`` of clean photographs, in [0, 1], at least one.
        share: the maximum share that may exceed it.
        least: the lowest threshold to give.

    Returns:
        A threshold in [0, 1]. Where it is 1, nothing exceeds it.
    """
    allowed = math.floor(share * len(strengths) + 1e-9)  # 0.05 of 100 is 5, not 4.999...
    reached = float(np.sort(strengths)[::-1][min(allowed, len(strengths) - 1)])
    # The margin belongs to what was measured; `least` is a decision and has none.
    wanted = max(least, reached + min(_MARGIN, (1 - reached) / 2))
    scale = 10**_THRESHOLD_DECIMALS
    return min(1.0, math.ceil(wanted * scale - 1e-6) / scale)


def calibrate(
    model: QualityModel,
    preprocessing: Preprocessing,
    real: Sequence[Path],
    clean: Sequence[Path],
    *,
    source: str,
    photographs: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Measured:
    """Shows a model photographs, clean ones also with each fault, and measures a calibration.

    Every clean photograph is distorted once for each fault of :data:`models.faults.FAULTS`: by one of the
    distortions that make its adjectives true, in turn, at a random one of their levels.

    Args:
        model: that scores single images; on the CPU, in evaluation mode, float32.
        preprocessing: of its input.
        real: photographs as people take them.
        clean: good photographs, without faults.
        source: what the real photographs are.
        photographs: the maximum number of clean ones, chosen at random; None for all.
        seed: of what is random.
        quiet: whether to show no progress.

    Raises:
        DataError: a photograph cannot be decoded, or :func:`measure_calibration` cannot do with these.
    """
    generator = torch.Generator().manual_seed(seed)
    reader = PhotoReader(cache_bytes=0, longest_side=preprocessing.longest_side or 1024)
    if photographs is not None:
        clean = some(clean, photographs, generator)
    seen = [
        _ask(model, preprocessing, pixels(reader.read(path)))
        for path in tracked(real, "scores of real photographs", quiet)
    ]
    untouched: list[Values] = []
    faulty: dict[FaultName, list[Values]] = {fault.name: [] for fault in FAULTS}
    for number, path in enumerate(tracked(clean, "words on clean photographs", quiet)):
        photo = pixels(reader.read(path))
        untouched.append(_ask(model, preprocessing, photo).probabilities)
        for fault in FAULTS:
            picture = _with_fault(photo, fault, number, path.stem, generator)
            faulty[fault.name].append(_ask(model, preprocessing, picture).probabilities)
    try:
        return measure_calibration(
            _together(seen),
            _rows(untouched),
            {name: _rows(rows) for name, rows in faulty.items()},
            source,
        )
    except ValueError as error:
        raise DataError(str(error)) from error


def causes(fault: Fault) -> tuple[distortions.Cause, ...]:
    """The distortions that make a fault's adjectives true, each with the levels at which it does."""
    found = [
        cause
        for pair in PAIRS
        if pair.negative in fault.adjectives
        for cause in distortions.CAUSES[pair.positive]
    ]
    return tuple(dict.fromkeys(found))


def _with_fault(photo: Pixels, fault: Fault, number: int, stem: str, generator: Generator) -> Pixels:
    possible = causes(fault)
    cause = possible[number % len(possible)]
    level = cause.levels[int(torch.randint(len(cause.levels), (), generator=generator))]
    _, picture = spoilt(photo, cause.distortion, seed_of(stem, cause.distortion), [level])
    return picture


@torch.no_grad()
def _ask(model: QualityModel, preprocessing: Preprocessing, picture: Pixels) -> Seen:
    output = model(preprocessing.tensor(preprocessing.fit(picture)))
    assert isinstance(output, WordsReadOut)
    probabilities = pair_probabilities(output.similarities.numpy(), model.temperature)
    return Seen(output.score.double().numpy(), dimension_scores(probabilities), probabilities)


def _together(seen: Sequence[Seen]) -> Seen:
    if not seen:
        return Seen(np.empty(0), np.empty((0, len(DIMENSIONS))), np.empty((0, len(WORDS))))
    return Seen(
        np.concatenate([each.scores for each in seen]),
        np.concatenate([each.dimensions for each in seen]),
        np.concatenate([each.probabilities for each in seen]),
    )


def _rows(rows: Sequence[Values]) -> Values:
    return np.concatenate(rows) if rows else np.empty((0, len(WORDS)))


def _strengths(fault: Fault, probabilities: Values) -> Values:
    strengths: Values = probabilities[:, [WORDS.index(word) for word in fault.adjectives]].mean(axis=1)
    return strengths


def _percentiles(values: Values, percentiles: Sequence[int]) -> list[float]:
    return [_rounded(value) for value in np.percentile(values, percentiles)]


def _rounded(value: float) -> float:
    # Interpolation and float32's softmax may step over an end by a last bit.
    return min(1.0, max(0.0, round(float(value), _SCORE_DECIMALS)))
