"""What happens around every request: its id, its headers, its line in the log, its metrics."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import InternalError, ServiceError, Unauthorized
from app.http.prefix import below, prefix_of
from app.http.request_body import ClientGone
from app.http.security_headers import secure
from app.logs import log_fields, request_id
from app.metrics import Metrics
from app.tracing.request_trace import NO_TRACING, NOT_TRACED, Tracing, current_trace

PROBLEM_JSON: Final = "application/problem+json"

_log = logging.getLogger("iqa.access")
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
_CLIENT_GONE: Final = 499  # nginx's number; it is logged and never sent
_MOST_DISCARDED_BYTES: Final = 32 * 2**20
_LONGEST_DISCARD_S: Final = 10.0
_QUIET: Final = frozenset({"/livez", "/readyz", "/metrics"})  # asked every few seconds; logged at debug level


class HasPhase(Protocol):
    """An object that knows whether the process is draining."""

    draining: bool


@dataclass
class Record:
    """One request, as the log and the headers describe it.

    Attributes:
        request_id: taken over from the client, or made.
        prefix: the path below which the client sees the service.
        started: on the clock of ``time.monotonic()``.
        slug: of the problem it was answered with.
        timing_ms: parts of the time it took, by name.
        fields: further ones for the log.
    """

    request_id: str
    prefix: str = ""
    started: float = field(default_factory=time.monotonic)
    slug: str | None = None
    timing_ms: dict[str, float] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    def elapsed_ms(self) -> float:
        return (time.monotonic() - self.started) * 1000


def record_of(request: Request) -> Record:
    """The record of the request that is being answered."""
    record: Record = request.state.record
    return record


def allowed(methods: str) -> str:
    """An ``Allow`` header for what a route says that it takes: GET is never without HEAD."""
    names = {name.strip() for name in methods.split(",") if name.strip()}
    return ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))


def problem(error: ServiceError, record: Record) -> Response:
    """The answer to a failed request."""
    record.slug = error.slug
    return JSONResponse(
        error.body(record.request_id, record.prefix),
        status_code=error.status,
        headers=error.headers,
        media_type=PROBLEM_JSON,
    )


class RequestScope:
    """The outermost layer of the application; plain ASGI: it neither buffers nor hides a disconnect.

    Args:
        app: the layer below.
        metrics: of the process.
        phase: whether it drains.
        root_path: the path below which clients see the service, as the settings say.
        tracing: told of every request but those for probes and metrics.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        phase: HasPhase,
        root_path: str = "",
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._phase = phase
        self._root_path = root_path
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # HEAD is answered as GET is, without the body; uvicorn must see in its own scope that it was HEAD.
        bodiless = scope["method"] == "HEAD"
        path = below(scope["path"], self._root_path)
        inner = {**scope, "path": path, "method": "GET" if bodiless else scope["method"]}
        headers = Headers(scope=scope)
        record = Record(_request_id(headers.get("x-request-id")), prefix_of(headers, self._root_path))
        request_id.set(record.request_id)  # uvicorn runs each request in a context of its own
        traced = NOT_TRACED if _is_quiet(path) else self._tracing.request(headers, scope["method"], path)
        current_trace.set(traced)
        inner["state"] = {**inner.get("state", {}), "record": record}
        body = _Body(receive)
        leaves = headers.get("connection", "").lower() == "close" or scope["http_version"] == "1.0"
        answer = _Answer(send, record, body, lambda: leaves or self._phase.draining, bodiless)
        try:
            await (self._app if path else _to_page)(inner, body, answer)
        except ClientGone:
            answer.status = _CLIENT_GONE
        except Exception as error:
            # Of a layer between this one and the routes; what routes raise has been answered there.
            meant = isinstance(error, ServiceError) and answer.status == 0
            if not meant:
                _log.exception("request %s met a fault of ours", record.request_id)
            if answer.status == 0:
                ours = error if isinstance(error, ServiceError) else InternalError()
                await problem(ours, record)(inner, body, answer)
        finally:
            self._conclude(inner, scope, record, answer.status)

    def _conclude(self, scope: Scope, asked: Scope, record: Record, status: int) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        elapsed_ms = record.elapsed_ms()
        traced = current_trace.get()
        self._metrics.requests.labels(route, str(status), record.slug or "").inc(exemplar=traced.exemplar)
        self._metrics.request_seconds.labels(route).observe(elapsed_ms / 1000, traced.exemplar)
        if traced.header is not None:
            facts = {f"iqa.{name}": value for name, value in record.fields.items() if value is not None}
            facts |= {"http.route": route, "iqa.request_id": record.request_id}
            traced.end(f"{asked['method']} {route}", status, record.slug, facts)
        quiet = _is_quiet(scope["path"])
        if not quiet:
            self._metrics.observe_problem(status, record.slug)
        if record.slug == Unauthorized.slug:
            self._metrics.unauthorized.inc()
        level = logging.DEBUG if quiet else logging.INFO
        if _log.isEnabledFor(level):
            log_fields(
                _log,
                level,
                "request",
                id=record.request_id,
                client=client[0] if (client := scope.get("client")) else None,
                method=asked["method"],
                path=asked["path"],
                status=status or None,
                slug=record.slug,
                **record.fields,
                **{f"{name}_ms": round(value, 1) for name, value in record.timing_ms.items()},
                total_ms=round(elapsed_ms, 1),
            )


def _is_quiet(path: str) -> bool:
    return path.removeprefix("/v1") in _QUIET


async def _to_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request for the prefix alone: links of the page are relative, and need the slash."""
    query = f"?{text}" if (text := scope["query_string"].decode("latin-1")) else ""
    location = f"{scope['state']['record'].prefix}/{query}"
    await Response(status_code=308, headers={"Location": location})(scope, receive, send)


class _Body:
    """The way in: remembers whether the whole body has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._complete = False
        self._asked: float | None = None
        self._size = 0

    async def __call__(self) -> Message:
        if self._asked is None:
            self._asked = time.monotonic()
        message = await self._receive()
        was_complete = self._complete
        self._size += len(message.get("body", b""))
        self._complete = not (message["type"] == "http.request" and message.get("more_body", False))
        if self._complete and self._size and not was_complete:
            gone = None if message["type"] == "http.request" else "client-gone"
            current_trace.get().step("receive", self._asked, time.monotonic(), error=gone, bytes=self._size)
        return message

    async def discard(self) -> None:
        """Reads what has not come yet, up to a limit, and forgets it."""
        left = _MOST_DISCARDED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_DISCARD_S):
                while not self._complete and left > 0:
                    left -= len((await self()).get("body", b""))


class _Answer:
    """The way out: adds the headers that every answer carries, and remembers its status."""

    def __init__(
        self,
        send: Callable[[Message], Awaitable[None]],
        record: Record,
        body: _Body,
        closes: Callable[[], bool],
        bodiless: bool,
    ) -> None:
        self.status = 0
        self._send = send
        self._record = record
        self._body = body
        self._closes = closes
        self._bodiless = bodiless

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._record.request_id
            headers.setdefault("Cache-Control", "no-store")  # only the page's own files may be kept
            secure(headers)
            parts = self._record.timing_ms | {"total": self._record.elapsed_ms()}
            headers["Server-Timing"] = ", ".join(f"{name};dur={value:.1f}" for name, value in parts.items())
            if self._closes():
                headers["Connection"] = "close"  # so that the client's next request goes to another replica
        elif self._bodiless:
            message = {**message, "body": b""}
        if message["type"] == "http.response.body" and self._closes() and not message.get("more_body", False):
            # To close a connection while its client still sends resets it, and the answer is lost with it.
            await self._send({**message, "more_body": True})
            await self._body.discard()
            message = {"type": "http.response.body"}
        await self._send(message)


def _request_id(sent: str | None) -> str:
    return sent if sent is not None and _SANE_ID.fullmatch(sent) else uuid4().hex
