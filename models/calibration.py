"""What the numbers of some weights amount to: how scores spread, how one reads, which faults there are.

Measured on photographs by :mod:`models.training.calibration` and kept in the metadata of the weights file,
since every change of the weights changes it. The page, the command line and the report read it from there.
There is no torch here: HTTP processes need this module too.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.faults import FAULTS, FaultName
from models.vocabulary import Dimension

Reading = Literal["excellent", "good", "fair", "poor", "bad"]
READINGS: Final[tuple[Reading, ...]] = get_args(Reading)
"""What a score can read as, the best first."""

SCORE_PERCENTILES: Final = tuple(range(101))
DIMENSION_PERCENTILES: Final = tuple(range(0, 101, 5))

_FIFTHS: Final = (0.8, 0.6, 0.4, 0.2)
_BEST_WITH_A_STRONG_FAULT: Final[Reading] = "fair"

_Unit = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Thresholds(_Part):
    """The strengths of a fault, in [0, 1], that an image must exceed for the fault to be named."""

    slight: _Unit
    strong: _Unit
    strong_from_fair: _Unit | None = Field(
        default=None,
        description="In place of `strong` for an image whose score reads fair or better. Null: the same.",
    )

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.slight <= self.strong <= self.strong_for(fair=True):
            raise ValueError("the thresholds of a fault do not ascend")
        return self

    def strong_for(self, *, fair: bool) -> float:
        """The threshold of a strong fault, for an image whose score reads fair or better, or does not."""
        return self.strong_from_fair if fair and self.strong_from_fair is not None else self.strong


class Readings(_Part):
    """The lowest score of each reading; what is below the last one is bad."""

    excellent: _Unit
    good: _Unit
    fair: _Unit
    poor: _Unit

    @model_validator(mode="after")
    def _descending(self) -> Self:
        if any(upper <= lower for upper, lower in pairwise(self.steps)):
            raise ValueError("the lowest scores of the readings do not descend")
        return self

    @property
    def steps(self) -> tuple[float, float, float, float]:
        """The four scores, of the best reading first."""
        return self.excellent, self.good, self.fair, self.poor


class Calibration(_Part):
    """How the scores and words of a model's weights are to be read, measured on real photographs."""

    photographs: int = Field(ge=1, description="Real photographs that it was measured on.")
    source: str = Field(min_length=1, description="What photographs these are.")
    score_percentiles: list[_Unit] = Field(
        min_length=len(SCORE_PERCENTILES),
        max_length=len(SCORE_PERCENTILES),
        description="Score at the percentiles 0, 1, ..., 100 of the real photographs.",
    )
    dimension_percentiles: dict[
        Dimension,
        Annotated[
            list[_Unit],
            Field(min_length=len(DIMENSION_PERCENTILES), max_length=len(DIMENSION_PERCENTILES)),
        ],
    ] = Field(description="By dimension, its value at the percentiles 0, 5, ..., 100.")
    readings: Readings
    faults: dict[FaultName, Thresholds] = Field(
        description="Faults that are missing are not told reliably by these weights, and not named."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if set(self.dimension_percentiles) != set(get_args(Dimension)):
            raise ValueError("the six dimensions are not all there")
        for values in (self.score_percentiles, *self.dimension_percentiles.values()):
            if any(lower > upper for lower, upper in pairwise(values)):
                raise ValueError("the values at rising percentiles do not ascend")
        return self

    def percentile(self, score: float) -> float:
        """Of a hundred real photographs, how many score lower: in [0, 100], linear between percentiles."""
        return _percentile(self.score_percentiles, score)

    def reading(self, score: float) -> Reading:
        """The word that a score reads as."""
        return _reading(self.readings.steps, score)


@dataclass(frozen=True)
class FoundFault:
    """A fault that an image has.

    Attributes:
        name: of the fault.
        dimension: of the fault.
        strength: in [0, 1].
        strong: whether the strength exceeds the threshold of a strong fault.
        phrase: for people, for example "slightly noisy".
    """

    name: FaultName
    dimension: Dimension
    strength: float
    strong: bool
    phrase: str


def find_faults(
    score: float, probabilities: Mapping[str, float], calibration: Calibration | None
) -> tuple[FoundFault, ...]:
    """The faults of an image, the strong ones first, then by strength, the greatest first.

    Args:
        score: of the image, in [0, 1]. What scores well needs more evidence for a strong fault.
        probabilities: of the 40 adjectives, each over its antonym pair, by adjective.
        calibration: of the weights that they come from. Without one, or without probabilities, no fault is
            named; faults that the calibration has no thresholds for are not named either.

    Raises:
        KeyError: an adjective of a calibrated fault has no probability.
    """
    if calibration is None or not probabilities:
        return ()
    found = []
    for fault in FAULTS:
        thresholds = calibration.faults.get(fault.name)
        if thresholds is None:
            continue
        strength = fault.strength(probabilities)
        if strength > thresholds.slight:
            strong = strength > thresholds.strong_for(fair=score >= calibration.readings.fair)
            phrase = fault.strong if strong else fault.slight
            found.append(FoundFault(fault.name, fault.dimension, strength, strong, phrase))
    return tuple(sorted(found, key=lambda each: (not each.strong, -each.strength)))


@dataclass(frozen=True)
class Description:
    """An image in words, by one model.

    Attributes:
        reading: of its score; not above "fair" where a strong fault is found.
        percentile: of its score among real photographs, in [0, 100]; None without a calibration.
        faults: the strong ones first, then by strength; none without a calibration.
    """

    reading: Reading
    percentile: float | None
    faults: tuple[FoundFault, ...]

    @property
    def phrases(self) -> list[str]:
        """The faults for people, for example "slightly noisy"."""
        return [fault.phrase for fault in self.faults]


def describe(
    score: float, probabilities: Mapping[str, float], calibration: Calibration | None
) -> Description:
    """What a score and the adjectives amount to.

    Args:
        score: in [0, 1].
        probabilities: of the 40 adjectives, each over its antonym pair, by adjective.
        calibration: of the weights that both come from. Without one the reading is by even fifths.

    Raises:
        KeyError: an adjective of a calibrated fault has no probability.
    """
    faults = find_faults(score, probabilities, calibration)
    reading = _reading(_FIFTHS, score) if calibration is None else calibration.reading(score)
    if any(fault.strong for fault in faults):
        reading = max(reading, _BEST_WITH_A_STRONG_FAULT, key=READINGS.index)
    return Description(reading, None if calibration is None else calibration.percentile(score), faults)


def _percentile(values: Sequence[float], score: float) -> float:
    above = bisect_right(values, score)
    if above == 0:
        return 0.0
    if above == len(values):
        return 100.0
    lower, upper = values[above - 1], values[above]
    step = 100 / (len(values) - 1)
    return step * (above - 1 + (score - lower) / (upper - lower))


def _reading(steps: Sequence[float], score: float) -> Reading:
    return READINGS[sum(score < step for step in steps)]
