"""What crosses the wire, as pydantic models: the parts that several answers share."""

from typing import Annotated, Final

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from models.vocabulary import FORMER_DIMENSIONS, Dimension

Unit = Annotated[float, Field(ge=0, le=1)]
Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]  # rounding may step over one
Milliseconds = Annotated[float, Field(ge=0)]


def _of_today(name: object) -> object:
    return FORMER_DIMENSIONS.get(name, name) if isinstance(name, str) else name


DimensionName = Annotated[Dimension, BeforeValidator(_of_today)]
"""A dimension; a name that earlier versions had is read as that of today."""

CLEANNESS_NAMES: Final = AliasChoices("cleanness", "noisiness")
"""The field of that dimension, also in answers of earlier servers."""


class Answer(BaseModel):
    """Base of all answers: fields are written once and known in full."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Dimensions(Answer):
    """Mean probability of each dimension's good words, in [0, 1]; higher is better."""

    sharpness: Unit = Field(description="1 is sharp.")
    brightness: Unit = Field(description="1 is neither too dark nor too bright.")
    colorfulness: Unit = Field(description="1 is colorful and natural.")
    contrast: Unit = Field(description="1 has good contrast.")
    cleanness: Unit = Field(validation_alias=CLEANNESS_NAMES, description="1 is free of noise.")
    overall: Unit = Field(description="1 has no fault of another kind.")


def values_of(dimensions: Dimensions | None) -> dict[str, float]:
    """By name; none where there are none."""
    return {} if dimensions is None else dimensions.model_dump()


class ImageSize(Answer):
    """In pixels."""

    width: int = Field(description="In pixels.", ge=1)
    height: int = Field(description="In pixels.", ge=1)


class WeightsUsed(Answer):
    """The weights that a result comes from."""

    name: str = Field(description="Of the weights, for example `bpclip-compact`.")
    sha256: str = Field(description="Of the weights file, in hexadecimal.")
    license: str = Field(description="Of the weights; the code has its own.")


class TimingMs(Answer):
    """Where the time went, in milliseconds."""

    decode: Milliseconds = Field(description="Decoding and scaling.")
    queue: Milliseconds = Field(description="Waiting, for decoding and for the device.")
    inference: Milliseconds = Field(description="In the batch on the device.")
    total: Milliseconds = Field(description="From the first byte of the request to the answer.")


class Batch(Answer):
    """The batch that the request was computed in; a score does not depend on it."""

    images: int = Field(ge=1, description="Requests in the batch.")
