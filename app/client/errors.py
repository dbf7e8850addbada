"""What can go wrong when the service is asked, for Python callers.

ClientError
├── ImageUnreadable   the image could not be read here; nothing was sent
├── Unreachable       no connection, it broke, or the answer did not come in time
├── Problem           the service, or a proxy before it, answered with an error
└── Misunderstood     an answer that is not this service's
"""

from typing import Any, Final

QUESTION_SLUGS: Final = frozenset({
    "unauthorized", "not-found", "method-not-allowed", "invalid-parameter", "unknown-model",
    "text-encoder-unavailable",
})  # fmt: skip
"""Problems of the question or of the API key, whatever the image."""

_PASSING: Final = frozenset({408, 429, 502, 503, 504})
_ABOUT_AN_IMAGE: Final = frozenset({400, 413, 415, 422})


class ClientError(Exception):
    """Base of all that a client raises on its way; wrong arguments are a ValueError or TypeError.

    Attributes:
        detail: what went wrong, in a sentence that names no file.
        request_id: by which the service's log knows all attempts; empty where nothing was sent.
        passing: whether the failure is transient, so that a later retry may succeed.
        of_image: whether it is this image's matter, and another one may fare better.
    """

    passing: bool = False
    of_image: bool = False

    def __init__(self, detail: str, *, request_id: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.request_id = request_id


class ImageUnreadable(ClientError):
    """The image could not be read; the cause is the OSError, where there was one.

    Attributes:
        name: of the file; empty where it has none.
    """

    of_image = True

    def __init__(self, detail: str, *, name: str = "") -> None:
        super().__init__(detail)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" if self.name else self.detail


class Unreachable(ClientError):
    """There was no connection, it broke, or the answer did not come in time, however often it was tried."""

    passing = True


class Untrusted(Unreachable):
    """The service's certificate is not one that this machine trusts; to try again would change nothing."""

    passing = False


class Misunderstood(ClientError):
    """The answer cannot be read: most likely it is not this service's that was asked."""


class Problem(ClientError):
    """The answer is an error: ``application/problem+json`` of the service, or the bare one of a proxy.

    Attributes:
        slug: the problem's name, as ``invalid-image``; empty where the answer is not the service's.
        status: of the HTTP answer.
        title: the problem in a few words.
        retry_after: seconds after which the service wants to be asked again; None where it says nothing.
        fields: of this problem, beside the standard ones.
    """

    def __init__(
        self,
        detail: str,
        *,
        slug: str = "",
        status: int = 0,
        title: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, request_id=request_id)
        self.slug = slug
        self.status = status
        self.title = title
        self.retry_after = retry_after
        self.fields = fields or {}
        self.passing = status in _PASSING
        self.of_image = slug not in QUESTION_SLUGS and (
            status in _ABOUT_AN_IMAGE or slug in ("poison-input", "internal-error")
        )

    def __str__(self) -> str:
        return f"{self.slug or self.status}: {self.detail} (request {self.request_id})"
