"""The ASGI application: only routes, lifespan and middleware."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

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
from app.fetching import Allowed, AllowedBuckets, Fetcher
from app.http.cors import Cors
from app.http.health import Liveness
from app.http.holdings import Holdings
from app.http.middleware import RequestScope, allowed, problem, record_of
from app.inference.endpoint import Endpoint
from app.logs import log_fields
from app.policies import Policy, load, usable
from app.scoring.service import Service
from app.settings import Settings
from app.tracing.request_trace import NO_TRACING, Tracing
from app.version import version

_log = logging.getLogger("iqa.service")

_LOOK_AT_KEYS_S: Final = 0.5


def create_app(
    settings: Settings,
    endpoints: Sequence[Endpoint],
    policies: Mapping[str, Policy] | None = None,
    tracing: Tracing = NO_TRACING,
) -> FastAPI:
    """The application of one HTTP process.

    Args:
        settings: of the process.
        endpoints: of the workers.
        policies: by name; None for those of the settings.
        tracing: told of the requests.

    Raises:
        PoliciesError: the policies of the settings cannot be used.
    """
    access = keys.Access(settings)
    if policies is None:
        policies = load(settings.policies_file)
    service = Service(settings, endpoints, policies)
    fetcher = _fetcher(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.open()
        watching = asyncio.create_task(_watch_keys(access, service))
        async with fetcher.opened():
            yield
        watching.cancel()
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
        generate_unique_id_function=lambda route: route.name,  # generated clients name their methods by it
    )
    app.state.service = service
    app.state.access = access
    app.state.fetcher = fetcher
    app.state.tracing = tracing
    app.state.holdings = Holdings(service.intake)
    app.state.health = Liveness(lambda: service.pool.ready and service.decoders.able, settings)
    app.openapi = partial(_document, app)  # type: ignore[method-assign]
    _add_routes(app, settings)
    _answer_failures(app)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(
        RequestScope, metrics=service.metrics, phase=service, root_path=settings.root_path, tracing=tracing
    )
    return app


def _fetcher(settings: Settings) -> Fetcher:
    return Fetcher(
        Allowed.of(settings.fetch_hosts),
        settings.max_body_bytes,
        settings.body_timeout_s,
        buckets=AllowedBuckets.of(settings.fetch_buckets),
    )


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with what can be asked for, as far as it is known by now."""
    service: Service = app.state.service
    models = service.settings.models
    found = usable(service.policies, models).values()
    policies = openapi.OfferedPolicies(
        of_images=tuple(policy.name for policy in found if not policy.needs_reference),
        of_pairs=tuple(policy.name for policy in found if policy.grade is None or service.has_grades),
    )
    words = service.pool.compares_words
    return openapi.document(app, app.state.access.locked, models, policies, words=words)


async def _watch_keys(access: keys.Access, service: Service) -> None:
    """Takes over a changed file of keys also where no request comes, and keeps the gauge of its faults."""
    while True:
        service.metrics.key_faults.set(access.faults())
        await asyncio.sleep(_LOOK_AT_KEYS_S)


def _add_routes(app: FastAPI, settings: Settings) -> None:
    """Adds all routers, each behind what it asks for."""
    conditions: dict[RouteAccess, list[Depends]] = {
        "key": [KEY, STRICT],
        "metrics": [KEY] if settings.metrics_key else [],
        "open": [],
    }
    for router, needed in routers():
        _include(app, router, conditions[needed])


def _include(app: FastAPI, router: APIRouter, conditions: Sequence[Depends]) -> None:
    """Adds a router, under /v1 too; what its routes ask for comes after the conditions."""
    responses = openapi.problems(errors.Unauthorized) if KEY in conditions else {}
    app.include_router(router, dependencies=conditions, responses=responses)
    app.include_router(router, prefix="/v1", dependencies=conditions, include_in_schema=False)


def _answer_failures(app: FastAPI) -> None:
    """Has whatever routes raise answered by a problem."""
    app.add_exception_handler(errors.ServiceError, _on_service_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


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
            hint = " Leave out the slash at its end." if request.url.path.endswith("/") else ""
            ours: errors.ServiceError = errors.NotFound(f"No route has this path.{hint}")
        case 405:
            methods = allowed((error.headers or {}).get("Allow", ""))
            ours = errors.MethodNotAllowed(f"The route takes {methods} only.")
            ours.headers["Allow"] = methods
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
