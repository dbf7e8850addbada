"""Verdicts, and the answer to GET /policies."""

from typing import Literal

from pydantic import Field

from app.schemas.common import Answer, Unit
from app.schemas.exposure import ExposureMeasure
from models.vocabulary import Dimension


class Reason(Answer):
    """Why an image did not pass a policy: what was measured, and the limit that it does not keep to."""

    measure: Literal["score", "dimension", "adjective", "exposure", "size"]
    model: str | None = Field(description="Null for exposure and sizes.")
    dimension: Dimension | None
    adjective: str | None
    exposure: ExposureMeasure | None = Field(default=None, description="Which measure of `facts.exposure`.")
    outcome: Literal["review", "fail"]
    value: float = Field(description="In [0, 1]; of sizes in pixels. An adjective's is its probability.")
    limit: float = Field(description="Likewise. A value exactly at the limit keeps to it.")
    message: str = Field(description="For the person whose image it is.")

    @property
    def about(self) -> str:
        """What was measured, in a word."""
        return self.dimension or self.adjective or self.exposure or self.measure


class Verdict(Answer):
    """What a policy says of an image: the worst outcome of its reasons, or that it passes."""

    policy: str
    outcome: Literal["pass", "review", "fail"]
    reasons: list[Reason] = Field(description="Failures first, then in the order of the policy.")


class LeastSize(Answer):
    """The least that a policy asks of a size, in pixels; null is no limit."""

    fail: int | None = Field(description="Below it an image fails.")
    review: int | None = Field(description="Below it an image is to be looked at.")
    message: str


class PolicyLimit(Answer):
    """A limit of a policy for what a model says or for the exposure, in [0, 1]; null is no limit."""

    measure: Literal["score", "dimension", "adjective", "exposure"]
    model: str | None = Field(
        description="Null for the model whose score is the answer's, and for exposure, which needs no model."
    )
    dimension: Dimension | None
    adjective: str | None
    exposure: ExposureMeasure | None = Field(default=None, description="Which measure of `facts.exposure`.")
    bad: Literal["below", "above"] = Field(
        description="On which side of the limits an image does not pass: above, for negative adjectives, and "
        "as the policy says for exposure."
    )
    fail: Unit | None
    review: Unit | None
    message: str


class LoadedPolicy(Answer):
    """A policy that can be asked for."""

    name: str
    built_in: bool
    description: str | None
    origin: str | None = Field(description="Where the limits come from.")
    models: list[str] = Field(description="Without which it cannot be applied.")
    weights: dict[str, str] = Field(
        description="By model, the name or SHA-256 of the weights that the limits were found with."
    )
    side: LeastSize | None = Field(description="Of the shorter side.")
    pixels: LeastSize | None = Field(description="Of the whole image.")
    limits: list[PolicyLimit]
    warnings: list[str] = Field(description="Why its verdicts should be read with care: `code: sentence`.")


class PoliciesAnswer(Answer):
    """The answer to GET /policies."""

    policies: list[LoadedPolicy]
