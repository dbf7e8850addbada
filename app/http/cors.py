"""Cross-origin requests: which pages' scripts may ask the service from a browser. Off unless set."""

from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.errors import MalformedRequest

_METHODS: Final = ("GET", "HEAD", "POST")
_ALLOWED: Final = ("Authorization", "X-API-Key", "X-Request-ID", "X-Timeout-Ms", "Content-Type")
_EXPOSED: Final = ("X-Request-ID", "X-Cache", "Server-Timing", "Retry-After", "Content-Disposition")


class Cors(CORSMiddleware):
    """Starlette's, without credentials: keys are sent by scripts, and never by the browser on its own.

    Args:
        origins: as browsers name them, or ``*``.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_ALLOWED,
            expose_headers=_EXPOSED,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks beforehand.

        Raises:
            MalformedRequest: it asks for what is not allowed.
        """
        response = super().preflight_response(request_headers)
        if response.status_code >= 400:
            refused = MalformedRequest("Pages of this origin may not send such requests here.")
            refused.headers["Vary"] = response.headers["vary"]
            raise refused
        return response
