"""Errors, and the answer of a probe."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.common import Answer


class Health(Answer):
    """The answer of a probe."""

    status: Literal["ok"] = Field(default="ok", description="Always `ok`; otherwise a problem is answered.")


class ProblemDetails(BaseModel):
    """An error, by RFC 9457. Some problems carry fields of their own beside these."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="`/problems/` and the slug, after a proxy's prefix; the path serves its explanation."
    )
    title: str = Field(description="The kind of problem, in a few words.")
    status: int = Field(description="As of the answer.", ge=400, le=599)
    detail: str = Field(description="What is wrong here, and what to do.")
    request_id: str = Field(description="Finds the request in the log.")
