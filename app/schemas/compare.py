"""The answer to POST /compare."""

from typing import Literal

from pydantic import Field

from app.schemas.common import Answer, Batch, Dimensions, ImageSize, TimingMs, Unit
from app.schemas.score import ModelAnswer, UntimedScore
from models.vocabulary import Dimension, Polarity


class AdjectiveDifference(Answer):
    """Distorted minus reference, for one adjective."""

    adjective: str
    dimension: Dimension
    polarity: Polarity
    similarity: float
    probability: float


class DimensionDifferences(Answer):
    """Distorted minus reference, in [-1, 1]; negative where the distorted image is worse."""

    sharpness: float
    brightness: float
    colorfulness: float
    contrast: float
    noisiness: float
    overall: float


class Differences(Answer):
    """Distorted minus reference, by the no-reference model named in `model`."""

    model: str
    score: float
    dimensions: DimensionDifferences | None = Field(description="Null where the model has no adjectives.")
    adjectives: list[AdjectiveDifference] = Field(description="All 40; none where the model has none.")


class SignalMeasures(Answer):
    """How far the samples are apart, on the compared pixels before any scaling for the models."""

    psnr_db: float | None = Field(description="Over RGB; null for identical pixels.")
    ssim: float = Field(description="On luma, with a Gaussian window of 11x11.")


class UntimedCompare(Answer):
    """The result of a comparison."""

    score: Unit = Field(description="Full-reference BPCLIP: 1 is indistinguishable from the reference.")
    model: Literal["bpclip"]
    dimensions: Dimensions | None
    models: dict[str, ModelAnswer] = Field(description="`bpclip`: the full-reference model on the pair.")
    reference: UntimedScore
    distorted: UntimedScore
    differences: Differences
    signal: SignalMeasures
    resized_from: ImageSize | None = Field(
        description="The distorted image's own size, where `resize=reference` changed it before comparing."
    )
    warnings: list[str]
    batch: Batch


class CompareAnswer(UntimedCompare):
    """The answer to POST /compare."""

    timing_ms: TimingMs
