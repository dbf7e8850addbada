"""POST /calibrate: limits of a policy from the scores of one's own photographs."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from fastapi import APIRouter, Request
from pydantic import ValidationError

from app.api.by_address import is_json
from app.api.dependencies import ROOM, AskedOfOneModelDep, RecordDep, ServiceDep, while_connected
from app.api.openapi import BODY_PROBLEMS, QUESTION_PROBLEMS, by_address, problems
from app.errors import (
    Draining,
    FetchFailed,
    FetchNotAllowed,
    InvalidParameter,
    MalformedRequest,
    Overloaded,
    RateLimited,
    Starting,
    TextEncoderMissing,
)
from app.http.request_body import BodyBounds, read_image
from app.policies import (
    MeasuredImage,
    ModelOpinion,
    PoliciesError,
    PolicyTable,
    is_policy_name,
    limit_described,
    to_toml,
)
from app.policies.calibrating import FoundLimits, Promise, candidates, find_limits
from app.policies.found_policy import found_table, sentences, usual_review
from app.schemas.calibrate import (
    CalibrateAnswer,
    CalibrateAsking,
    CalibratedLimit,
    Expected,
    MeasuredPhotograph,
)
from app.schemas.measured.exposure import MeasuredExposure
from app.scoring.service import Service
from models.registry import spec_of
from models.vocabulary import DIMENSIONS

router = APIRouter(tags=["quality"])

_MOST_BYTES: Final = 512 * 1024
"""Of a body: a thousand photographs take some 300 KB."""
_LONGEST_PLACE: Final = 60  # of what a client sent, as far as it is repeated
_FINDING: Final = ThreadPoolExecutor(1, "calibrate")
"""One for all requests, so that however many there are, they take one core: a thousand photographs take it
for a second."""


@router.post(
    "/calibrate",
    response_model=CalibrateAnswer,
    summary="Limits from one's own photographs",
    responses=problems(
        *(each for each in BODY_PROBLEMS if each not in (FetchFailed, FetchNotAllowed)),
        *(each for each in QUESTION_PROBLEMS if each is not TextEncoderMissing),
        *(RateLimited, Overloaded, Starting, Draining),
    ),
    dependencies=[ROOM],
    openapi_extra={"requestBody": {"required": True, "content": by_address(CalibrateAsking)}},
)
async def calibrate_policy_limits(
    request: Request, service: ServiceDep, record: RecordDep, asked: AskedOfOneModelDep
) -> CalibrateAnswer:
    """Finds the limits of a policy from the scores of photographs that are good enough: send JSON with what
    POST /score answered about each, and no image.

    The policy rejects no more of such photographs than the share that is allowed.
    """
    asking = await _asking(request, service)
    (model,) = asked.models
    digests = {card.name: card.sha256 for card in service.loaded().cards}
    _check(asking, model, digests[model])
    record.fields |= {"good": len(asking.good), "bad": len(asking.bad)}
    found = asyncio.get_running_loop().run_in_executor(_FINDING, _answer, asking, model, digests[model])
    try:
        return await while_connected(request, asyncio.wait_for(found, None))
    except PoliciesError as error:
        raise InvalidParameter(str(error), parameter="good") from error


async def _asking(request: Request, service: Service) -> CalibrateAsking:
    """What a request asks.

    Raises:
        MalformedRequest: it is no JSON, or of another form.
        ServiceError, ClientGone: as :func:`read_image`.
    """
    if not is_json(request):
        raise MalformedRequest("Send the scores as JSON, with the Content-Type application/json.")
    with service.intake.account() as account:
        upload = await read_image(request, BodyBounds.of(service.settings), account)
        data = upload.data
        upload.release()
    if len(data) > _MOST_BYTES:
        raise MalformedRequest(
            f"The JSON may have {_MOST_BYTES} bytes; send the scores of fewer photographs."
        )
    try:
        return CalibrateAsking.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:_LONGEST_PLACE]
        at = f" at `{place}`" if place else ""
        raise MalformedRequest(f"The JSON has another form than is taken{at}: {first['msg']}.") from error


def _check(asking: CalibrateAsking, model: str, digest: str) -> None:
    """Rejects what the form alone does not.

    Raises:
        InvalidParameter: of any of the fields.
    """
    if not is_policy_name(asking.name):
        raise InvalidParameter(
            "`name` has 1 to 64 small letters, digits and hyphens, and does not begin with a hyphen.",
            parameter="name",
        )
    if asking.review_at_most is not None and asking.review_at_most <= asking.reject_at_most:
        raise InvalidParameter(
            "`review_at_most` counts those that fail, too: it must exceed `reject_at_most`.",
            parameter="review_at_most",
        )
    if asking.weights not in (None, digest):
        raise InvalidParameter(
            f"The scores are of other weights of {model} than are loaded: score the photographs again.",
            parameter="weights",
        )
    needed = {each for each in DIMENSIONS if each != "overall"} if spec_of(model).adjectives else set()
    for kind, photographs in (("good", asking.good), ("bad", asking.bad)):
        for place, each in enumerate(photographs):
            if missing := sorted(needed - (each.dimensions or {}).keys()):
                raise InvalidParameter(
                    f"`{kind}.{place}.dimensions` lacks {missing[0]}, which {model} has.", parameter=kind
                )


def _answer(asking: CalibrateAsking, model: str, digest: str) -> CalibrateAnswer:
    """The limits.

    Raises:
        PoliciesError: there are too few good photographs, or nothing tells them from others.
    """
    fail = asking.reject_at_most
    found = find_limits(
        _measured(asking.good, model),
        _measured(asking.bad, model),
        candidates(model, adjectives=spec_of(model).adjectives),
        fail_at_most=fail,
        review_at_most=usual_review(fail) if asking.review_at_most is None else asking.review_at_most,
    )
    drawn = any(not each.photograph for each in asking.good)
    return _told(
        asking.name, model, found, found_table(found, {model: digest}, by="POST /calibrate", drawn=drawn)
    )


def _told(name: str, model: str, found: FoundLimits, table: PolicyTable) -> CalibrateAnswer:
    return CalibrateAnswer(
        model=model,
        limits=[
            CalibratedLimit(
                limit=limit_described(each.limit),
                median=each.median,
                good_failed=each.good_failed,
                bad_failed=each.bad_failed,
                nearest=list(each.nearest),
            )
            for each in found.limits
        ],
        left_out=list(found.left_out),
        fail=_expected(found.fail),
        review=_expected(found.review),
        good=list(found.good),
        bad=list(found.bad),
        sentences=list(sentences(found, more="allow a larger share")),
        toml=to_toml(name, table),
    )


def _measured(photographs: Sequence[MeasuredPhotograph], model: str) -> list[MeasuredImage]:
    return [
        MeasuredImage(
            width=1,  # sizes are no limits that are looked for
            height=1,
            model=model,
            opinions={model: _opinion(each)},
            exposure=MeasuredExposure(
                0.0, each.exposure.p99_luminance, 0.0, each.exposure.clipped_highlights
            ),
            monochrome=each.monochrome,
            photograph=each.photograph,
        )
        for each in photographs
    ]


def _opinion(photograph: MeasuredPhotograph) -> ModelOpinion:
    dimensions = photograph.dimensions or {}
    return ModelOpinion(photograph.score, {str(name): value for name, value in dimensions.items()}, {})


def _expected(promise: Promise) -> Expected:
    return Expected(
        expected=promise.expected,
        low=promise.low,
        high=promise.high,
        photographs=promise.photographs,
        kept=promise.kept,
    )
