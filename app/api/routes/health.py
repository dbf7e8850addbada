"""GET /livez, /readyz and /metrics: for those who watch over the service. None waits behind image work."""

from fastapi import APIRouter, Response

from app import errors
from app.api.dependencies import ServiceDep
from app.api.openapi import problems
from app.metrics import CONTENT_TYPE
from app.schemas.problems import Health

router = APIRouter(tags=["service"])
metrics_router = APIRouter(tags=["service"])
"""Apart from the probes, since it may be locked."""


@router.get("/livez", summary="Whether the process is worth keeping", responses=problems())
async def livez() -> Health:
    """200 while the process answers at all."""
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


@metrics_router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
)
async def metrics(service: ServiceDep) -> Response:
    """All metrics in Prometheus' text format."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE)
