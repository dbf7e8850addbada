"""POST /score: one image, no reference. Its two companions are documented, and built in a later version."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app import errors
from app.api.answers import score_answer
from app.api.dependencies import ROOM, AskedDep, RecordDep, ServiceDep, while_connected
from app.api.documentation import multipart, problems, raw_image
from app.api.schemas import ScoreAnswer
from app.body import read_image

router = APIRouter(tags=["quality"])

BODY_PROBLEMS = (errors.MalformedRequest, errors.BodyTimeout, errors.BodyTooLarge)
IMAGE_PROBLEMS = (
    errors.UnsupportedMediaType,
    errors.InvalidImage,
    errors.ImageTooLarge,
    errors.ImageTooSmall,
)
QUESTION_PROBLEMS = (errors.InvalidParameter, errors.UnknownModel, errors.TextEncoderMissing)
WORK_PROBLEMS = (
    errors.Overloaded,
    errors.PoisonInput,
    errors.Starting,
    errors.Draining,
    errors.WorkerUnavailable,
    errors.DeadlineExceeded,
)


@router.post(
    "/score",
    response_model=ScoreAnswer,
    summary="How good an image looks",
    responses=problems(
        *BODY_PROBLEMS, *IMAGE_PROBLEMS, *QUESTION_PROBLEMS, errors.FeatureNotImplemented, *WORK_PROBLEMS
    ),
    dependencies=[ROOM],
    openapi_extra={"requestBody": {"required": True, "content": multipart("image") | raw_image()}},
)
async def score(
    request: Request,
    service: ServiceDep,
    record: RecordDep,
    asked: AskedDep,
    quality_map: Annotated[bool, Query(description="Whether local quality is wanted too.")] = False,
) -> Response:
    """Scores one image with the no-reference models.

    Send multipart/form-data with the file field `image`, or the bytes of the image as the body; the content
    decides about the format, not the label. Scores are in [0, 1], higher is better.
    """
    if quality_map:
        raise errors.FeatureNotImplemented("This version has no quality map yet.")
    data = await read_image(request, service.settings.max_body_bytes, service.settings.body_timeout_s)
    record.fields["bytes"] = len(data)
    prepared, done, timing = await while_connected(request, service.score(data, asked.from_now()))
    record.fields |= {
        "width": prepared.provenance.width,
        "height": prepared.provenance.height,
        "batch": done.batch_images,
    }
    answer = score_answer(prepared, done, timing, service.loaded(), asked.models, asked.words, record)
    return Response(answer.model_dump_json(), media_type="application/json")


@router.post(
    "/score/map",
    response_class=Response,
    summary="Where an image looks good (not in this version)",
    responses=problems(errors.FeatureNotImplemented),
    openapi_extra={"requestBody": {"required": True, "content": multipart("image") | raw_image()}},
)
async def score_map() -> Response:
    """Local quality as a heat map over the image, in PNG."""
    raise errors.FeatureNotImplemented("This version has no quality map yet.")


@router.post(
    "/score/batch",
    response_class=Response,
    summary="Many images, a line each (not in this version)",
    responses=problems(errors.FeatureNotImplemented),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "images": {"type": "array", "items": {"type": "string", "format": "binary"}}
                        },
                        "required": ["images"],
                    }
                }
            },
        }
    },
)
async def score_batch() -> Response:
    """Scores many files and streams a line of JSON for each as it is done."""
    raise errors.FeatureNotImplemented("This version does not take several images in one request yet.")
