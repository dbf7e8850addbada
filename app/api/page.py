"""GET /: the page for people, built in a later version."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app import errors
from app.api.documentation import problems

router = APIRouter(tags=["service"])


@router.get(
    "/",
    response_class=HTMLResponse,
    summary="The page for people (not in this version)",
    responses=problems(errors.FeatureNotImplemented),
)
async def page() -> HTMLResponse:
    """A page to score images with a browser."""
    raise errors.FeatureNotImplemented("This version has no page for people yet; /docs shows the interface.")
