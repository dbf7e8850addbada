"""GET /problems/{slug}: the pages behind the ``type`` of problems."""

import html
from typing import Annotated, Final

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from app import errors
from app.api.openapi import problems
from app.api.routes import RouteAccess
from app.errors import PROBLEMS, ServiceError

router = APIRouter(tags=["service"])
ACCESS: Final[RouteAccess] = "open"

_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{slug}</title><meta name="viewport" content="width=device-width"></head>
<body>
<h1>{title}</h1>
<p><code>{slug}</code>, status {status}</p>
<p>{explanation}</p>
</body>
</html>
"""


@router.get(
    "/problems/{slug}",
    response_class=HTMLResponse,
    summary="What a problem means",
    responses=problems(errors.NotFound),
)
async def explain(
    slug: Annotated[str, Path(json_schema_extra={"enum": list(PROBLEMS)})],  # any other is not found
) -> HTMLResponse:
    """Explains the problem whose `type` ends in this slug."""
    if slug not in PROBLEMS:
        raise errors.NotFound("There is no problem of this name.", problems=list(PROBLEMS))
    return HTMLResponse(_page(PROBLEMS[slug]))


def _page(problem: type[ServiceError]) -> str:
    return _PAGE.format(
        slug=problem.slug,
        title=html.escape(problem.title),
        status=problem.status,
        explanation=html.escape(problem.explanation),
    )
