"""The answer to POST /score."""

from pydantic import Field

from app.schemas.common import Answer, Batch, Cosine, Dimensions, ImageSize, TimingMs, Unit, WeightsUsed
from app.schemas.policies import Verdict
from models.vocabulary import Dimension, Polarity


class AdjectiveResult(Answer):
    """How well an adjective describes the image."""

    adjective: str
    dimension: Dimension | None = Field(description="Null for words that were asked for beyond the 40.")
    polarity: Polarity | None = Field(description="Null for words that were asked for beyond the 40.")
    similarity: Cosine = Field(
        description="Cosine of image and word; for BPCLIP the mean over its four levels."
    )
    probability: Unit | None = Field(description="Softmax over the antonym pair; null for words without one.")


class PromptPair(Answer):
    """One of QualiCLIP's antonym pairs of prompts."""

    positive: str
    negative: str
    probability: Unit = Field(description="Of the positive prompt.")


class ModelAnswer(Answer):
    """What one model says."""

    score: Unit = Field(description="Higher is better.")
    dimensions: Dimensions | None = Field(description="Null of a model that has no adjectives.")
    adjectives: list[AdjectiveResult] = Field(
        description="All 40 in the order of the table, then the words that were asked for; empty of a model "
        "that has none."
    )
    prompt_pairs: list[PromptPair] = Field(description="Empty for BPCLIP, which has none.")
    scored: ImageSize = Field(description="The size that this model really saw.")
    weights: WeightsUsed


class DecodedImage(Answer):
    """What was decoded, the provenance of the measurement; width and height are the upright image's."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)
    format: str
    bytes: int = Field(ge=1)
    sha256: str = Field(description="Of the file.")
    frames: int = Field(ge=1, description="The first is scored.")
    orientation_applied: bool
    color_converted: bool = Field(description="Whether an embedded ICC profile was converted to sRGB.")


class Exposure(Answer):
    """How bright the picture is and how much of it is clipped; measured on decoded pixels, without a model.

    Luminance is linear (sRGB transfer curve undone, weights of ITU-R BT.709): 0 is black, 1 is white.
    """

    mean_luminance: Unit = Field(description="Mean of luminance; of most photographs 0.1 to 0.5.")
    p99_luminance: Unit = Field(
        description="99th percentile of luminance: how bright the brightest parts are."
    )
    clipped_shadows: Unit = Field(description="Share of pixels with a channel of at most 2 of 255.")
    clipped_highlights: Unit = Field(description="Share of pixels with a channel of at least 253 of 255.")


class Facts(Answer):
    """What is measured on the picture without a model."""

    exposure: Exposure


class QualityMap(Answer):
    """Local quality on the stride-32 grid of the size that the answer's model scored; higher is better."""

    width: int = Field(ge=1, description="Cells in a row.")
    height: int = Field(ge=1, description="Rows.")
    values: list[list[Unit]] = Field(
        description="Rows from the top, cells from the left. Their mean need not be the score."
    )


class UntimedScore(Answer):
    """The no-reference result of an image."""

    score: Unit = Field(description="Of the model named in `model`. Higher is better.")
    model: str
    dimensions: Dimensions | None = Field(description="Of that model; null where it has no adjectives.")
    models: dict[str, ModelAnswer]
    image: DecodedImage
    facts: Facts | None = Field(
        default=None, description="Always given; null only in answers of earlier versions of the service."
    )
    warnings: list[str] = Field(description="Why the score should be read with care: `code: sentence`.")
    verdict: Verdict | None = Field(default=None, description="Null where no policy was asked for.")
    quality_map: QualityMap | None = None
    batch: Batch


class ScoreAnswer(UntimedScore):
    """The answer to POST /score."""

    timing_ms: TimingMs
