"""The faults that a photograph can be said to have: their names, the adjectives that tell them, the phrases.

The strength of a fault is the mean probability of its adjectives. Which strength is enough depends on the
weights, so the thresholds are in their metadata (:mod:`models.calibration`). The table is our decision; words
that come true of too many good photographs (shaky, distorted) have no part in it. There is no torch here:
HTTP processes, the command line and the report read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from models.vocabulary import Dimension

if TYPE_CHECKING:
    from models.calibration import Calibration  # it takes the names of the faults from here

FaultName = Literal[
    "blur",
    "underexposed",
    "overexposed",
    "noise",
    "low-contrast",
    "dull",
    "oversaturated",
    "compression",
]


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: its key in a calibration.
        dimension: that it belongs to.
        adjectives: whose mean probability is the strength of the fault, in [0, 1].
        slight: the phrase for it where it is slight, in lower case.
        strong: the phrase for it where it is strong.
    """

    name: FaultName
    dimension: Dimension
    adjectives: tuple[str, ...]
    slight: str
    strong: str

    def strength(self, probabilities: Mapping[str, float]) -> float:
        """Mean probability of the fault's adjectives, in [0, 1].

        Raises:
            KeyError: an adjective has no probability.
        """
        return sum(probabilities[adjective] for adjective in self.adjectives) / len(self.adjectives)


@dataclass(frozen=True)
class FoundFault:
    """A fault that an image has.

    Attributes:
        name: of the fault.
        dimension: likewise.
        strength: in [0, 1].
        strong: whether the strength exceeds the threshold of a strong fault.
        phrase: for people, for example "slightly noisy".
    """

    name: FaultName
    dimension: Dimension
    strength: float
    strong: bool
    phrase: str


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("blur", "sharpness", ("blurry", "soft", "defocused", "smeared"), "slightly soft", "blurry"),
    Fault("underexposed", "brightness", ("dark", "underexposed"), "slightly underexposed", "underexposed"),
    Fault("overexposed", "brightness", ("overexposed",), "slightly overexposed", "overexposed"),
    Fault("noise", "noisiness", ("noisy", "grainy", "speckled"), "slightly noisy", "noisy"),
    Fault(
        "low-contrast",
        "contrast",
        ("flat", "washed-out", "murky"),
        "slightly low in contrast",
        "low in contrast",
    ),
    Fault("dull", "colorfulness", ("dull", "faded"), "slightly dull in colour", "dull in colour"),
    Fault("oversaturated", "colorfulness", ("oversaturated",), "slightly oversaturated", "oversaturated"),
    Fault("compression", "overall", ("blocky",), "slightly blocky", "blocky"),
)
"""All faults that can be named."""


def find_faults(
    probabilities: Mapping[str, float], calibration: "Calibration | None"
) -> tuple[FoundFault, ...]:
    """The faults of an image, the strong ones first, then by strength, the greatest first.

    Args:
        probabilities: of the 40 adjectives, each over its antonym pair, by adjective.
        calibration: of the weights that they come from. Without one no fault is named; faults that the
            calibration has no thresholds for are not named either.

    Raises:
        KeyError: an adjective of a calibrated fault has no probability.
    """
    if calibration is None:
        return ()
    found = []
    for fault in FAULTS:
        thresholds = calibration.faults.get(fault.name)
        if thresholds is None:
            continue
        strength = fault.strength(probabilities)
        if strength > thresholds.slight:
            strong = strength > thresholds.strong
            phrase = fault.strong if strong else fault.slight
            found.append(FoundFault(fault.name, fault.dimension, strength, strong, phrase))
    return tuple(sorted(found, key=lambda each: (not each.strong, -each.strength)))
