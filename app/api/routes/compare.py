"""POST /compare and /compare/map: a distorted image against its reference, in numbers and as a picture."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from app import errors
from app.api import replies
from app.api.asked_of_pairs import AskedOfPairDep
from app.api.by_address import read_pair_or_fetch
from app.api.dependencies import (
    ROOM,
    AskedOfNoModelDep,
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
)
from app.schemas.addresses import PairAddresses
from app.schemas.compare import CompareAnswer
from app.schemas.compare_summary import CompareSummary

router = APIRouter(tags=["quality"])

_PAIR = {
    "requestBody": {
        "required": True,
        "content": multipart("reference", "distorted") | by_address(PairAddresses),
    }
}
_ResizeQuery = Annotated[
    Literal["none", "reference"],
    Query(description="`reference` brings the distorted image to the reference's size; `none` refuses."),
]


@router.post(
    "/compare",
    response_model=CompareAnswer | CompareSummary,
    summary="How close a distorted image comes to its reference",
    responses={
        200: cached(),
        **problems(*BODY_PROBLEMS, *IMAGE_PROBLEMS, errors.SizeMismatch, *QUESTION_PROBLEMS, *WORK_PROBLEMS),
    },
    dependencies=[ROOM],
    openapi_extra=_PAIR,
)
async def compare_images(
    request: Request,
    service: ServiceDep,
    record: RecordDep,
    asked: AskedOfPairDep,
    resize: _ResizeQuery = "none",
) -> Response:
    """Compares a pair with the full-reference model, and scores both images with the no-reference ones.

    `models` chooses the no-reference models; the full-reference one always answers. Where the server's
    settings name their hosts, JSON with addresses does as well as a form.
    """
    with service.intake.account() as account:
        reference, distorted = await read_pair_or_fetch(request, service, account, asked.asker)
        record.fields["bytes"] = reference.size + distorted.size
        work = replies.reply_to_compare(service, reference, distorted, resize == "reference", asked, record)
        reply = await while_connected(request, work)
    return replies.json_response(reply)


@router.post(
    "/compare/map",
    response_class=Response,
    summary="Where a distorted image differs from its reference",
    responses={
        200: {
            "description": "The differences over the grayed distorted image: yellow is strong, blue is none.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            **cached(),
        },
        **problems(
            *BODY_PROBLEMS, *IMAGE_PROBLEMS, errors.SizeMismatch, errors.InvalidParameter, *WORK_PROBLEMS
        ),
    },
    dependencies=[ROOM],
    openapi_extra=_PAIR,
)
async def compare_map(
    request: Request,
    service: ServiceDep,
    record: RecordDep,
    asked: AskedOfNoModelDep,
    resize: _ResizeQuery = "none",
) -> Response:
    """The differences of a pair as a heat map over the distorted image, in PNG.

    The picture has the size at which the full-reference model sees the pair; `difference_map` of
    POST /compare has the numbers behind it. The same color is the same difference in every picture.
    """
    with service.intake.account() as account:
        reference, distorted = await read_pair_or_fetch(request, service, account, asked.asker)
        record.fields["bytes"] = reference.size + distorted.size
        work = replies.reply_with_difference_map(
            service, reference, distorted, resize == "reference", asked, record
        )
        reply = await while_connected(request, work)
    return replies.response(reply, "image/png")
