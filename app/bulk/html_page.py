"""HTML pages that need nothing beside them: one head, one style and one way to fill in templates."""

from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent
_STYLE: Final = _FOLDER / "report.css"


def render_page(template: str, **values: Any) -> str:
    """A page.

    Args:
        template: name of a file beside this one, which extends ``page.html``.
        values: of its variables, the `title` among them; all are escaped.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from app.http.security_headers import inline

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "\n" + _STYLE.read_text(encoding="utf-8")
    return environment.get_template(template).render(style=style, style_source=inline(style), **values)
