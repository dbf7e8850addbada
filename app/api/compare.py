"""POST /compare: a distorted image against its reference."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from app import errors
from app.api.answers import compare_answer
from app.api.dependencies import ROOM, AskedDep, RecordDep, ServiceDep, while_connected
from app.api.documentation import multipart, problems
from app.api.schemas import CompareAnswer
from app.api.score import BODY_PROBLEMS, IMAGE_PROBLEMS, QUESTION_PROBLEMS, WORK_PROBLEMS
from app.body import read_files

router = APIRouter(tags=["quality"])


@router.post(
    "/compare",
    response_model=CompareAnswer,
    summary="How close a distorted image comes to its reference",
    responses=problems(
        *BODY_PROBLEMS, *IMAGE_PROBLEMS, errors.SizeMismatch, *QUESTION_PROBLEMS, *WORK_PROBLEMS
    ),
    dependencies=[ROOM],
    openapi_extra={"requestBody": {"required": True, "content": multipart("reference", "distorted")}},
)
async def compare(
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
    settings = service.settings
    files = await read_files(
        request, ("reference", "distorted"), settings.max_body_bytes, settings.body_timeout_s
    )
    record.fields["bytes"] = sum(map(len, files.values()))
    pair, done, timing = await while_connected(
        request,
        service.compare(files["reference"], files["distorted"], resize == "reference", asked.from_now()),
    )
    record.fields |= {
        "width": pair.reference.provenance.width,
        "height": pair.reference.provenance.height,
        "batch": done.batch_images,
    }
    answer = compare_answer(pair, done, timing, service.loaded(), asked.models, asked.words, record)
    return Response(answer.model_dump_json(), media_type="application/json")
