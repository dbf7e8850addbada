"""The pages that show the OpenAPI document, and the document itself."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, JSONResponse, Response

from app.api.dependencies import RecordDep
from app.api.openapi import below_prefix
from app.api.routes import RouteAccess
from app.errors import NotFound
from app.http.security_headers import CONTENT_POLICY, content_policy, inline

router = APIRouter(include_in_schema=False)
ACCESS: Final[RouteAccess] = "open"

_SWAGGER_UI: Final = Path(str(files("fastapi_offline"))) / "static"
_SWAGGER_FILES: Final = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})
_INLINE_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The interactive page of the interface."""
    page = get_swagger_ui_html(
        # Relative, so that the page works below any prefix, and below /v1.
        openapi_url="openapi.json",
        title=f"{request.app.title}: interface",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )
    scripts = [inline(script) for script in _INLINE_SCRIPT.findall(bytes(page.body).decode())]
    page.headers[CONTENT_POLICY] = content_policy(
        script=" ".join(["'self'", *scripts]),
        # Swagger UI draws with style attributes. Styles can do little harm where nothing can be loaded from
        # elsewhere.
        style="'self' 'unsafe-inline'",
        img="'self' data: blob:",  # in its stylesheet; and pictures that were answered
        connect="'self'",
    )
    return page


@router.get("/docs/{name}")
async def docs_file(name: str) -> Response:
    """A file of the interactive page; from here, since the service works without a network."""
    if name not in _SWAGGER_FILES:
        raise NotFound("No route has this path.")
    return FileResponse(_SWAGGER_UI / name)


@router.get("/openapi.json")
async def openapi(request: Request, record: RecordDep) -> Response:
    """The OpenAPI document."""
    return JSONResponse(below_prefix(request.app.openapi(), record.prefix))
