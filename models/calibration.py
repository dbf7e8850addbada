"""What the numbers of some weights amount to: how scores spread, how one reads, which faults there are.

Measured on photographs by :mod:`models.training.calibration` and kept in the metadata of the weights file,
since every change of the weights changes it. The page, the command line and the report read it from there.
There is no torch here: HTTP processes need this module too.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.faults import EXCLUSIVE, FAULTS, FaultName, Region, placed
from models.vocabulary import FORMER_DIMENSIONS, Dimension

Reading = Literal["excellent", "good", "fair", "poor", "bad"]
READINGS: Final[tuple[Reading, ...]] = get_args(Reading)
"""What a score can read as, the best first."""

SCORE_PERCENTILES: Final = tuple(range(101))
DIMENSION_PERCENTILES: Final = tuple(range(0, 101, 5))

BEST_WITH_A_FAULT: Final[Reading] = "good"
"""What an image reads as at best that has a fault, whatever its score."""
BEST_WITH_A_STRONG_FAULT: Final[Reading] = "fair"
"""What an image reads as at best that has a strong fault, whatever its score."""

_FIFTHS: Final = (0.8, 0.6, 0.4, 0.2)
_PRAISED_FROM: Final = 60  # percentile of real photographs; scores read as good from about there
_MOST_FAULTS_TOLD: Final = 3

_Unit = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Thresholds(_Part):
    """The strengths of a fault, in [0, 1], that an image must exceed for the fault to be named."""

    slight: _Unit = Field(description="Above it the fault is named.")
    strong: _Unit = Field(description="Above it the fault is strong.")
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

    excellent: _Unit = Field(description="Lowest score that reads as excellent.")
    good: _Unit = Field(description="Lowest score that reads as good.")
    fair: _Unit = Field(description="Lowest score that reads as fair.")
    poor: _Unit = Field(description="Lowest score that reads as poor.")

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

    @field_validator("dimension_percentiles", mode="before")
    @classmethod
    def _with_names_of_today(cls, values: object) -> object:
        # The metadata of weights from before a dimension was renamed stays as it is: the digest covers it.
        if not isinstance(values, Mapping):
            return values
        return {FORMER_DIMENSIONS.get(name, name): value for name, value in values.items()}

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
        region: that has the fault.
    """

    name: FaultName
    dimension: Dimension
    strength: float
    strong: bool
    phrase: str
    region: Region = "whole"

    @property
    def message(self) -> str:
        """The phrase with the place of the fault, for example "the right half is slightly noisy"."""
        return placed(self.phrase, self.region)


@dataclass(frozen=True)
class PixelEvidence:
    """What the pixels themselves show of the faults that a model may name.

    Attributes:
        regions: that have a fault; of faults that are missing, the whole picture.
        evident: faults that are named, as slight ones at least, whatever the model's threshold.
        excluded: faults that are not named: what looks like one is intended, or the pixels rule it out.
        doubted: faults that another model is sure of: what they are the opposite of is not praised.
    """

    regions: Mapping[FaultName, Region] = field(default_factory=dict)
    evident: Collection[FaultName] = ()
    excluded: Collection[FaultName] = ()
    doubted: Collection[FaultName] = ()


NO_EVIDENCE: Final = PixelEvidence()


def find_faults(
    score: float,
    probabilities: Mapping[str, float],
    calibration: Calibration | None,
    seen: PixelEvidence = NO_EVIDENCE,
) -> tuple[FoundFault, ...]:
    """The faults of an image, the strong ones first, then by strength, the greatest first.

    Args:
        score: of the image, in [0, 1]. What scores well needs more evidence for a strong fault.
        probabilities: of the 40 adjectives, each over its antonym pair, by adjective.
        calibration: of the weights that they come from. Without one, or without probabilities, no fault is
            named; faults that the calibration has no thresholds for are not named either.
        seen: in the pixels.

    Raises:
        KeyError: an adjective of a calibrated fault has no probability.
    """
    if calibration is None or not probabilities:
        return ()
    found = []
    for fault in FAULTS:
        thresholds = calibration.faults.get(fault.name)
        if thresholds is None or fault.name in seen.excluded:
            continue
        strength = fault.strength(probabilities)
        if strength > thresholds.slight or fault.name in seen.evident:
            strong = strength > thresholds.strong_for(fair=score >= calibration.readings.fair)
            phrase = fault.strong if strong else fault.slight
            region = seen.regions.get(fault.name, "whole")
            found.append(FoundFault(fault.name, fault.dimension, strength, strong, phrase, region))
    found.sort(key=lambda each: (not each.strong, -each.strength))
    return tuple(each for place, each in enumerate(found) if not _contradicts(each, found[:place]))


def _contradicts(fault: FoundFault, before: Sequence[FoundFault]) -> bool:
    """Whether a clearer fault of the same place excludes it: what is too dark is not too bright."""
    return any(
        fault.region == other.region and {(fault.name, other.name), (other.name, fault.name)} & {*EXCLUSIVE}
        for other in before
    )


@dataclass(frozen=True)
class Description:
    """An image in words, by one model.

    Attributes:
        reading: of its score; not above "good" with a fault, nor above "fair" with a strong one.
        percentile: of its score among real photographs, in [0, 100]; None without a calibration.
        faults: the strong ones first, then by strength; none without a calibration.
        summary: what stands out, one sentence.
    """

    reading: Reading
    percentile: float | None
    faults: tuple[FoundFault, ...]
    summary: str


def describe(
    score: float,
    probabilities: Mapping[str, float],
    dimensions: Mapping[Dimension, float],
    calibration: Calibration | None,
    seen: PixelEvidence = NO_EVIDENCE,
) -> Description:
    """What a score and the adjectives amount to.

    Args:
        score: in [0, 1].
        probabilities: of the 40 adjectives, each over its antonym pair, by adjective; none of a model
            without adjectives.
        dimensions: mean probability of each dimension's good words; none of a model without adjectives.
        calibration: of the weights that all of it comes from. Without one the reading is by even fifths.
        seen: in the pixels.

    Raises:
        KeyError: an adjective of a calibrated fault has no probability.
    """
    if calibration is None:
        return Description(
            _reading(_FIFTHS, score), None, (), "These weights have no calibration, so no faults are named."
        )
    faults = find_faults(score, probabilities, calibration, seen)
    reading = calibration.reading(score)
    if faults:  # the strong ones come first
        reading = at_best(reading, BEST_WITH_A_STRONG_FAULT if faults[0].strong else BEST_WITH_A_FAULT)
    summary = _summary(reading, faults, dimensions, calibration, seen.doubted)
    return Description(reading, calibration.percentile(score), faults, summary)


def at_best(reading: Reading, bound: Reading) -> Reading:
    """The worse of two readings."""
    return max(reading, bound, key=READINGS.index)


def _summary(
    reading: Reading,
    faults: Sequence[FoundFault],
    dimensions: Mapping[Dimension, float],
    calibration: Calibration,
    doubted: Collection[FaultName],
) -> str:
    if faults:
        return _sentence("; ".join(_clauses(faults[:_MOST_FAULTS_TOLD])))
    if reading in ("poor", "bad"):
        return "No single fault stands out."
    praised = {
        name
        for name, value in dimensions.items()
        if _percentile(calibration.dimension_percentiles[name], value) >= _PRAISED_FROM
    }
    words: tuple[tuple[Dimension, str, FaultName], ...] = (
        ("sharpness", "sharp", "blur"),
        ("cleanness", "clean", "noise"),
    )
    good = [word for name, word, opposite in words if name in praised and opposite not in doubted]
    if not good:
        return "Nothing stands out as a fault."
    return _sentence(_listed(good) + (", with good contrast" if "contrast" in praised else ""))


def _clauses(faults: Sequence[FoundFault]) -> Iterator[str]:
    """What is said of each region, in the order in which its first fault comes."""
    for region in dict.fromkeys(fault.region for fault in faults):
        yield placed(_listed([fault.phrase for fault in faults if fault.region == region]), region)


def _listed(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


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
