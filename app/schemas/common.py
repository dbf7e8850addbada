"""What crosses the wire, as pydantic models: the parts that several answers share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

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


def values_of(dimensions: Dimensions | None) -> dict[str, float]:
    """By name; none where there are none."""
    return {} if dimensions is None else dimensions.model_dump()


class ImageSize(Answer):
    """In pixels."""

    width: int = Field(ge=1)
    height: int = Field(ge=1)


class WeightsUsed(Answer):
    """The weights that a result comes from."""

    name: str
    sha256: str
    license: str


class TimingMs(Answer):
    """Where the time went, in milliseconds."""

    decode: Milliseconds
    queue: Milliseconds = Field(description="Waiting, for decoding and for the device.")
    inference: Milliseconds
    total: Milliseconds


class Batch(Answer):
    """The batch that the request was computed in; a score does not depend on it."""

    images: int = Field(ge=1, description="Requests in the batch.")
