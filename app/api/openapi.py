"""The OpenAPI document beyond what FastAPI derives: problems and request bodies."""

import re
from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlineExceeded,
    Draining,
    ImageTooLarge,
    ImageTooSmall,
    InternalError,
    InvalidImage,
    InvalidParameter,
    MalformedRequest,
    Overloaded,
    PoisonInput,
    RateLimited,
    ServiceError,
    Starting,
    TemporaryError,
    TextEncoderMissing,
    Unauthorized,
    UnknownModel,
    UnsupportedMediaType,
    WorkerUnavailable,
)
from app.http.middleware import PROBLEM_JSON
from app.imaging.formats.registry import FORMATS
from app.schemas.batch import BatchLine
from app.schemas.problems import ProblemDetails

BODY_PROBLEMS = (MalformedRequest, BodyTimeout, BodyTooLarge)
IMAGE_PROBLEMS = (
    UnsupportedMediaType,
    InvalidImage,
    ImageTooLarge,
    ImageTooSmall,
)
QUESTION_PROBLEMS = (InvalidParameter, UnknownModel, TextEncoderMissing)
WORK_PROBLEMS = (
    RateLimited,
    Overloaded,
    PoisonInput,
    Starting,
    Draining,
    WorkerUnavailable,
    DeadlineExceeded,
)

IMAGE_TYPES: Final = tuple(each.mime for each in FORMATS)
_BINARY: Final = {"type": "string", "format": "binary"}
_KEY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}


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


def document(app: FastAPI, locked: bool, models: Sequence[str], policies: Sequence[str]) -> dict[str, Any]:
    """The OpenAPI document of the application, made once.

    Args:
        app: whose routes are described.
        locked: whether keys are set.
        models: names of the no-reference models that are loaded.
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
        _tell_of_models(document, models)
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


def _tell_of_models(document: dict[str, Any], models: Sequence[str]) -> None:
    """States which models can be asked for; other names get an answer that lists these."""
    name = f"(?:{'|'.join(map(re.escape, models))})"
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "models":
                    parameter["schema"]["pattern"] = f"^(?: *,)* *{name} *(?:, *(?:{name} *)?)*$"


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
                "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                "examples": {
                    error.slug: {"summary": error.title, "value": error().body("7d3c0e5a9b1f4c62")}
                    for error in errors
                },
            }
        },
    }
