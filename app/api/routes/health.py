"""GET /livez and /readyz: probes. Neither waits behind image work."""

from typing import Final

from fastapi import APIRouter, Request

from app import errors
from app.api.dependencies import ServiceDep
from app.api.openapi import problems
from app.api.routes import RouteAccess
from app.schemas.problems import Health

router = APIRouter(tags=["service"])
ACCESS: Final[RouteAccess] = "open"


@router.get(
    "/livez",
    summary="Whether the process is worth keeping",
    responses=problems(errors.WorkerUnavailable),
)
async def livez(request: Request) -> Health:
    """200 while the process answers and the service was ready at some time in the last IQA_UNREADY_EXIT_S."""
    request.app.state.health.require()
    return Health()


@router.get(
    "/readyz",
    summary="Whether requests should be sent here",
    responses=problems(errors.Starting, errors.Draining, errors.WorkerUnavailable),
)
async def readyz(service: ServiceDep) -> Health:
    """200 while every worker is warm and answering and the server is not shutting down."""
    service.require_ready()
    return Health()
