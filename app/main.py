"""The ASGI application: only routes, lifespan and middleware."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app import errors
from app.api import openapi
from app.api.dependencies import KEY, STRICT
from app.api.routes import RouteAccess, routers
from app.auth import access as keys
from app.http.cors import Cors
from app.http.middleware import RequestScope, allowed, problem, record_of
from app.logs import log_fields
from app.policies import Policy, load, usable
from app.scoring.service import Service
from app.settings import Settings
from app.version import version

_log = logging.getLogger("iqa.service")


def create_app(
    settings: Settings, endpoints: Sequence[str], policies: Mapping[str, Policy] | None = None
) -> FastAPI:
    """The application of one HTTP process.

    Args:
        settings: of the process.
        endpoints: the workers' ipc addresses.
        policies: by name; None for those of the settings.

    Raises:
        KeysError: the API keys cannot be used.
        PoliciesError: the policies of the settings cannot be used.
    """
    access = keys.Access(settings)
    if policies is None:
        policies = load(settings.policies_file)
    names = list(usable(policies, settings.models))
    service = Service(settings, endpoints, policies)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.open()
        yield
        await service.close()

    app = FastAPI(
        title="iqa-service",
        version=version(),
        description="How good an image looks, and why: BPCLIP and QualiCLIP over HTTP.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.access = access
    app.openapi = lambda: openapi.document(app, access.locked, settings.models, names)  # type: ignore[method-assign]
    conditions: dict[RouteAccess, list[Depends]] = {
        "key": [KEY, STRICT],
        "metrics": [KEY] if settings.metrics_key else [],
        "open": [],
    }
    for router, needed in routers():
        _include(app, router, conditions[needed])
    app.add_exception_handler(errors.ServiceError, _on_service_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(RequestScope, metrics=service.metrics, phase=service)
    return app


def _include(app: FastAPI, router: APIRouter, conditions: Sequence[Depends]) -> None:
    """Adds a router, under /v1 too; what its routes ask for comes after the conditions."""
    responses = openapi.problems(errors.Unauthorized) if KEY in conditions else {}
    app.include_router(router, dependencies=conditions, responses=responses)
    app.include_router(router, prefix="/v1", dependencies=conditions, include_in_schema=False)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ServiceError)
    record = record_of(request)
    if isinstance(error, errors.PoisonInput):
        # All that is ever written down of an image.
        log_fields(_log, logging.ERROR, "an image ended the worker twice", **error.fields)
    return problem(error, record)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework raises by itself."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            ours: errors.ServiceError = errors.NotFound("No route has this path.")
        case 405:
            ours = errors.MethodNotAllowed("The route does not take this method.")
            ours.headers["Allow"] = allowed((error.headers or {}).get("Allow", ""))
        case _:
            ours = errors.MalformedRequest("The request cannot be read.")
    return problem(ours, record_of(request))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    _, name, *_ = map(str, error.errors()[0]["loc"])  # where it stands, its name, and what it was tried for
    return problem(
        errors.InvalidParameter(
            f"`{name}` has a value that is not taken; /docs says which are.", parameter=name
        ),
        record_of(request),
    )
