"""What a browser may do with our answers: the security headers. Pages name the sources that they need."""

import base64
import hashlib
from typing import Final

from starlette.datastructures import MutableHeaders

CONTENT_POLICY: Final = "Content-Security-Policy"


def content_policy(**sources: str) -> str:
    """A Content-Security-Policy that allows nothing but these sources, by kind.

    ``content_policy(script="'self'")`` allows scripts from this server. No page can be framed, no base can be
    set, and no form can be sent by the browser itself.
    """
    allowed = [f"{kind}-src {source}" for kind, source in sources.items()]
    return "; ".join(
        ["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
    )


def inline(text: str) -> str:
    """The source that stands for an inline script or style with exactly this text."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def secure(headers: MutableHeaders) -> None:
    """Adds the security headers to an answer's. A page that says nothing of sources gets none."""
    headers["X-Content-Type-Options"] = "nosniff"
    if headers.get("content-type", "").startswith("text/html"):
        headers.setdefault(CONTENT_POLICY, content_policy())
        headers["X-Frame-Options"] = "DENY"  # for browsers that do not know frame-ancestors
        headers["Referrer-Policy"] = "no-referrer"
