"""The question and the answer of POST /calibrate: limits from the scores of one's own photographs."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.common import Answer, DimensionName, Unit
from app.schemas.policies import PolicyLimit

MOST_MEASURED: Final = 500
"""Photographs of each kind in a request."""
LEAST_SHARE: Final = 0.001
"""That may fail: less is no promise that so few photographs could keep."""


class _Asking(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasuredLight(_Asking):
    """What limits of exposure can be about, of `facts.exposure` of an answer."""

    p99_luminance: Unit = Field(description="As `facts.exposure` says.")
    clipped_highlights: Unit = Field(description="As `facts.exposure` says.")


class MeasuredPhotograph(_Asking):
    """What limits can be about, as POST /score answered it."""

    score: Unit = Field(description="Of the model.")
    dimensions: dict[DimensionName, Unit] | None = Field(
        default=None, description="Of the model; null where it has none. `overall` can be left out."
    )
    exposure: MeasuredLight
    monochrome: bool = Field(default=False, description="As `image.monochrome` says.")
    photograph: bool = Field(default=True, description="As `image.photograph` says.")


_Measured = Annotated[tuple[MeasuredPhotograph, ...], Field(max_length=MOST_MEASURED)]


class CalibrateAsking(_Asking):
    """The scores of photographs that are good enough, and of others that are not."""

    good: _Measured = Field(description="Photographs that are good enough.")
    bad: _Measured = Field(default=(), description="Photographs that are not.")
    reject_at_most: float = Field(
        default=0.02,
        ge=LEAST_SHARE,
        le=0.5,
        description="Share of photographs like the good ones that may fail.",
    )
    review_at_most: float | None = Field(
        default=None,
        ge=LEAST_SHARE,
        lt=1,
        description="Share of them that may fail or go to review; by default four times as many as may fail.",
    )
    name: str = Field(default="mine", description="Of the policy.")
    weights: str | None = Field(
        default=None,
        description="SHA-256 of the weights that gave the scores; rejected where others are loaded.",
    )


class Expected(Answer):
    """What share of photographs like the good ones is rejected."""

    expected: Unit = Field(description="Share, on average.")
    low: int = Field(ge=0, description="Of `photographs` further ones so many or more, 95 times in 100 ...")
    high: int = Field(ge=0, description="... and so many or fewer.")
    photographs: int = Field(ge=1, description="How many further ones.")
    kept: bool = Field(
        description="Whether `expected` is at most the share that was allowed; otherwise there are too few "
        "good photographs."
    )


class CalibratedLimit(Answer):
    """A limit, and what it does to the photographs that it was found on."""

    limit: PolicyLimit
    median: Unit = Field(description="Of the good photographs.")
    good_failed: int = Field(ge=0, description="Good photographs that fail by this limit.")
    bad_failed: int = Field(ge=0, description="Bad photographs that fail by this limit.")
    nearest: list[int] = Field(
        description="Places of the good photographs that are worst by it, worst first."
    )


class CalibrateAnswer(Answer):
    """The answer to POST /calibrate."""

    model: str = Field(description="Whose scores are limited.")
    limits: list[CalibratedLimit] = Field(description="Of all that limits anything.")
    left_out: list[str] = Field(description="What was tried and limits nothing.")
    fail: Expected = Field(description="What is to be expected of `fail`.")
    review: Expected = Field(description="What is to be expected of `fail` and `review` together.")
    good: list[Literal["pass", "review", "fail"]] = Field(
        description="Verdicts on the good photographs, in their order."
    )
    bad: list[Literal["pass", "review", "fail"]] = Field(
        description="Verdicts on the bad photographs, in their order."
    )
    sentences: list[str] = Field(description="What to expect of the policy, and how sure that is.")
    toml: str = Field(description="The policy as a file for IQA_POLICIES_FILE.")
