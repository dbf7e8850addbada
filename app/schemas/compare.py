"""The answer to POST /compare."""

from typing import Literal

from pydantic import Field

from app.schemas.common import (
    CLEANNESS_NAMES,
    Answer,
    Batch,
    DimensionName,
    Dimensions,
    ImageSize,
    TimingMs,
    Unit,
)
from app.schemas.policies import Verdict
from app.schemas.score import ModelAnswer, UntimedScore
from models.grades import Grade
from models.vocabulary import Polarity


class AdjectiveDifference(Answer):
    """Distorted minus reference, for one adjective."""

    adjective: str = Field(description="The word.")
    dimension: DimensionName = Field(description="That it belongs to.")
    polarity: Polarity = Field(description="Whether it is a good or a bad word.")
    similarity: float = Field(description="Difference of the cosines.")
    probability: float = Field(description="Difference of the probabilities.")


class DimensionDifferences(Answer):
    """Distorted minus reference, in [-1, 1]; negative where the distorted image is worse."""

    sharpness: float = Field(description="Difference in sharpness.")
    brightness: float = Field(description="Difference in brightness.")
    colorfulness: float = Field(description="Difference in colorfulness.")
    contrast: float = Field(description="Difference in contrast.")
    cleanness: float = Field(description="Difference in cleanness.", validation_alias=CLEANNESS_NAMES)
    overall: float = Field(description="Difference in overall.")


class Differences(Answer):
    """Distorted minus reference, by the no-reference model named in `model`."""

    model: str = Field(description="The no-reference model that scored both.")
    score: float = Field(description="Difference of the scores; negative where the distorted image is worse.")
    dimensions: DimensionDifferences | None = Field(description="Null where the model has no adjectives.")
    adjectives: list[AdjectiveDifference] = Field(description="All 40; none where the model has none.")


class ContentDisplacement(Answer):
    """Where the reference's content is found in the distorted image."""

    x: float = Field(description="Pixels to the right, in the middle of the image.")
    y: float = Field(description="Pixels down, in the middle of the image.")
    scale: float = Field(description="Of the content; 1 where only a shift was found.")


class DifferenceMap(Answer):
    """Where the images differ, as the full-reference model saw them: a cell is 16 pixels wide and high."""

    width: int = Field(ge=1, description="Cells in a row.")
    height: int = Field(ge=1, description="Rows.")
    values: list[list[Unit]] = Field(
        description="Rows from the top, cells from the left. Each is the root mean square distance of the "
        "colors in Oklab: 0 is identical, 0.02 is just noticed side by side, 1 is black and white."
    )
    noticeable: Unit = Field(description="Share of the cells with a distance of at least 0.02.")


class SignalMeasures(Answer):
    """How far the samples are apart, on the compared pixels before any scaling for the models."""

    psnr_db: float | None = Field(description="Over RGB; null for identical pixels.")
    ssim: float = Field(description="On luma, with a Gaussian window of 11x11.")
    ms_ssim: float | None = Field(
        default=None,
        description="Multi-scale SSIM, on luma; null where it was not asked for, or a side has fewer than "
        "161 pixels.",
    )
    haarpsi: float | None = Field(default=None, description="Null where it was not asked for.")
    vsi: float | None = Field(default=None, description="Null where it was not asked for.")
    mdsi: float | None = Field(
        default=None, description="0 is identical, higher is worse; null where it was not asked for."
    )
    cvvdp: float | None = Field(
        default=None,
        description="ColorVideoVDP in JOD, 10 is identical; always null here: `iqa compare` has it.",
    )
    displacement: ContentDisplacement | None = Field(
        default=None,
        description="Null where the images lie on each other, or where too little can be told. Found up to "
        "24 pixels.",
    )


class UntimedCompare(Answer):
    """The result of a comparison."""

    score: Unit = Field(description="Full-reference BPCLIP: 1 is indistinguishable from the reference.")
    grade: Grade | None = Field(
        default=None,
        description="How visible the distortion is, in the words of ITU-R BT.500, by the weights' steps; "
        "null where these have none.",
    )
    model: Literal["bpclip"] = Field(description="The full-reference model.")
    dimensions: Dimensions | None = Field(description="Of the pair, by that model.")
    models: dict[str, ModelAnswer] = Field(description="`bpclip`: the full-reference model on the pair.")
    reference: UntimedScore
    distorted: UntimedScore
    differences: Differences
    signal: SignalMeasures
    difference_map: DifferenceMap | None = Field(default=None, description="Null where it was not asked for.")
    resized_from: ImageSize | None = Field(
        description="The distorted image's own size, where `resize=reference` changed it before comparing."
    )
    warnings: list[str] = Field(description="Why the comparison should be read with care: `code: sentence`.")
    verdict: Verdict | None = Field(default=None, description="Null where no policy was asked for.")
    batch: Batch


class CompareAnswer(UntimedCompare):
    """The answer to POST /compare."""

    timing_ms: TimingMs
