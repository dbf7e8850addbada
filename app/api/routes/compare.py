"""POST /compare: a distorted image against its reference."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from app import errors
from app.api import replies
from app.api.dependencies import ROOM, AskedDep, RecordDep, ServiceDep, while_connected
from app.api.openapi import (
    BODY_PROBLEMS,
    IMAGE_PROBLEMS,
    QUESTION_PROBLEMS,
    WORK_PROBLEMS,
    cached,
    multipart,
    problems,
)
from app.http.request_body import BodyBounds, read_files
from app.schemas.compare import CompareAnswer

router = APIRouter(tags=["quality"])


@router.post(
    "/compare",
    response_model=CompareAnswer,
    summary="How close a distorted image comes to its reference",
    responses={
        200: cached(),
        **problems(*BODY_PROBLEMS, *IMAGE_PROBLEMS, errors.SizeMismatch, *QUESTION_PROBLEMS, *WORK_PROBLEMS),
    },
    dependencies=[ROOM],
    openapi_extra={"requestBody": {"required": True, "content": multipart("reference", "distorted")}},
)
async def compare_images(
    request: Request,
    service: ServiceDep,
    record: RecordDep,
    asked: AskedDep,
    resize: Annotated[
        Literal["none", "reference"],
        Query(description="`reference` brings the distorted image to the reference's size; `none` refuses."),
    ] = "none",
) -> Response:
    """Compares a pair with the full-reference model, and scores both images with the no-reference ones.

    `models` chooses the no-reference models; the full-reference one always answers.
    """
    with service.intake.account() as account:
        files = await read_files(
            request, ("reference", "distorted"), BodyBounds.of(service.settings), account
        )
        record.fields["bytes"] = sum(file.size for file in files.values())
        work = replies.reply_to_compare(
            service, files["reference"], files["distorted"], resize == "reference", asked, record
        )
        reply = await while_connected(request, work)
    return replies.json_response(reply)
