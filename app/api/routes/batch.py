"""POST /score/batch: many images in one request, a line of the answer for each as it is done."""

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from app.api import replies
from app.api.dependencies import ROOM, Asked, AskedOfOneDep, RecordDep, ServiceDep
from app.api.many import ManyImages, Window, failed_file, form_of_many
from app.api.openapi import BODY_PROBLEMS, QUESTION_PROBLEMS, WORK_PROBLEMS, by_address, problems
from app.errors import InternalError, ServiceError
from app.http.middleware import Record
from app.http.request_body import RefusedFile
from app.schemas.addresses import BatchAddresses
from app.scoring.service import Service
from app.scoring.uploads import Upload

router = APIRouter(tags=["quality"])

NDJSON: Final = "application/x-ndjson"

_log = logging.getLogger("iqa.service")


@router.post(
    "/score/batch",
    response_class=Response,
    summary="How good many images look",
    responses={
        200: {
            "description": "A line of JSON per image, in the order in which they are done.",
            "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/BatchLine"}}},
        },
        **problems(*BODY_PROBLEMS, *QUESTION_PROBLEMS, *WORK_PROBLEMS),
    },
    dependencies=[ROOM],
    openapi_extra=form_of_many(1, **by_address(BatchAddresses)),
)
async def score_batch(
    request: Request, service: ServiceDep, record: RecordDep, asked: AskedOfOneDep
) -> Response:
    """Scores many files: send them all in the field `images`, or their addresses as JSON.

    Each line has the file's `index` (from 0, in the order they were sent) and `filename`, and either what
    POST /score answers or a problem. One bad file fails no other. The answer begins when all files have
    arrived; scoring, when the first has.
    """
    with contextlib.ExitStack() as stack:
        account = stack.enter_context(service.intake.account())
        lines = _Lines(service, asked, record)
        images = ManyImages(service, record, account, lines.line)
        stack.callback(images.cancel)
        await images.read(request, service.settings.max_files, fetching_for=asked.asker)
        lines.window.body_arrived()
        stack.pop_all()  # from here on the lines hold it
    return StreamingResponse(lines.answer(images, request), media_type=NDJSON)


class _Lines:
    """The lines of one answer.

    Args:
        service: scores the images.
        asked: about each of them.
        record: of the request.
    """

    def __init__(self, service: Service, asked: Asked, record: Record) -> None:
        self._service = service
        self._record = record
        self.window = Window(service, replace(asked, asker=replace(asked.asker, bulk=True)))
        self._failed = 0

    async def answer(self, images: ManyImages[bytes], request: Request) -> AsyncIterator[bytes]:
        """The lines, each as soon as there is one."""
        try:
            async with contextlib.aclosing(images.results(request)) as results:
                async for line in results:
                    yield line
        finally:
            self._record.fields |= {"failed": self._failed}

    async def line(self, index: int, file: Upload | RefusedFile) -> bytes:
        """What came of an image."""
        try:
            if isinstance(file, RefusedFile):
                raise file.error
            async with self.window:
                record = Record(self._record.request_id)
                reply = await replies.reply_to_score(self._service, file, self.window.asked, record)
        except ServiceError as error:
            return self._failure(index, file.filename, error)
        except Exception:
            _log.exception("request %s met a fault of ours", self._record.request_id)
            return self._failure(index, file.filename, InternalError())
        self._service.metrics.batch_files.labels("scored").inc()
        place = _dumped({"index": index, "filename": file.filename})
        return place[:-1] + b"," + reply.body[1:] + b"\n"

    def _failure(self, index: int, filename: str | None, error: ServiceError) -> bytes:
        self._failed += 1
        return _dumped(failed_file(self._service, self._record, index, filename, error)) + b"\n"


def _dumped(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
