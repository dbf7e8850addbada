"""Many images in one request: read as they arrive, worked on a few at a time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from fastapi import Request

from app.api.by_address import Fetching, is_json, read_json
from app.api.dependencies import Asked, disconnected
from app.errors import DeadlineExceeded, MalformedRequest, ServiceError
from app.http.middleware import Record
from app.http.request_body import BodyBounds, RefusedFile, read_batch
from app.imaging.sandbox.work import Asker
from app.schemas.addresses import BatchAddresses
from app.scoring.service import Service
from app.scoring.uploads import Account, Upload

_T = TypeVar("_T")

FIELD: Final = "images"
TIMES_A_FILE: Final = 8
"""How many times the largest file all files of a request may have together."""

_AHEAD_BYTES: Final = 64 * 2**20
"""A client that sends faster than images are scored must wait when so much of its request is held."""


def form_of_many(least: int, **other_types: Any) -> dict[str, Any]:
    """The request body in OpenAPI: so many files or more in the field, or a body of another type."""
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": least}
    schema = {
        "type": "object",
        "properties": {FIELD: files},
        "required": [FIELD],
        "additionalProperties": False,
    }
    content = {"multipart/form-data": {"schema": schema}, **other_types}
    return {"requestBody": {"required": True, "content": content}}


class ManyImages(Generic[_T]):
    """The images of one request.

    Args:
        service: scores them.
        record: of the request.
        account: of the bytes that are held; closed when all results are there.
        work: called for each image with its index; it raises nothing.
    """

    def __init__(
        self,
        service: Service,
        record: Record,
        account: Account,
        work: Callable[[int, Upload | RefusedFile], Coroutine[Any, Any, _T]],
    ) -> None:
        self._service = service
        self._record = record
        self._account = account
        self._work = work
        self._tasks: set[asyncio.Task[_T]] = set()
        self.count = 0

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def read(self, request: Request, most: int, *, fetching_for: Asker | None = None) -> None:
        """Reads the body, and begins with each image as it is complete.

        Args:
            request: whose body is read.
            most: images that it may have.
            fetching_for: who asks, where the body may be the addresses of images; None where it may not.

        Raises:
            ServiceError: about the body as a whole; nothing is answered then but this.
            ClientGone: there is no client to answer.
        """
        async with contextlib.aclosing(await self._files(request, most, fetching_for)) as files:
            async for file in files:
                self._tasks.add(asyncio.create_task(self._work(self.count, file)))
                self.count += 1
                while self._account.held_bytes > _AHEAD_BYTES and (pending := self._pending()):
                    await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        self._record.fields |= {"images": self.count}

    async def _files(
        self, request: Request, most: int, fetching_for: Asker | None
    ) -> AsyncGenerator[Upload | RefusedFile]:
        """The files that the request brings, or whose addresses it brings."""
        settings = self._service.settings
        reading = BodyBounds.of(settings)
        most_bytes = TIMES_A_FILE * settings.max_body_bytes
        if fetching_for is None or not is_json(request):
            return read_batch(request, FIELD, most, most_bytes, reading, self._account)
        asked = await read_json(request, self._service, self._account, BatchAddresses)
        if len(asked.images) > most:
            raise MalformedRequest(f"`images` names more than {most} images.", max_files=most)
        fetching = Fetching(request, self._account, fetching_for)
        return fetching.batch(asked.images, most_bytes, TIMES_A_FILE * reading.timeout_s)

    async def results(self, request: Request) -> AsyncGenerator[_T]:
        """What came of each image, as soon as it is done; fewer where the client is gone.

        The body must have been read.
        """
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
            unfinished = [leaving, *self._tasks]
            for each in unfinished:
                each.cancel()
            self._account.close()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _pending(self) -> set["asyncio.Task[_T]"]:
        return {task for task in self._tasks if not task.done()}


class Window:
    """The images of a request that are worked on at a time.

    They neither fill the queue for all others nor find it filled by themselves. What images cost is learned
    meanwhile. An image waits for its turn as long as those before it are answered: where none is within the
    time in which work must start, it is dropped. A time that the client named is one for all of them.

    Args:
        service: says how many they are.
        asked: about each of them.
    """

    def __init__(self, service: Service, asked: Asked) -> None:
        self.asked = asked
        self._service = service
        self._inside = 0
        self._answered_at = 0.0
        self._changed = asyncio.Condition()

    def body_arrived(self) -> None:
        """From now on a time that the client named runs."""
        if self.asked.strict:
            self.asked = replace(self.asked, latest=time.monotonic() + self.asked.timeout_s)

    async def __aenter__(self) -> None:
        came = time.monotonic()
        async with self._changed:
            while self._inside >= self._service.batch_window():
                due = min(self.asked.latest, max(came, self._answered_at) + self.asked.timeout_s)
                if time.monotonic() >= due:
                    raise DeadlineExceeded("The images before this one in its request took too long.")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._changed.wait()
            self._inside += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside -= 1
        if not isinstance(error, DeadlineExceeded):
            self._answered_at = time.monotonic()
        async with self._changed:
            self._changed.notify_all()


def failed_file(
    service: Service, record: Record, index: int, filename: str | None, error: ServiceError
) -> dict[str, Any]:
    """The problem of one image of a request, counted."""
    service.metrics.batch_files.labels("failed").inc()
    service.metrics.observe_problem(error.status, error.slug)
    problem = {"index": index, "filename": filename, **error.body(record.request_id, record.prefix)}
    if "Retry-After" in error.headers:
        problem["retry_after"] = int(error.headers["Retry-After"])
    return problem
