"""GET /: the page for people, and the files that it is made of. It uses the HTTP interface, as clients do."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Final

from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from app.api.openapi import problems
from app.api.routes import RouteAccess
from app.errors import NotFound
from app.http.security_headers import CONTENT_POLICY, content_policy

router = APIRouter(tags=["service"])
ACCESS: Final[RouteAccess] = "open"

_PAGE: Final = "index.html"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Photographs are shown from the browser's own memory (blob:); nothing comes from, or goes to, another host.
_POLICY: Final = content_policy(script="'self'", style="'self'", img="'self' blob:", connect="'self'")

KnownTags = Annotated[str | None, Header(alias="If-None-Match", include_in_schema=False)]


@dataclass(frozen=True)
class File:
    """A file of the page; its tag changes with its content."""

    content: bytes
    media_type: str
    tag: str


@router.get(
    "/",
    response_class=HTMLResponse,
    summary="The page for people",
    responses={304: {"description": "It is still as the ETag in If-None-Match says."}, **problems()},
)
async def show_page(if_none_match: KnownTags = None) -> Response:
    """A page to score and compare images with a browser."""
    response = _answer(_files()[_PAGE], if_none_match)
    response.headers[CONTENT_POLICY] = _POLICY
    return response


@router.get("/web/{name}", include_in_schema=False)
async def page_file(name: str, if_none_match: KnownTags = None) -> Response:
    """A file of the page."""
    file = _files().get(name)
    if file is None or name == _PAGE:
        raise NotFound("No route has this path.")
    return _answer(file, if_none_match)


def _answer(file: File, known: str | None) -> Response:
    # Kept, but asked for again each time: an update of the service takes effect with the next visit.
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    tags = {tag.strip().removeprefix("W/") for tag in (known or "").split(",")}
    if tags & {file.tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


@cache
def _files() -> dict[str, File]:
    """Every file of the page by its name, read once; no other file is served."""
    found = {}
    for entry in files("app").joinpath("web").iterdir():
        media_type = _TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None:
            content = entry.read_bytes()
            found[entry.name] = File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found
