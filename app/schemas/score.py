"""The answer to POST /score."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.schemas import display
from app.schemas.columns import BETWEEN_TEXTS, columns
from app.schemas.common import (
    CLEANNESS_NAMES,
    Answer,
    Batch,
    Cosine,
    DimensionName,
    Dimensions,
    ImageSize,
    TimingMs,
    Unit,
    WeightsUsed,
)
from app.schemas.measured.facts import CaptureTime, ChromaSubsampling
from app.schemas.policies import Verdict
from models.calibration import Reading
from models.faults import FaultName, Region
from models.vocabulary import Polarity

Percentile = Annotated[float, Field(ge=0, le=100)]


class AdjectiveResult(Answer):
    """How well an adjective describes the image."""

    adjective: str = Field(description="The word.")
    dimension: DimensionName | None = Field(description="Null for words that were asked for beyond the 40.")
    polarity: Polarity | None = Field(description="Null for words that were asked for beyond the 40.")
    similarity: Cosine = Field(
        description="Cosine of image and word; for BPCLIP the mean over its four levels."
    )
    probability: Unit | None = Field(description="Softmax over the antonym pair; null for words without one.")


class PromptPair(Answer):
    """One of QualiCLIP's antonym pairs of prompts."""

    positive: str = Field(description="The prompt for a good image.")
    negative: str = Field(description="The prompt for a bad one.")
    probability: Unit = Field(description="Of the positive prompt.")


class NamedFault(Answer):
    """A fault that the image has."""

    fault: FaultName = Field(description="Name of the fault.")
    severity: Literal["slight", "strong"] = Field(
        description="`strong` exceeds the threshold from which people object."
    )
    confidence: Unit = Field(description="Mean probability of the adjectives that tell this fault.")
    region: Region = Field(
        default="whole", description="The part of the image that has it; `whole` where it has no local cause."
    )
    message: str = Field(
        description="For people, for example `slightly noisy` or `the right half is slightly noisy`."
    )


class Confidence(Answer):
    """How far the score can be relied on."""

    level: Literal["high", "low"] = Field(description="`low` where there is a reason to doubt the score.")
    reasons: list[str] = Field(description="Why it is low: `code: sentence`; empty where it is high.")


class ModelAnswer(Answer):
    """What one model says."""

    score: Unit = Field(description="Higher is better.")
    reading: Reading | None = Field(
        default=None,
        description="The score in a word, by the calibration of the weights; not above `fair` with a strong "
        "fault. Null only from servers older than this field.",
    )
    percentile: Percentile | None = Field(
        default=None,
        description="Of a hundred real photographs, how many score lower. Comparable between models. Null of "
        "weights without a calibration.",
    )
    summary: str = Field(default="", description="What stands out, one sentence.")
    faults: list[NamedFault] = Field(
        default=[], description="The strong ones first, then by confidence; empty of a clean photograph."
    )
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

    width: int = Field(description="In pixels.", ge=1)
    height: int = Field(description="In pixels.", ge=1)
    format: str = Field(description="Of the file, told by its content.")
    bytes: int = Field(description="Size of the file.", ge=1)
    sha256: str = Field(description="Of the file.")
    frames: int = Field(ge=1, description="The first is scored.")
    orientation_applied: bool = Field(
        description="Whether the image was turned or mirrored as its metadata says."
    )
    color_converted: bool = Field(description="Whether the colors were converted to sRGB.")
    color_space: str = Field(
        default="sRGB (assumed)",
        description="Of the file, and in parentheses what named it: ICC, cICP, nclx, sRGB chunk, gAMA/cHRM "
        "or EXIF; `assumed` where nothing did.",
    )
    dynamic_range: Literal["sdr", "pq", "hlg"] = Field(
        default="sdr", description="PQ and HLG images are converted with their reference white as white."
    )
    monochrome: bool = Field(
        default=False, description="Shades of gray or of one tint; limits of color do not apply to it."
    )
    photograph: bool = Field(
        default=True, description="False for screenshots, documents, charts, drawings and renderings."
    )


class Exposure(Answer):
    """How bright the picture is and how much of it is clipped; measured on decoded pixels, without a model.

    Luminance is linear (sRGB transfer curve undone, weights of ITU-R BT.709): 0 is black, 1 is white.
    """

    mean_luminance: Unit = Field(description="Mean of luminance; of most photographs 0.1 to 0.5.")
    p99_luminance: Unit = Field(
        description="99th percentile of luminance: how bright the brightest parts are."
    )
    clipped_shadows: Unit = Field(description="Share of pixels with a channel of at most 2 of 255.")
    clipped_highlights: Unit = Field(
        description="Share of pixels with a channel of at least 253 of 255, not counting the pure white "
        "around a cut-out."
    )


class Facts(Answer):
    """What is measured on the picture without a model."""

    exposure: Exposure
    monochrome: bool = Field(default=False, description="Whether it has shades of gray or of one tint only.")
    jpeg_quality: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Setting of libjpeg whose quantization tables come closest to the file's. Null of other "
        "formats.",
    )
    chroma_subsampling: ChromaSubsampling | None = Field(
        default=None, description="Of a JPEG file in color: `4:2:0` has a quarter of the color samples."
    )
    entropy: float | None = Field(
        default=None, ge=0, le=8, description="Of luma, in bits: 0 is one tone, 8 all of 256 equally often."
    )
    effective_scale: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the sides at which the image would still show its detail. Below "
        "0.66 it was enlarged, blurred or is out of focus. Null where the file was not decoded at full size, "
        "and below 128 pixels.",
    )
    taken: CaptureTime | None = Field(
        default=None,
        description="When the photograph was taken, by the clock of the camera, in ISO 8601 "
        "without a zone: EXIF `DateTimeOriginal`. Null where the file does not say it.",
    )


class QualityMap(Answer):
    """Local quality on the stride-32 grid of the size that the answer's model scored; higher is better."""

    width: int = Field(ge=1, description="Cells in a row.")
    height: int = Field(ge=1, description="Rows.")
    values: list[list[Unit]] = Field(
        description="Rows from the top, cells from the left. Their mean need not be the score."
    )


class DetailTile(Answer):
    """A part of the image at its native size, and what the answer's model says of it; in pixels."""

    left: int = Field(description="From the left edge of the image, in pixels.", ge=0)
    top: int = Field(description="From the top edge of the image, in pixels.", ge=0)
    width: int = Field(description="In pixels.", ge=1)
    height: int = Field(description="In pixels.", ge=1)
    score: Unit = Field(description="Higher is better.")
    sharpness: Unit | None = Field(description="Null of a model that has no adjectives.")
    cleanness: Unit | None = Field(
        validation_alias=CLEANNESS_NAMES,
        description="1 is no noise; null of a model that has no adjectives.",
    )


class Detail(Answer):
    """The parts of the image with the most gradient energy, at their native size.

    They show blur and noise of a pixel's size, which vanish where a model sees a smaller image. Each value is
    that of the tile which is worst in it.
    """

    model: str = Field(description="That scored the tiles.")
    score: Unit = Field(description="Least score of a tile.")
    sharpness: Unit | None = Field(description="Least sharpness of a tile; null where tiles have none.")
    cleanness: Unit | None = Field(
        validation_alias=CLEANNESS_NAMES,
        description="Least cleanness of a tile, 1 is no noise; null where tiles have none.",
    )
    tiles: list[DetailTile] = Field(
        description="At most three of 384 x 384 px, the one with the most gradient energy first."
    )


class Embedding(Answer):
    """A unit vector that describes the look of the image, for finding near duplicates."""

    model: str = Field(description="Whose it is; vectors of different models or weights are not comparable.")
    dtype: Literal["float32"] = Field(default="float32", description="In which it was computed.")
    length: int = Field(ge=1, description="Number of values.")
    values: list[float] = Field(
        description="To six decimals. The sum of the products of two vectors is their cosine: 1 is alike."
    )


class UntimedScore(Answer):
    """The no-reference result of an image."""

    score: Unit = Field(description="Of the model named in `model`. Higher is better.")
    model: str = Field(description="Whose score, reading, summary and faults these are.")
    reading: Reading | None = Field(
        default=None, description="Of that model; not above `fair` where the policy fails."
    )
    percentile: Percentile | None = Field(default=None, description="Of that model.")
    summary: str = Field(default="", description="Of that model.")
    faults: list[NamedFault] = Field(default=[], description="Of that model.")
    confidence: Confidence | None = Field(
        default=None, description="Null only from servers older than this field."
    )
    dimensions: Dimensions | None = Field(description="Of that model; null where it has no adjectives.")
    models: dict[str, ModelAnswer] = Field(description="By name, what each model says that was asked.")
    image: DecodedImage
    facts: Facts | None = Field(
        default=None, description="Always given; null only in answers of earlier versions of the service."
    )
    warnings: list[str] = Field(description="Why the score should be read with care: `code: sentence`.")
    verdict: Verdict | None = Field(default=None, description="Null where no policy was asked for.")
    quality_map: QualityMap | None = Field(default=None, description="Null where it was not asked for.")
    embedding: Embedding | None = Field(default=None, description="Null where it was not asked for.")
    detail: Detail | None = Field(
        default=None, description="Of the image at its native size; null where it was not asked for."
    )
    batch: Batch

    def __repr__(self) -> str:
        return display.short_line(self)

    def _repr_html_(self) -> str:
        """The card that notebooks show."""
        return display.html_card(self)

    def row(self) -> dict[str, Any]:
        """Flat, for a data frame: ``pandas.DataFrame([answer.row() for answer in answers])``.

        The columns of ``iqa score --out`` but for the file's name and the problem. Several texts stand in one
        value, with `` | `` between them. A model's score is ``NAME_score``.
        """
        fields = self.model_dump(mode="json")
        known = columns(tuple(self.models), detail=self.detail is not None)
        values = {column.name: column.value(fields) for column in known if column.path}
        return {
            name: BETWEEN_TEXTS.join(value) if isinstance(value, list) else value
            for name, value in values.items()
        }


class ScoreAnswer(UntimedScore):
    """The answer to POST /score."""

    timing_ms: TimingMs
