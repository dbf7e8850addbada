"""POST /score/batch: many images in one request, a line of the answer for each as it is done."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from app.api import replies
from app.api.dependencies import ROOM, Asked, AskedOfOneDep, RecordDep, ServiceDep, disconnected
from app.api.openapi import BODY_PROBLEMS, QUESTION_PROBLEMS, WORK_PROBLEMS, problems
from app.errors import InternalError, ServiceError
from app.http.middleware import Record
from app.http.request_body import BodyBounds, RefusedFile, read_batch
from app.scoring.service import Service
from app.scoring.uploads import Account, Upload

router = APIRouter(tags=["quality"])

NDJSON: Final = "application/x-ndjson"
FIELD: Final = "images"
TIMES_A_FILE: Final = 8
"""How many times the largest file all files of a request may have together."""

_AHEAD_BYTES: Final = 64 * 2**20
"""A client that sends faster than images are scored must wait when so much of its request is held."""

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
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            FIELD: {
                                "type": "array",
                                "items": {"type": "string", "format": "binary"},
                                "minItems": 1,
                            }
                        },
                        "required": [FIELD],
                        "additionalProperties": False,
                    }
                }
            },
        }
    },
)
async def score_batch(
    request: Request, service: ServiceDep, record: RecordDep, asked: AskedOfOneDep
) -> Response:
    """Scores many files: send them all in the field `images`.

    Each line has the file's `index` (from 0, in the order they were sent) and `filename`, and either what
    POST /score answers or a problem. One bad file fails no other. The answer begins when all files have
    arrived; scoring, when the first has.
    """
    with contextlib.ExitStack() as stack:
        account = stack.enter_context(service.intake.account())
        batch = _Batch(service, asked, record, account)
        stack.callback(batch.cancel)
        await batch.read(request)
        stack.pop_all()  # from here on the lines hold it
    return StreamingResponse(batch.lines(request), media_type=NDJSON)


class _Batch:
    """The images of one request.

    Args:
        service: scores them.
        asked: about each of them.
        record: of the request.
        account: of the bytes that are held; closed with the last line.
    """

    def __init__(self, service: Service, asked: Asked, record: Record, account: Account) -> None:
        self._service = service
        self._asked = asked
        self._record = record
        self._account = account
        self._tasks: set[asyncio.Task[bytes]] = set()
        # One request is not to fill the queue for all others, nor to find it filled by itself.
        self._window = asyncio.Semaphore(service.batch_window())
        self._images = self._failed = 0

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def read(self, request: Request) -> None:
        """Reads the body, and begins with each image as it is complete.

        Raises:
            ServiceError: about the body as a whole; nothing is answered then but this.
            ClientGone: there is no client to answer.
        """
        settings = self._service.settings
        reading = BodyBounds.of(settings)
        most_bytes = TIMES_A_FILE * settings.max_body_bytes
        files = read_batch(request, FIELD, settings.max_files, most_bytes, reading, self._account)
        async with contextlib.aclosing(files):
            async for file in files:
                self._tasks.add(asyncio.create_task(self._line(self._images, file)))
                self._images += 1
                while self._account.held_bytes > _AHEAD_BYTES and (pending := self._pending()):
                    await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        self._record.fields |= {"images": self._images}

    async def lines(self, request: Request) -> AsyncIterator[bytes]:
        """The lines of the answer, each as soon as there is one. The body must have been read."""
        leaving = asyncio.create_task(disconnected(request))
        try:
            while self._tasks:
                done, _ = await asyncio.wait({*self._tasks, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if leaving in done:
                    return
                for task in [task for task in self._tasks if task in done]:
                    self._tasks.discard(task)
                    yield task.result()
        finally:
            self._record.fields |= {"failed": self._failed}
            unfinished = [leaving, *self._tasks]
            for each in unfinished:
                each.cancel()
            self._account.close()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _pending(self) -> set["asyncio.Task[bytes]"]:
        return {task for task in self._tasks if not task.done()}

    async def _line(self, index: int, file: Upload | RefusedFile) -> bytes:
        place: dict[str, Any] = {"index": index, "filename": file.filename}
        try:
            if isinstance(file, RefusedFile):
                raise file.error
            async with self._window:
                record = Record(self._record.request_id)
                reply = await replies.reply_to_score(self._service, file, self._asked, record)
        except ServiceError as error:
            return self._failure(place, error)
        except Exception:
            _log.exception("request %s met a fault of ours", self._record.request_id)
            return self._failure(place, InternalError())
        self._service.metrics.batch_files.labels("scored").inc()
        return _dumped(place)[:-1] + b"," + reply.body[1:] + b"\n"

    def _failure(self, place: dict[str, Any], error: ServiceError) -> bytes:
        self._failed += 1
        self._service.metrics.batch_files.labels("failed").inc()
        self._service.metrics.observe_problem(error.status, error.slug)
        problem = error.body(self._record.request_id)
        if "Retry-After" in error.headers:
            problem["retry_after"] = int(error.headers["Retry-After"])
        return _dumped({**place, **problem}) + b"\n"


def _dumped(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
