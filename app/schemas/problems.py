"""Errors, and the answer of a probe."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.common import Answer


class Health(Answer):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


class ProblemDetails(BaseModel):
    """An error, by RFC 9457. Some problems carry fields of their own beside these."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`/problems/` and the slug; the path serves its explanation.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    request_id: str
