"""GET /problems/{slug}: the pages behind the ``type`` of problems."""

import html
from typing import Annotated, Final

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from app import errors
from app.api.openapi import problems
from app.api.routes import RouteAccess
from app.errors import PROBLEMS, ServiceError
from app.http.security_headers import CONTENT_POLICY, content_policy

router = APIRouter(tags=["service"])
ACCESS: Final[RouteAccess] = "open"

# All addresses are relative, so that the page works below any prefix, and below /v1.
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="../web/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="../web/base.css">
</head>
<body>
<header class="top">
<p class="brand"><img src="../web/icon.svg" alt="" width="24" height="24"> <a href="../">Image quality</a></p>
<div class="top-end"><a class="quiet" href="../docs">API</a></div>
</header>
<main>
<p class="small"><code>{slug}</code>, status {status}</p>
<h1>{title}</h1>
<p class="lead">{explanation}</p>
<h2>All problems</h2>
<ul>
{others}
</ul>
</main>
</body>
</html>
"""
_OTHER: Final = (
    '<li><a href="{slug}">{title}</a> <span class="small">{status} <code>{slug}</code></span></li>'
)
_POLICY: Final = content_policy(style="'self'", img="'self'")


@router.get(
    "/problems/{slug}",
    response_class=HTMLResponse,
    summary="What a problem means",
    responses=problems(errors.NotFound),
)
async def explain_problem(
    slug: Annotated[str, Path(json_schema_extra={"enum": list(PROBLEMS)})],  # any other is not found
) -> HTMLResponse:
    """Explains the problem whose `type` ends in this slug."""
    if slug not in PROBLEMS:
        raise errors.NotFound("There is no problem of this name.", problems=list(PROBLEMS))
    return HTMLResponse(_page(PROBLEMS[slug]), headers={CONTENT_POLICY: _POLICY})


def _page(problem: type[ServiceError]) -> str:
    others = (
        _OTHER.format(slug=each.slug, title=html.escape(each.title), status=each.status)
        for each in sorted(PROBLEMS.values(), key=lambda each: (each.status, each.slug))
    )
    return _PAGE.format(
        slug=problem.slug,
        title=html.escape(problem.title),
        status=problem.status,
        explanation=html.escape(problem.explanation),
        others="\n".join(others),
    )
