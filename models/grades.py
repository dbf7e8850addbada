"""How visible a distortion is, from a full-reference score: the five grades of impairment of ITU-R BT.500.

The steps between the grades belong to the weights and stand in their metadata;
:mod:`models.training.grading` measures them.
"""

from itertools import pairwise
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Grade = Literal[
    "imperceptible", "perceptible but not annoying", "slightly annoying", "annoying", "very annoying"
]
GRADES: Final[tuple[Grade, ...]] = get_args(Grade)
"""The best first; ITU-R BT.500 numbers them 5 to 1."""

_Unit = Annotated[float, Field(ge=0, le=1)]


class GradeSteps(BaseModel):
    """The lowest full-reference score of each grade but the last."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    photographs: int = Field(ge=1, description="Photographs that they were measured on.")
    source: str = Field(min_length=1, description="What photographs these are.")
    steps: tuple[_Unit, _Unit, _Unit, _Unit] = Field(
        description="The lowest score that is imperceptible, perceptible but not annoying, slightly "
        "annoying, annoying."
    )

    @model_validator(mode="after")
    def _descending(self) -> Self:
        if any(upper <= lower for upper, lower in pairwise(self.steps)):
            raise ValueError("the lowest scores of the grades do not descend")
        return self

    def grade(self, score: float) -> Grade:
        """The grade of a full-reference score."""
        return GRADES[sum(score < step for step in self.steps)]
