"""From files to the JSON of their answers, through the cache of results."""

import base64
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from fastapi import Response
from pydantic import BaseModel

from app.api.dependencies import Asked
from app.http.middleware import Record
from app.picking.look import LumaThumb
from app.policies import Policy, with_pair_verdict, with_verdict
from app.schemas.common import TimingMs
from app.schemas.compare import UntimedCompare
from app.schemas.compare_summary import UntimedCompareSummary
from app.schemas.policies import Verdict
from app.schemas.score import UntimedScore
from app.schemas.summary import UntimedSummary
from app.scoring.answers import compare_answer, score_answer
from app.scoring.cache import CachedOutcome
from app.scoring.picks import AnsweredImage
from app.scoring.requests import Question, weights
from app.scoring.service import Service
from app.scoring.timed import Rendered, ScoredUpload, Timing
from app.scoring.uploads import Upload
from models.registry import FULL_REFERENCE

CACHE_HEADER: Final = "X-Cache"

_NO_TIME: Final = Timing(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Reply:
    """An answer to one caller, and whether it had to be computed for that."""

    body: bytes
    outcome: CachedOutcome


async def reply_to_score(service: Service, upload: Upload, asked: Asked, record: Record) -> Reply:
    """The answer to POST /score about a file.

    Raises:
        ServiceError: why there is none.
    """
    question = asked.from_now()

    async def work() -> Rendered:
        scored = await service.score(upload, question)
        done = scored.done
        answer = score_answer(scored.prepared, done.results, done.batch_images, question, service.loaded())
        return _rendered(answer.model_dump_json().encode(), scored)

    rendered, outcome = await _remembered(service, "score", question, work, record, (upload,))
    body = rendered.body
    if asked.policy is not None or asked.brief:
        # Worked out each time: what is remembered serves every policy, in full and in short.
        answer = UntimedScore.model_validate_json(body)
        if asked.policy is not None:
            answer = _judged(answer, asked.policy, service, record)
        body = (UntimedSummary.of(answer) if asked.brief else answer).model_dump_json().encode()
    return Reply(_with_timing(body, record), outcome)


class _Remembered(BaseModel):
    """An image that was scored for POST /pick, as it is kept among the results."""

    answer: UntimedScore
    shape: tuple[int, int]
    luma: bytes

    @classmethod
    def of(cls, seen: AnsweredImage) -> Self:
        luma = seen.look.luma
        return cls(
            answer=seen.answer, shape=(luma.shape[0], luma.shape[1]), luma=base64.b64encode(luma.tobytes())
        )

    @property
    def seen(self) -> AnsweredImage:
        luma = np.frombuffer(base64.b64decode(self.luma), np.uint8).reshape(self.shape)
        return AnsweredImage(self.answer, LumaThumb(luma))


async def see_image(service: Service, upload: Upload, asked: Asked, record: Record) -> AnsweredImage:
    """What POST /pick must know of a file.

    Raises:
        ServiceError: why there is nothing.
    """
    question = replace(asked.from_now(), look=True)

    async def work() -> Rendered:
        scored = await service.score(upload, question)
        done, look = scored.done, scored.prepared.look
        assert look is not None, "the question wants it"
        answer = score_answer(scored.prepared, done.results, done.batch_images, question, service.loaded())
        return _rendered(_Remembered.of(AnsweredImage(answer, look)).model_dump_json().encode(), scored)

    rendered, _ = await _remembered(service, "pick", question, work, record, (upload,))
    return _Remembered.model_validate_json(rendered.body).seen


async def reply_with_heat_map(service: Service, upload: Upload, asked: Asked, record: Record) -> Reply:
    """The answer to POST /score/map about a file: a PNG.

    Raises:
        ServiceError: why there is none.
    """
    question = replace(asked, quality_map=True).from_now()

    async def work() -> Rendered:
        scored, picture = await service.map(upload, question)
        return _rendered(picture, scored)

    rendered, outcome = await _remembered(service, "map", question, work, record, (upload,))
    return Reply(rendered.body, outcome)


async def reply_to_compare(
    service: Service, reference: Upload, distorted: Upload, resize: bool, asked: Asked, record: Record
) -> Reply:
    """The answer to POST /compare about two files.

    Raises:
        ServiceError: why there is none; its field ``field`` names the file at fault, if one is.
    """
    question = asked.from_now()

    async def work() -> Rendered:
        pair, done, timing = await service.compare(reference, distorted, resize, question)
        answer = compare_answer(pair, done.results, done.batch_images, question, service.loaded())
        provenance = pair.reference.provenance
        body = answer.model_dump_json().encode()
        return Rendered(body, provenance.width, provenance.height, done.batch_images, timing)

    kind = "compare resized" if resize else "compare"
    rendered, outcome = await _remembered(service, kind, question, work, record, (reference, distorted))
    body = rendered.body
    if asked.policy is not None or asked.brief:
        answer = UntimedCompare.model_validate_json(body)
        if asked.policy is not None:
            answer = with_pair_verdict(asked.policy, answer)
            _count(answer.verdict, service, record)
        body = (UntimedCompareSummary.of(answer) if asked.brief else answer).model_dump_json().encode()
    return Reply(_with_timing(body, record), outcome)


async def reply_with_difference_map(
    service: Service, reference: Upload, distorted: Upload, resize: bool, asked: Asked, record: Record
) -> Reply:
    """The answer to POST /compare/map about two files: a PNG.

    Raises:
        ServiceError: as of :func:`reply_to_compare`.
    """
    question = replace(asked, models=(), difference_map=True).from_now()

    async def work() -> Rendered:
        pair, picture, timing = await service.map_differences(reference, distorted, resize, question)
        provenance = pair.reference.provenance
        return Rendered(picture, provenance.width, provenance.height, 0, timing)

    kind = "difference map resized" if resize else "difference map"
    rendered, outcome = await _remembered(service, kind, question, work, record, (reference, distorted))
    return Reply(rendered.body, outcome)


def json_response(reply: Reply) -> Response:
    """The HTTP answer of a reply that is JSON."""
    return response(reply, "application/json")


def response(reply: Reply, media_type: str) -> Response:
    """The HTTP answer of a reply."""
    return Response(reply.body, media_type=media_type, headers={CACHE_HEADER: reply.outcome})


def _rendered(body: bytes, scored: ScoredUpload) -> Rendered:
    provenance = scored.prepared.provenance
    return Rendered(body, provenance.width, provenance.height, scored.done.batch_images, scored.timing)


async def _remembered(
    service: Service,
    kind: str,
    question: Question,
    work: Callable[[], Coroutine[Any, Any, Rendered]],
    record: Record,
    files: Sequence[Upload],
) -> tuple[Rendered, CachedOutcome]:
    """The answer of this kind to a question about files."""
    names = (*question.models, FULL_REFERENCE)  # of which every state has one, compared or not
    key = (
        kind,
        tuple((file.sha256, file.size) for file in files),
        question.words,
        question.quality_map,
        question.embedding,
        question.detail,
        question.difference_map,
        question.measures,
        weights(names, service.loaded()),
        service.pool.precisions,  # any of the devices may have computed it
    )
    try:
        rendered, outcome = await service.results.get(key, question.deadline, work)
    finally:
        for file in files:
            file.release()
    service.metrics.cache.labels(outcome).inc()
    timing = _NO_TIME if outcome == "hit" else rendered.timing
    record.timing_ms |= {"decode": timing.decode, "queue": timing.queue, "inference": timing.inference}
    record.fields |= {
        "width": rendered.width,
        "height": rendered.height,
        "batch": rendered.batch,
        "cache": outcome,
    }
    return rendered, outcome


def _judged(answer: UntimedScore, policy: Policy, service: Service, record: Record) -> UntimedScore:
    answer = with_verdict(policy, answer)
    _count(answer.verdict, service, record)
    return answer


def _count(verdict: Verdict | None, service: Service, record: Record) -> None:
    assert verdict is not None
    service.metrics.verdicts.labels(verdict.policy, verdict.outcome).inc()
    record.fields |= {"policy": verdict.policy, "verdict": verdict.outcome}


def _with_timing(body: bytes, record: Record) -> bytes:
    """The answer with what its request took, which is never remembered."""
    parts = {name: round(record.timing_ms[name], 2) for name in ("decode", "queue", "inference")}
    spent = TimingMs(**parts, total=round(record.elapsed_ms(), 2))
    return body[:-1] + b',"timing_ms":' + spent.model_dump_json().encode() + b"}"
