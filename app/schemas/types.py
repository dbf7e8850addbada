"""What crosses the wire, as pydantic models; the OpenAPI document and the answers are made from them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from app.schemas.exposure import ExposureMeasure
from models.calibration import Calibration
from models.faults import FaultName
from models.vocabulary import Dimension, Polarity

Unit = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]  # rounding may step over one
Milliseconds = Annotated[float, Field(ge=0)]


class Answer(BaseModel):
    """Base of all answers: fields are written once and known in full."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dimensions(Answer):
    """Mean probability of each dimension's good words, in [0, 1]; higher is better."""

    sharpness: Unit
    brightness: Unit
    colorfulness: Unit
    contrast: Unit
    noisiness: Unit = Field(description="1 is free of noise.")
    overall: Unit


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


class Size(Answer):
    """In pixels."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)


class WeightsUsed(Answer):
    """The weights that a result comes from."""

    name: str
    sha256: str
    license: str


class ModelAnswer(Answer):
    """What one model says."""

    score: Unit = Field(description="Higher is better.")
    dimensions: Dimensions
    adjectives: list[AdjectiveResult] = Field(
        min_length=40, description="All 40 in the order of the table, then the words that were asked for."
    )
    prompt_pairs: list[PromptPair] = Field(description="Empty for BPCLIP, which has none.")
    scored: Size = Field(description="The size that this model really saw.")
    weights: WeightsUsed


class Image(Answer):
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


class TimingMs(Answer):
    """Where the time went, in milliseconds."""

    decode: Milliseconds
    queue: Milliseconds = Field(description="Waiting, for decoding and for the device.")
    inference: Milliseconds
    total: Milliseconds


class Batch(Answer):
    """The batch that the request was computed in; a score does not depend on it."""

    images: int = Field(ge=1, description="Requests in the batch.")


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


class UntimedScore(Answer):
    """The no-reference result of an image."""

    score: Unit = Field(description="Of the model named in `model`. Higher is better.")
    model: str
    dimensions: Dimensions
    models: dict[str, ModelAnswer]
    image: Image
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
    dimensions: DimensionDifferences
    adjectives: list[AdjectiveDifference] = Field(min_length=40, max_length=40)


class SignalMeasures(Answer):
    """How far the samples are apart, on the compared pixels before any scaling for the models."""

    psnr_db: float | None = Field(description="Over RGB; null for identical pixels.")
    ssim: float = Field(description="On luma, with a Gaussian window of 11x11.")


class UntimedCompare(Answer):
    """The result of a comparison."""

    score: Unit = Field(description="Full-reference BPCLIP: 1 is indistinguishable from the reference.")
    model: Literal["bpclip"]
    dimensions: Dimensions
    models: dict[str, ModelAnswer] = Field(description="`bpclip`: the full-reference model on the pair.")
    reference: UntimedScore
    distorted: UntimedScore
    differences: Differences
    signal: SignalMeasures
    resized_from: Size | None = Field(
        description="The distorted image's own size, where `resize=reference` changed it before comparing."
    )
    warnings: list[str]
    batch: Batch


class CompareAnswer(UntimedCompare):
    """The answer to POST /compare."""

    timing_ms: TimingMs


class LoadedModel(Answer):
    """A loaded model and its weights."""

    name: str
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


class Limits(Answer):
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

    models: list[LoadedModel]
    limits: Limits
    adjectives: dict[Dimension, list[AdjectivePair]]
    faults: list[KnownFault]


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


class Health(Answer):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


class Problem(BaseModel):
    """An error, by RFC 9457. Some problems carry fields of their own beside these."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`/problems/` and the slug; the path serves its explanation.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    request_id: str


class _Line(BaseModel):
    """What every line of a batch begins with."""

    index: int = Field(ge=0, description="Of the file, in the order they were sent.")
    filename: str | None = Field(description="That the client gave it; null where it gave none.")


class BatchScore(ScoreAnswer, _Line):
    """The line of an image that was scored."""


class BatchProblem(Problem, _Line):
    """The line of an image that could not be scored."""

    retry_after: int | None = Field(
        default=None, ge=1, description="Seconds to wait; only where it may be sent again."
    )


class BatchLine(RootModel[BatchScore | BatchProblem]):
    """A line of the answer to POST /score/batch. A problem has a `type`, a score has none."""
