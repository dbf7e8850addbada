"""Verdicts, and the answer to GET /policies."""

from typing import Literal

from pydantic import Field

from app.schemas.common import Answer, DimensionName, Unit
from app.schemas.measured.exposure import ExposureMeasure
from app.schemas.measured.pair_measures import PairMeasureName
from models.grades import Grade


class Reason(Answer):
    """Why an image did not pass a policy: what was measured, and the limit that it does not keep to."""

    measure: Literal[
        "score",
        "dimension",
        "adjective",
        "exposure",
        "size",
        "photograph",
        "fault",
        "comparison",
        "grade",
        "displacement",
    ] = Field(description="Kind of what was measured.")
    model: str | None = Field(
        default=None, description="Null for exposure, sizes, what is no photograph, and comparisons."
    )
    dimension: DimensionName | None = Field(default=None, description="Null for other measures.")
    adjective: str | None = Field(default=None, description="Null for other measures.")
    comparison: PairMeasureName | None = Field(
        default=None, description="Which measure of the pair; null for other measures."
    )
    exposure: ExposureMeasure | None = Field(default=None, description="Which measure of `facts.exposure`.")
    outcome: Literal["review", "fail"] = Field(description="Of this limit.")
    value: float = Field(
        description="In [0, 1]; of sizes and displacements in pixels, of PSNR in dB. An adjective's is its "
        "probability, a fault's its confidence; 0 for what is no photograph. Of a grade its number in "
        "ITU-R BT.500: 5 is imperceptible, 1 very annoying."
    )
    limit: float = Field(description="Likewise. A value exactly at the limit keeps to it. Of a fault 0.")
    message: str = Field(description="For the person whose image it is.")

    @property
    def about(self) -> str:
        """What was measured, in a word."""
        return self.dimension or self.adjective or self.exposure or self.comparison or self.measure


class Verdict(Answer):
    """What a policy says of an image: the worst outcome of its reasons, or that it passes."""

    policy: str = Field(description="Name of the policy.")
    outcome: Literal["pass", "review", "fail"] = Field(
        description="The worst of the reasons; `pass` without any."
    )
    reasons: list[Reason] = Field(description="Failures first, then in the order of the policy.")


class LeastSize(Answer):
    """The least that a policy asks of a size, in pixels; null is no limit."""

    fail: int | None = Field(description="Below it an image fails.")
    review: int | None = Field(description="Below it an image is to be looked at.")
    message: str = Field(description="For the person whose image is smaller.")


class PolicyLimit(Answer):
    """A limit of a policy for what a model says or for the exposure, in [0, 1]; null is no limit."""

    measure: Literal["score", "dimension", "adjective", "exposure"] = Field(
        description="Kind of what is limited."
    )
    model: str | None = Field(
        description="Null for the model whose score is the answer's, and for exposure, which needs no model."
    )
    dimension: DimensionName | None = Field(description="Null for other measures.")
    adjective: str | None = Field(description="Null for other measures.")
    exposure: ExposureMeasure | None = Field(default=None, description="Which measure of `facts.exposure`.")
    bad: Literal["below", "above"] = Field(
        description="On which side of the limits an image does not pass: above, for negative adjectives, and "
        "as the policy says for exposure."
    )
    fail: Unit | None = Field(description="An image beyond it fails.")
    review: Unit | None = Field(description="A person should look at an image beyond it.")
    message: str = Field(description="For the person whose image does not keep to it.")


class LeastGrade(Answer):
    """The grades from which a copy does not pass, these and all worse ones; null is no limit."""

    fail: Grade | None = Field(description="From it on a copy fails.")
    review: Grade | None = Field(description="From it on a person should look at a copy.")
    message: str = Field(description="What is said of such a copy.")


class PairPolicyLimit(Answer):
    """A limit of a policy for a measure of a copy beside its reference; null is no limit."""

    measure: PairMeasureName = Field(description="What is limited.")
    bad: Literal["below", "above"] = Field(description="On which side of the limits a copy does not pass.")
    fail: float | None = Field(description="A copy beyond it fails.")
    review: float | None = Field(description="A person should look at a copy beyond it.")
    message: str = Field(description="What is said of such a copy.")


class LoadedPolicy(Answer):
    """A policy that can be asked for."""

    name: str = Field(description="By which it is asked for.")
    built_in: bool = Field(description="Whether it came with the service.")
    description: str | None = Field(
        description="Whose photographs it is for; null where the file does not say."
    )
    origin: str | None = Field(description="Where the limits come from.")
    models: list[str] = Field(description="Without which it cannot be applied.")
    weights: dict[str, str] = Field(
        description="By model, the name or SHA-256 of the weights that the limits were found with."
    )
    side: LeastSize | None = Field(description="Of the shorter side.")
    pixels: LeastSize | None = Field(description="Of the whole image.")
    not_a_photograph: Literal["review", "fail"] | None = Field(
        default=None, description="Outcome of screenshots, documents, drawings and renderings; null is none."
    )
    strong_fault: Literal["review", "fail"] | None = Field(
        default=None, description="Outcome of photographs with a strong fault; null is none."
    )
    needs_reference: bool = Field(
        default=False, description="Whether it is for POST /compare alone: it has one of the next three."
    )
    grade: LeastGrade | None = Field(default=None, description="Of a copy beside its reference.")
    misaligned: Literal["review", "fail"] | None = Field(
        default=None, description="Outcome of a copy whose content is displaced; null is none."
    )
    comparisons: list[PairPolicyLimit] = Field(
        default=[], description="Of the measures of a copy beside its reference."
    )
    limits: list[PolicyLimit] = Field(description="Of scores, dimensions, adjectives and exposure.")
    warnings: list[str] = Field(description="Why its verdicts should be read with care: `code: sentence`.")


class PoliciesAnswer(Answer):
    """The answer to GET /policies."""

    policies: list[LoadedPolicy] = Field(description="All that can be asked for.")
