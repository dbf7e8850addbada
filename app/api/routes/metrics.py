"""GET /metrics, which waits behind no image work; IQA_METRICS_KEY locks it."""

from typing import Final

from fastapi import APIRouter, Request, Response

from app.api.dependencies import ServiceDep
from app.api.openapi import problems
from app.api.routes import RouteAccess
from app.metrics import CONTENT_TYPE
from app.tracing.request_trace import Tracing

router = APIRouter(tags=["service"])
ACCESS: Final[RouteAccess] = "metrics"


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            }
        },
        **problems(),
    },
)
async def read_metrics(request: Request, service: ServiceDep) -> Response:
    """All metrics in Prometheus' text format.

    Where requests are traced, those who ask for OpenMetrics get it, with traces as exemplars.
    """
    tracing: Tracing = request.app.state.tracing
    if not tracing.on:
        return Response(service.metrics.render(), media_type=CONTENT_TYPE)
    text, media_type = service.metrics.render_as(request.headers.get("accept", ""))
    return Response(text, media_type=media_type)
