"""The answer to GET /models."""

from typing import Literal

from pydantic import Field

from app.schemas.common import Answer, DimensionName, WeightsUsed
from models.calibration import Calibration
from models.faults import FaultName
from models.grades import GradeSteps


class DescribedModel(Answer):
    """A loaded model and its weights."""

    name: str = Field(description="By which it is asked for.")
    title: str = Field(default="", description="For people; empty from servers older than this field.")
    kind: Literal["no-reference", "full-reference"] = Field(
        description="Whether it scores single images or compares pairs."
    )
    weights: WeightsUsed
    source: str = Field(description="Where the weights come from.")
    training_data: str = Field(description="What they were trained on.")
    device: str = Field(description="It runs on, for example `cpu`.")
    dtype: str = Field(description="Precision of inference.")
    parameters: int = Field(description="Number of them.")
    longest_side: int | None = Field(
        description="What larger images are scaled down to; null is native size."
    )
    validated_sides: tuple[int, int] = Field(
        description="Shortest and longest side of the validation images."
    )
    text_encoder: bool = Field(description="Whether words beyond the 40 can be compared.")
    temperature: float = Field(
        description="What cosines are multiplied by before the softmax over a pair of adjectives."
    )
    accuracy: dict[str, float] = Field(description="As measured on these weights, or published with them.")
    calibration: Calibration | None = Field(
        default=None,
        description="What scores and adjectives of these weights amount to; null where it was not measured.",
    )
    grades: GradeSteps | None = Field(
        default=None,
        description="Of the full-reference model: from which score on a distortion has which grade.",
    )


class ServiceLimits(Answer):
    """What an image may measure, and how it is brought down."""

    max_body_bytes: int = Field(description="Of a file.")
    max_pixels: int = Field(description="Of a decoded image.")
    max_side: int = Field(description="Longest side of an image, in pixels.")
    min_side: int = Field(description="Shortest side of an image, in pixels.")
    max_scored_pixels: int = Field(
        description="What larger images are scaled down to before a model sees them."
    )
    formats: list[str] = Field(description="Names of the image formats that are read.")
    suffixes: list[str] = Field(
        default=[], description="Of image files, in lower case; empty from servers older than this field."
    )
    max_files: int | None = Field(
        default=None, description="Of a request with many images; null from servers older than this field."
    )
    max_files_bytes: int | None = Field(
        default=None, description="Of all files of such a request; null from servers older than this field."
    )


class AdjectivePair(Answer):
    """An antonym pair, the good word first."""

    positive: str = Field(description="The good word.")
    negative: str = Field(description="Its antonym.")


class KnownFault(Answer):
    """A fault that can be named, where the calibration of a model has thresholds for it."""

    name: FaultName = Field(description="As in `faults` of an answer.")
    dimension: DimensionName = Field(description="That it belongs to.")
    adjectives: list[str] = Field(
        min_length=1, description="Their mean probability is the strength that the thresholds are for."
    )
    slight: str = Field(description="The phrase for it where its strength exceeds `slight` only.")
    strong: str = Field(description="The phrase for it where its strength exceeds `strong`.")


class DecoderSandbox(Answer):
    """What the kernel of the server enforces on the processes that decode images."""

    landlock: int = Field(
        ge=0,
        description="Version of Landlock that denies them files and networks; 0 where the kernel has none.",
    )
    seccomp: bool = Field(description="Whether they may make only the system calls of a list.")


class ModelsAnswer(Answer):
    """The answer to GET /models."""

    models: list[DescribedModel] = Field(description="All that are loaded.")
    limits: ServiceLimits
    adjectives: dict[DimensionName, list[AdjectivePair]] = Field(
        description="The 40 adjectives, by dimension."
    )
    faults: list[KnownFault] = Field(description="All that can be named.")
    sandbox: DecoderSandbox | None = Field(
        default=None,
        description="Null until a decoder has started, and from servers older than this field.",
    )
