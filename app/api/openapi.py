"""The OpenAPI document beyond what FastAPI derives: problems and request bodies."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from app.api.examples import examples_of
from app.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlineExceeded,
    Draining,
    FetchFailed,
    FetchNotAllowed,
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
from app.schemas.addresses import BatchAddresses, ImageAddress, PairAddresses
from app.schemas.batch import BatchLine
from app.schemas.calibrate import CalibrateAsking
from app.schemas.problems import ProblemDetails


@dataclass(frozen=True)
class OfferedPolicies:
    """Names of the policies that can be asked for.

    Attributes:
        of_images: about single images.
        of_pairs: about an image and its reference.
    """

    of_images: tuple[str, ...]
    of_pairs: tuple[str, ...]


BODY_PROBLEMS = (MalformedRequest, BodyTimeout, BodyTooLarge, FetchNotAllowed, FetchFailed)
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

WORDS_PARAMETER: Final = "adjectives"
"""Takes words beyond the 40, which only weights with a text encoder can compare with an image."""
IMAGE_TYPES: Final = tuple(each.mime for each in FORMATS)
_BODIES: Final = (ImageAddress, PairAddresses, BatchAddresses, CalibrateAsking)
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


def by_address(asking: type[BaseModel]) -> dict[str, Any]:
    """The content of a request body that says where images lie."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{asking.__name__}"}}}


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


def document(
    app: FastAPI, locked: bool, models: Sequence[str], policies: OfferedPolicies, *, words: bool
) -> dict[str, Any]:
    """The OpenAPI document of the application, made once but for the words.

    Args:
        app: whose routes are described.
        locked: whether keys are set.
        models: names of the no-reference models that are loaded.
        policies: that can be asked for.
        words: whether words beyond the 40 can be compared. The parameter for them is left out otherwise.
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
        _add_examples(document)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for schema in (ProblemDetails, BatchLine, *_BODIES):
            own = schema.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
            schemas |= own.pop("$defs", {})
            schemas[schema.__name__] = own
        app.openapi_schema = document
    return app.openapi_schema if words else _without(app.openapi_schema, WORDS_PARAMETER)


def below_prefix(document: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The document for a client that sees the service below a prefix: its servers and types of problems."""
    if not prefix:
        return document
    document = copy.deepcopy(document)
    for server in document["servers"]:
        server["url"] = prefix + server["url"].removesuffix("/")
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                for example in response.get("content", {}).get(PROBLEM_JSON, {}).get("examples", {}).values():
                    example["value"]["type"] = prefix + example["value"]["type"]
    return document


def _without(document: dict[str, Any], parameter: str) -> dict[str, Any]:
    """The document without a parameter of its operations."""
    document = copy.deepcopy(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            if "parameters" in operation:
                operation["parameters"] = [
                    each for each in operation["parameters"] if each["name"] != parameter
                ]
    return document


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


def _tell_of_policies(document: dict[str, Any], policies: OfferedPolicies) -> None:
    """Says wherever a policy can be asked for which there are."""
    for path, operations in document["paths"].items():
        names = policies.of_pairs if path == "/compare" else policies.of_images
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "policy" and names:
                    parameter["schema"]["enum"] = list(names)


def _add_examples(document: dict[str, Any]) -> None:
    """Adds examples of answers. FastAPI would take the fields out that are null."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if examples := examples_of(operation["operationId"]):
                operation["responses"]["200"]["content"]["application/json"]["examples"] = examples


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
