"""The path below which clients see the service, where a proxy serves it beside other things."""

from typing import Final

from starlette.datastructures import Headers

from app.settings import PATH_PREFIX

_LONGEST: Final = 256


def prefix_of(headers: Headers, root_path: str) -> str:
    """What clients have to put in front of the paths of the service: '' or a path without a slash at its end.

    Each proxy that takes a prefix away adds it to ``X-Forwarded-Prefix``, that nearest to the client first.
    The header counts only as a plain path, since links repeat it. No cache keeps an answer with it, so that a
    client which makes it up deceives only itself.

    Args:
        headers: of the request.
        root_path: the setting; it counts where no proxy says otherwise.
    """
    sent = ",".join(headers.getlist("x-forwarded-prefix"))
    if len(sent) > _LONGEST:
        return root_path
    joined = "".join(part.strip().removesuffix("/") for part in sent.split(","))
    return joined if PATH_PREFIX.fullmatch(joined) else root_path


def below(path: str, root_path: str) -> str:
    """The path of a request without the setting, for proxies that leave it there; '' for the prefix alone.

    The header is never taken away: who sends it could get around a proxy that judges paths.
    """
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        return path.removeprefix(root_path)
    return path
