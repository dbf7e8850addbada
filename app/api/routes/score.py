"""POST /score and /score/map: one image, no reference; the answer in numbers, and as a picture."""

from fastapi import APIRouter, Request, Response

from app.api import replies
from app.api.by_address import read_image_or_fetch
from app.api.dependencies import (
    ROOM,
    AskedDep,
    AskedOfOneDep,
    RecordDep,
    ServiceDep,
    while_connected,
)
from app.api.openapi import (
    BODY_PROBLEMS,
    IMAGE_PROBLEMS,
    QUESTION_PROBLEMS,
    WORK_PROBLEMS,
    by_address,
    cached,
    multipart,
    problems,
    raw_image,
)
from app.schemas.addresses import ImageAddress
from app.schemas.score import ScoreAnswer
from app.schemas.summary import ScoreSummary

router = APIRouter(tags=["quality"])

_PROBLEMS = problems(*BODY_PROBLEMS, *IMAGE_PROBLEMS, *QUESTION_PROBLEMS, *WORK_PROBLEMS)
_IMAGE = {
    "requestBody": {
        "required": True,
        "content": multipart("image") | raw_image() | by_address(ImageAddress),
    }
}


@router.post(
    "/score",
    response_model=ScoreAnswer | ScoreSummary,
    summary="How good an image looks",
    responses={200: cached(), **_PROBLEMS},
    dependencies=[ROOM],
    openapi_extra=_IMAGE,
)
async def score_image(
    request: Request, service: ServiceDep, record: RecordDep, asked: AskedOfOneDep
) -> Response:
    """Scores one image with the no-reference models.

    Send multipart/form-data with the file field `image`, or the bytes of the image as the body; the content
    decides about the format, not the label. Where the server's settings name its host, JSON with the image's
    address does as well: `{"url": "https://..."}`. Options belong in the query, not in the form. Scores are
    in [0, 1], higher is better.
    """
    with service.intake.account() as account:
        upload = await read_image_or_fetch(request, service, account, asked.asker)
        record.fields["bytes"] = upload.size
        reply = await while_connected(request, replies.reply_to_score(service, upload, asked, record))
    return replies.json_response(reply)


@router.post(
    "/score/map",
    response_class=Response,
    summary="Where an image looks good",
    responses={
        200: {
            "description": "The local quality over the grayed image: yellow is bad, blue is good.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            **cached(),
        },
        **_PROBLEMS,
    },
    dependencies=[ROOM],
    openapi_extra=_IMAGE,
)
async def score_map(request: Request, service: ServiceDep, record: RecordDep, asked: AskedDep) -> Response:
    """Local quality as a heat map over the image, in PNG.

    The picture has the size at which the model scored the image; `quality_map` of POST /score has the numbers
    behind it. Of several models the map is of the one whose score is the answer's.
    """
    with service.intake.account() as account:
        upload = await read_image_or_fetch(request, service, account, asked.asker)
        record.fields["bytes"] = upload.size
        reply = await while_connected(request, replies.reply_with_heat_map(service, upload, asked, record))
    return replies.response(reply, "image/png")
