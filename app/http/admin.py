"""Probes and metrics on a port of their own, from a thread of their own: clients cannot hold them up."""

import asyncio
import socket
import threading
from functools import partial
from typing import Final, cast

import uvicorn
from prometheus_client import Counter
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.connections import Connection
from app.http.door import ConnectionLimits, Door

_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
_LIMITS: Final = ConnectionLimits(most=64, head_s=5.0, body_s=5.0, answer_s=5.0)


class AdminPort:
    """The port of one HTTP process; several processes share the socket.

    Args:
        app: answers ``/livez``, ``/readyz`` and ``/metrics``; no other path reaches it.
        listener: bound.
        refused: counter of connections that were closed for a limit.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket, refused: Counter) -> None:
        door = Door(_LIMITS, refused)
        config = uvicorn.Config(
            partial(_answer, app),
            http=cast("type[asyncio.Protocol]", partial(Connection, door)),
            interface="asgi3",
            ws="none",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
        )
        server = uvicorn.Server(config)
        # A daemon: it answers to the end of the process.
        self._thread = threading.Thread(target=server.run, args=([listener],), name="admin", daemon=True)

    def open(self) -> None:
        self._thread.start()


async def _answer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] in _PATHS:
        await app(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
