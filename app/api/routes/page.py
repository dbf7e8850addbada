"""GET /: the page for people, and the files that it is made of. It uses the HTTP interface, as clients do."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Final

from fastapi import APIRouter, Header
from fastapi.responses import HTMLResponse
from starlette.responses import JSONResponse, Response

from app.api.dependencies import ServiceDep
from app.api.openapi import problems
from app.api.routes import RouteAccess
from app.errors import NotFound
from app.http.security_headers import CONTENT_POLICY, content_policy
from app.schemas.columns import columns

router = APIRouter(tags=["service"])
ACCESS: Final[RouteAccess] = "open"

_PAGE: Final = "index.html"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "jpg": "image/jpeg",
    "txt": "text/plain; charset=utf-8",
}
# Photographs are shown from the browser's own memory (blob:); nothing comes from, or goes to, another host.
_POLICY: Final = content_policy(script="'self'", style="'self'", img="'self' blob:", connect="'self'")

_PACKED: Final = frozenset({"jpg"})  # types that gzip makes no smaller

KnownTags = Annotated[str | None, Header(alias="If-None-Match", include_in_schema=False)]
Encodings = Annotated[str | None, Header(alias="Accept-Encoding", include_in_schema=False)]


@dataclass(frozen=True)
class File:
    """A file of the page. Its tag changes with its content, and is weak: it stands for both encodings."""

    content: bytes
    zipped: bytes | None
    media_type: str
    tag: str


@router.get(
    "/",
    response_class=HTMLResponse,
    summary="The page for people",
    responses={304: {"description": "It is still as the ETag in If-None-Match says."}, **problems()},
)
async def show_page(if_none_match: KnownTags = None, accept_encoding: Encodings = None) -> Response:
    """A page to score and compare images with a browser."""
    response = _answer(_files()[_PAGE], if_none_match, accept_encoding)
    response.headers[CONTENT_POLICY] = _POLICY
    return response


@router.get("/web/columns.json", include_in_schema=False)
async def page_columns(service: ServiceDep) -> Response:
    """The columns of the page's exports, as ``iqa score --out`` writes them too."""
    found = columns(tuple(service.settings.models))
    return JSONResponse([{"name": each.name, "kind": each.kind, "path": each.path} for each in found])


@router.get("/web/{path:path}", include_in_schema=False)
async def page_file(
    path: str, if_none_match: KnownTags = None, accept_encoding: Encodings = None
) -> Response:
    """A file of the page, by its path below ``app/web``."""
    file = _files().get(path)
    if file is None or path == _PAGE:
        raise NotFound("No route has this path.")
    return _answer(file, if_none_match, accept_encoding)


def _answer(file: File, known: str | None, encodings: str | None) -> Response:
    # Kept, but asked for again each time: an update of the service takes effect with the next visit.
    headers = {"ETag": f"W/{file.tag}", "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    tags = {tag.strip().removeprefix("W/") for tag in (known or "").split(",")}
    if tags & {file.tag, "*"}:
        return Response(status_code=304, headers=headers)
    if file.zipped is not None and _takes_gzip(encodings or ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.zipped, media_type=file.media_type, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _takes_gzip(encodings: str) -> bool:
    """Whether an Accept-Encoding names gzip, and not with the weight zero (RFC 9110, section 12.5.3)."""
    for encoding in encodings.lower().split(","):
        name, _, weight = encoding.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


@cache
def _files() -> dict[str, File]:
    """Every file of the page by its path, read once. Paths are looked up here, so no other file is served."""
    found = {}
    for path, entry in _entries(files("app").joinpath("web")):
        kind = entry.name.rpartition(".")[2]
        if kind in _TYPES:
            content = entry.read_bytes()
            zipped = None if kind in _PACKED else gzip.compress(content, mtime=0)
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path] = File(content, zipped, _TYPES[kind], tag)
    return found


def _entries(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    """The files of a folder and of those in it, each with its path below the first."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _entries(entry, f"{above}{entry.name}/")
        else:
            yield above + entry.name, entry
