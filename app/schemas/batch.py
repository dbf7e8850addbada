"""The lines of the answer to POST /score/batch."""

from pydantic import BaseModel, Field, RootModel

from app.schemas.problems import ProblemDetails
from app.schemas.score import ScoreAnswer
from app.schemas.summary import ScoreSummary


class _Line(BaseModel):
    """What every line of a batch begins with."""

    index: int = Field(ge=0, description="Of the file, in the order they were sent.")
    filename: str | None = Field(description="That the client gave it; null where it gave none.")


class BatchScore(ScoreAnswer, _Line):
    """The line of an image that was scored."""


class BatchSummary(ScoreSummary, _Line):
    """The line of an image that was scored, with `detail=summary`."""


class BatchProblem(ProblemDetails, _Line):
    """The line of an image that could not be scored."""

    retry_after: int | None = Field(
        default=None, ge=1, description="Seconds to wait; only where it may be sent again."
    )


class BatchLine(RootModel[BatchScore | BatchSummary | BatchProblem]):
    """A line of the answer to POST /score/batch. A problem has a `type`, a score has none."""
