"""The answer to POST /pick: groups of near duplicates, and the image of each to keep."""

from typing import Literal

from pydantic import Field

from app.schemas.batch import BatchProblem
from app.schemas.common import Answer, Unit
from app.schemas.score import NamedFault
from app.schemas.summary import ImageSummary
from models.calibration import Reading

Advantage = Literal[
    "pixels", "sharpness", "cleanness", "compression", "exposure", "faults", "score", "detail", "none"
]
"""What speaks for the image that is kept, against one of its group."""


class PickedImage(Answer):
    """An image that was scored, and its place among the groups."""

    index: int = Field(ge=0, description="Of the file, in the order they were sent.")
    filename: str | None = Field(description="That the client gave it; null where it gave none.")
    group: int = Field(ge=0, description="Its group, counted from 0.")
    keep: bool = Field(description="Whether it is the one of its group to keep.")
    advantage: Advantage | None = Field(
        description="What speaks for the image that is kept against this one: `pixels`, `sharpness`, "
        "`cleanness` (less noise), `compression`, `exposure`, `faults`, `score`, `detail` (this one was "
        "enlarged), or `none` where they are equal. Null of the image that is kept."
    )
    score: Unit = Field(description="Of the model named in the answer. Higher is better.")
    reading: Reading | None = Field(description="The score in a word; null of uncalibrated weights.")
    summary: str = Field(description="What stands out, one sentence.")
    faults: list[NamedFault] = Field(description="As POST /score answers them.")
    image: ImageSummary


class PickGroup(Answer):
    """Images that show the same: copies, crops, edits, or frames of a burst."""

    keep: int = Field(ge=0, description="Index of the image to keep.")
    images: list[int] = Field(
        description="Indexes of all images of the group, that to keep included; one of an image that has no "
        "near duplicate."
    )
    reason: str = Field(description="Why that image, one sentence.")


class PickAnswer(Answer):
    """The answer to POST /pick."""

    model: str = Field(description="Whose scores these are.")
    groups: list[PickGroup] = Field(
        description="In the order of their first image; each image that was scored is in one."
    )
    images: list[PickedImage | BatchProblem] = Field(
        description="In the order they were sent. A problem has a `type`, and is in no group."
    )
