"""The OpenAPI document beyond what FastAPI derives: problems, request bodies, and the pages that show it."""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import FileResponse, JSONResponse, Response

from app.errors import InternalError, NotFound, ServiceError, TemporaryError, Unauthorized
from app.http.middleware import PROBLEM_JSON
from app.http.security_headers import CONTENT_POLICY, content_policy, inline
from app.imaging.formats.registry import FORMATS
from app.schemas.batch import BatchLine
from app.schemas.problems import ProblemDetails

IMAGE_TYPES: Final = tuple(each.mime for each in FORMATS)
_SWAGGER_UI: Final = Path(str(files("fastapi_offline"))) / "static"
_SWAGGER_FILES: Final = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})
_BINARY: Final = {"type": "string", "format": "binary"}
_KEY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
_INLINE_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The interactive page of the interface."""
    base = request.url.path.removesuffix("/docs")
    page = get_swagger_ui_html(
        openapi_url=f"{base}/openapi.json",
        title=f"{request.app.title}: interface",
        swagger_js_url=f"{base}/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{base}/docs/swagger-ui.css",
        swagger_favicon_url=f"{base}/docs/favicon.png",
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
async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())


def problems(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that can fail in these ways, and by a fault of ours."""
    by_status: dict[int, list[type[ServiceError]]] = {}
    possible: tuple[type[ServiceError], ...] = (*errors, InternalError)
    for error in possible:
        by_status.setdefault(error.status, []).append(error)
    return {status: _response(found) for status, found in sorted(by_status.items())}


def multipart(*fields: str) -> dict[str, Any]:
    """The content of a request body with exactly these file fields."""
    schema = {
        "type": "object",
        "properties": dict.fromkeys(fields, _BINARY),
        "required": list(fields),
        "additionalProperties": False,
    }
    return {"multipart/form-data": {"schema": schema}}


def raw_image() -> dict[str, Any]:
    """The content of a request body that is an image itself."""
    return {kind: {"schema": _BINARY} for kind in (*IMAGE_TYPES, "application/octet-stream")}


def cached() -> dict[str, Any]:
    """What the successful answer of a route has beside its content, if it may have been remembered."""
    return {
        "headers": {
            "X-Cache": {
                "description": "Whether the answer was remembered (`hit`), computed (`miss`), or in work for "
                "somebody else already (`joined`).",
                "schema": {"type": "string", "enum": ["hit", "miss", "joined"]},
            }
        }
    }


def document(app: FastAPI, locked: bool, policies: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI document of the application, made once.

    Args:
        app: whose routes are described.
        locked: whether keys are set.
        policies: names of those that can be asked for.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            servers=[{"url": "/"}, {"url": "/v1", "description": "The same routes, for clients that pin."}],
        )
        _drop_validation_errors(document)
        _tell_of_keys(document, locked)
        _tell_of_policies(document, policies)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for schema in (ProblemDetails, BatchLine):
            own = schema.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
            schemas |= own.pop("$defs", {})
            schemas[schema.__name__] = own
        app.openapi_schema = document
    return app.openapi_schema


def _drop_validation_errors(document: dict[str, Any]) -> None:
    """Takes out FastAPI's own form of validation errors, which the server never answers with."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]


def _tell_of_keys(document: dict[str, Any], locked: bool) -> None:
    """Says how a key is sent wherever 401 is answered, and whether there are any."""
    document["components"]["securitySchemes"] = _KEY_SCHEMES
    for operations in document["paths"].values():
        for operation in operations.values():
            if "401" in operation["responses"]:
                operation["security"] = [{name: []} for name in _KEY_SCHEMES] + ([] if locked else [{}])


def _tell_of_policies(document: dict[str, Any], policies: Sequence[str]) -> None:
    """Says wherever a policy can be asked for which there are."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "policy" and policies:
                    parameter["schema"]["enum"] = list(policies)


def _response(errors: list[type[ServiceError]]) -> dict[str, Any]:
    headers = {"X-Request-ID": {"description": "Finds the request in the log.", "schema": {"type": "string"}}}
    if any(issubclass(error, TemporaryError) for error in errors):
        headers["Retry-After"] = {
            "description": "Seconds to wait.",
            "schema": {"type": "integer", "minimum": 1},
        }
    if Unauthorized in errors:
        headers["WWW-Authenticate"] = {
            "description": "How to send a key, and whether a wrong one came.",
            "schema": {"type": "string"},
        }
    return {
        "description": "; ".join(f"`{error.slug}`: {error.title}" for error in errors),
        "headers": headers,
        "content": {
            PROBLEM_JSON: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {
                    error.slug: {"summary": error.title, "value": error().body("7d3c0e5a9b1f4c62")}
                    for error in errors
                },
            }
        },
    }
