"""The ASGI application: routes, lifespan and middleware; nothing else."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app import errors
from app.api import compare, documentation, health, models, page, problems, score
from app.logs import log_fields
from app.middleware import RequestScope, problem, record_of
from app.service import Service
from app.settings import Settings

_log = logging.getLogger("iqa.service")

_ROUTERS: Final = (score, compare, models, health, problems, page, documentation)


def create_app(settings: Settings, endpoints: Sequence[str]) -> FastAPI:
    """The application of one HTTP process.

    Args:
        settings: of the process.
        endpoints: the workers' ipc addresses.
    """
    service = Service(settings, endpoints)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.open()
        yield
        await service.close()

    app = FastAPI(
        title="iqa-service",
        version=_version(),
        description="How good an image looks, and why: BPCLIP and QualiCLIP over HTTP.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.openapi = lambda: documentation.document(app)  # type: ignore[method-assign]
    for module in _ROUTERS:
        app.include_router(module.router)
        app.include_router(module.router, prefix="/v1", include_in_schema=False)
    app.add_exception_handler(errors.ServiceError, _on_service_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_middleware(RequestScope, metrics=service.metrics, phase=service)
    return app


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.ServiceError)
    record = record_of(request)
    if isinstance(error, errors.PoisonInput):
        # All that is ever written down of an image.
        log_fields(
            _log, logging.ERROR, "an image ended the worker twice", id=record.request_id, **error.fields
        )
    return problem(error, record)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the framework raises by itself."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            ours: errors.ServiceError = errors.NotFound("No route has this path.")
        case 405:
            ours = errors.MethodNotAllowed("The route does not take this method.")
            ours.headers |= error.headers or {}
        case _:
            ours = errors.MalformedRequest("The request cannot be read.")
    return problem(ours, record_of(request))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    name = str(error.errors()[0]["loc"][-1])
    return problem(
        errors.InvalidParameter(
            f"`{name}` has a value that is not taken; /docs says which are.", parameter=name
        ),
        record_of(request),
    )


def _version() -> str:
    try:
        return version("iqa-service")
    except PackageNotFoundError:
        return "0"
