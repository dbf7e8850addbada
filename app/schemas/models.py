"""The answer to GET /models."""

from typing import Literal

from pydantic import Field

from app.schemas.common import Answer, WeightsUsed
from models.calibration import Calibration
from models.faults import FaultName
from models.vocabulary import Dimension


class DescribedModel(Answer):
    """A loaded model and its weights."""

    name: str
    title: str = Field(default="", description="For people; empty from servers older than this field.")
    kind: Literal["no-reference", "full-reference"]
    weights: WeightsUsed
    source: str
    training_data: str
    device: str
    dtype: str
    parameters: int
    longest_side: int | None = Field(
        description="What larger images are scaled down to; null is native size."
    )
    validated_sides: tuple[int, int] = Field(
        description="Shortest and longest side of the validation images."
    )
    text_encoder: bool = Field(description="Whether words beyond the 40 can be compared.")
    temperature: float
    accuracy: dict[str, float] = Field(description="As measured on these weights, or published with them.")
    calibration: Calibration | None = Field(
        default=None,
        description="What scores and adjectives of these weights amount to; null where it was not measured.",
    )


class ServiceLimits(Answer):
    """What an image may measure, and how it is brought down."""

    max_body_bytes: int
    max_pixels: int
    max_side: int
    min_side: int
    max_scored_pixels: int
    formats: list[str]
    suffixes: list[str] = Field(
        default=[], description="Of image files, in lower case; empty from servers older than this field."
    )


class AdjectivePair(Answer):
    """An antonym pair, the good word first."""

    positive: str
    negative: str


class KnownFault(Answer):
    """A fault that can be named, where the calibration of a model has thresholds for it."""

    name: FaultName
    dimension: Dimension
    adjectives: list[str] = Field(
        min_length=1, description="Their mean probability is the strength that the thresholds are for."
    )
    slight: str = Field(description="The phrase for it where its strength exceeds `slight` only.")
    strong: str = Field(description="The phrase for it where its strength exceeds `strong`.")


class ModelsAnswer(Answer):
    """The answer to GET /models."""

    models: list[DescribedModel]
    limits: ServiceLimits
    adjectives: dict[Dimension, list[AdjectivePair]]
    faults: list[KnownFault]
