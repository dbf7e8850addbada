"""GET /metrics, which waits behind no image work; IQA_METRICS_KEY locks it."""

from typing import Final

from fastapi import APIRouter, Response

from app.api.dependencies import ServiceDep
from app.api.openapi import problems
from app.api.routes import RouteAccess
from app.metrics import CONTENT_TYPE

router = APIRouter(tags=["service"])
ACCESS: Final[RouteAccess] = "metrics"


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
)
async def read_metrics(service: ServiceDep) -> Response:
    """All metrics in Prometheus' text format."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE)
