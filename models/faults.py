"""The faults that a photograph can be said to have: their names, the adjectives that tell them, the phrases.

The strength of a fault is the mean probability of its adjectives. Which strength is enough depends on the
weights, so the thresholds are in their metadata (:mod:`models.calibration`). The table is our decision; words
that come true of too many good photographs (shaky, distorted) have no part in it. There is no torch here:
HTTP processes, the command line and the report read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from models.vocabulary import Dimension

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

Region = Literal["whole", "left", "right", "top", "bottom", "center", "background"]
"""The part of a picture that has a fault; "whole" where it has no place of its own."""

_PLACES: Final[Mapping[Region, str]] = {
    "left": "the left half",
    "right": "the right half",
    "top": "the top half",
    "bottom": "the bottom half",
    "center": "the center",
    "background": "the background",
}


def placed(phrase: str, region: Region) -> str:
    """The phrase for a fault with its place: "the right half is slightly soft"."""
    return phrase if region == "whole" else f"{_PLACES[region]} is {phrase}"


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


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("blur", "sharpness", ("blurry", "soft", "defocused", "smeared"), "slightly soft", "blurry"),
    Fault("underexposed", "brightness", ("dark", "underexposed"), "slightly underexposed", "underexposed"),
    Fault("overexposed", "brightness", ("overexposed",), "slightly overexposed", "overexposed"),
    Fault("noise", "cleanness", ("noisy", "grainy", "speckled"), "slightly noisy", "noisy"),
    Fault(
        "low-contrast",
        "contrast",
        ("flat", "washed-out", "murky"),
        "slightly low in contrast",
        "low in contrast",
    ),
    Fault("dull", "colorfulness", ("dull", "faded"), "slightly dull in color", "dull in color"),
    Fault("oversaturated", "colorfulness", ("oversaturated",), "slightly oversaturated", "oversaturated"),
    Fault("compression", "overall", ("blocky",), "slightly blocky", "blocky"),
)
"""All faults that can be named."""

EXCLUSIVE: Final[tuple[tuple[FaultName, FaultName], ...]] = (
    ("underexposed", "overexposed"),
    ("dull", "oversaturated"),
)
"""Faults of which one place has one at most, though their words may all come true of a ruined picture."""
