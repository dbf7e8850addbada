"""What a policy asks of a distorted image beside its reference, as an operator writes it."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from app.policies.written import PolicyText, Written, check_order
from app.schemas.measured.pair_measures import PAIR_MEASURES, PairMeasureName
from models.grades import GRADES, Grade

LARGEST_LIMIT: Final = 100.0
"""Of PSNR, in dB; all other measures have values from 0 to 1."""

_MESSAGES: Final[Mapping[PairMeasureName, str]] = {
    "score": "The copy is too far from the original.",
    "psnr_db": "The samples of the copy are too far from those of the original.",
    "ssim": "The copy has lost too much of the structure of the original.",
}
_OTHER_MESSAGE: Final = "The copy is too far from the original."
MISALIGNED: Final = "The content of the copy does not lie where it lies in the original."

_Value = Annotated[float, Field(ge=0, le=LARGEST_LIMIT, allow_inf_nan=False)]


class GradeLimit(Written):
    """The grades from which a copy does not pass: these and all worse ones."""

    fail: Grade | None = None
    review: Grade | None = None
    message: PolicyText | None = None

    @property
    def sentence(self) -> str:
        """What to tell about a copy that does not keep to it."""
        return self.message or "The copy is visibly distorted."

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        places = [None if grade is None else GRADES.index(grade) for grade in (self.fail, self.review)]
        if 0 in places:
            raise ValueError(f'has to begin below "{GRADES[0]}": every copy is that or worse')
        check_order(*places, upper=True)
        return self


class PairLimit(Written):
    """What a measure of a pair may be. It is a maximum for MDSI and a minimum for all others."""

    measure: PairMeasureName
    fail: _Value | None = None
    review: _Value | None = None
    message: PolicyText | None = None

    @property
    def is_upper(self) -> bool:
        """Whether values above the limit are bad."""
        return not PAIR_MEASURES[self.measure].higher_is_better

    @property
    def sentence(self) -> str:
        """What to tell about a copy that does not keep to it."""
        return self.message or _MESSAGES.get(self.measure, _OTHER_MESSAGE)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not PAIR_MEASURES[self.measure].decibels and max(self.fail or 0, self.review or 0) > 1:
            raise ValueError(f"limits {self.measure}, whose values go from 0 to 1")
        check_order(self.fail, self.review, upper=self.is_upper)
        return self
