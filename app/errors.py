"""Every way a request can fail, one class per slug of the HTTP contract; all errors are mapped here.

    ServiceError
    ├── MalformedRequest          400  malformed-request
    ├── Unauthorized              401  unauthorized
    ├── FetchNotAllowed           403  fetch-not-allowed
    ├── NotFound                  404  not-found
    ├── MethodNotAllowed          405  method-not-allowed
    ├── BodyTimeout               408  body-timeout
    ├── BodyTooLarge              413  body-too-large
    ├── UnsupportedMediaType      415  unsupported-media-type
    ├── InvalidImage              422  invalid-image
    ├── ImageTooLarge             422  image-too-large
    ├── ImageTooSmall             422  image-too-small
    ├── SizeMismatch              422  size-mismatch
    ├── InvalidParameter          422  invalid-parameter
    ├── UnknownModel              422  unknown-model
    ├── TextEncoderMissing        422  text-encoder-unavailable
    ├── TemporaryError
    │   ├── Overloaded            429  overloaded
    │   ├── RateLimited           429  rate-limited
    │   ├── Starting              503  starting
    │   ├── Draining              503  draining
    │   └── WorkerUnavailable     503  worker-unavailable
    ├── InternalError             500  internal-error
    ├── PoisonInput               500  poison-input
    ├── FetchFailed               502  fetch-failed
    └── DeadlineExceeded          504  deadline-exceeded

A detail is written by us for the caller: never a library's message, a path or a stack trace.
"""

import math
from typing import Any, ClassVar

PROBLEMS: dict[str, type["ServiceError"]] = {}
"""Every problem by its slug, in the order of the tree."""


class ServiceError(Exception):
    """A failure that has an answer.

    Attributes:
        status: of the HTTP answer.
        slug: the problem's name, the last part of its ``type``.
        title: the problem in a few words, the same for every occurrence.
        explanation: for the page behind ``type``: what happened and what a caller can do.
        detail: this occurrence in a sentence.
        headers: that the answer carries beside the usual ones.
        fields: of this occurrence, beside the standard ones.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]

    def __init__(self, detail: str | None = None, **fields: Any) -> None:
        self.detail = self.title + "." if detail is None else detail
        self.headers: dict[str, str] = {}
        self.fields = fields
        super().__init__(self.detail)

    def __init_subclass__(cls) -> None:
        if "slug" in vars(cls):
            PROBLEMS[cls.slug] = cls

    def body(self, request_id: str, prefix: str = "") -> dict[str, Any]:
        """The RFC 9457 object of this occurrence.

        Args:
            request_id: of the request that fails.
            prefix: the path below which its client sees the service.
        """
        return {
            "type": f"{prefix}/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.fields,
        }


class MalformedRequest(ServiceError):
    status = 400
    slug = "malformed-request"
    title = "The request cannot be read"
    explanation = (
        "The body is not readable multipart/form-data, a field is missing or one too many, or a field "
        "carries more files than one. Send exactly the fields that the route names, one file each."
    )


class Unauthorized(ServiceError):
    status = 401
    slug = "unauthorized"
    title = "A valid API key is needed"
    explanation = (
        "This server answers only callers with a key. Send it as `Authorization: Bearer KEY` or "
        "`X-API-Key: KEY`."
    )

    def __init__(self, detail: str | None = None, *, wrong_key: bool = False, **fields: Any) -> None:
        """`wrong_key`: whether one came; the header that asks for a key tells that too (RFC 6750)."""
        super().__init__(detail, **fields)
        reason = ', error="invalid_token"' if wrong_key else ""
        self.headers["WWW-Authenticate"] = f'Bearer realm="iqa-service"{reason}'


class FetchNotAllowed(ServiceError):
    status = 403
    slug = "fetch-not-allowed"
    title = "The address is not one that this server fetches from"
    explanation = (
        "Images are fetched only from hosts that the server's settings name, and only from public addresses "
        "unless those are named, too; a redirect is held to the same rules. Send the image itself, or ask "
        "the server's operator to name the host (IQA_FETCH_HOSTS)."
    )


class NotFound(ServiceError):
    status = 404
    slug = "not-found"
    title = "There is nothing here"
    explanation = "No route has this path. /docs lists those that exist."


class MethodNotAllowed(ServiceError):
    status = 405
    slug = "method-not-allowed"
    title = "The route does not take this method"
    explanation = "The path exists, but not with this method. The Allow header names the methods it takes."


class BodyTimeout(ServiceError):
    status = 408
    slug = "body-timeout"
    title = "The body came too slowly"
    explanation = "The request's body did not arrive in the time that the server waits. Send it again."


class BodyTooLarge(ServiceError):
    status = 413
    slug = "body-too-large"
    title = "The body is too large"
    explanation = (
        "A file, or the whole body, has more bytes than the server takes; `limit_bytes` says how many "
        "it does. Send the image in a denser format or at a smaller size."
    )


class UnsupportedMediaType(ServiceError):
    status = 415
    slug = "unsupported-media-type"
    title = "Not an image format that is taken"
    explanation = (
        "The bytes are not an image in one of the formats that the server reads. The content decides, "
        "not the label or the file name. `supported` names the formats. `reason` is `unknown-format`, "
        "`decoder-missing` (this server lacks what reads it), `no-image` (a video, for example), "
        "`compression` (of a TIFF file), `kind` (such as a JPEG of 12 bits a sample), `camera-raw` "
        "(a camera's own format: develop it first) or `encoded-body` (a Content-Encoding)."
    )


class InvalidImage(ServiceError):
    status = 422
    slug = "invalid-image"
    title = "The image cannot be decoded"
    explanation = (
        "The format is known, but the file is truncated or damaged. Nothing is scored from half an image."
    )


class ImageTooLarge(ServiceError):
    status = 422
    slug = "image-too-large"
    title = "The image has too many pixels"
    explanation = (
        "The image is over the limit in pixels or on one side, which is checked from its header "
        "before anything is decoded. Scale it down and send it again."
    )


class ImageTooSmall(ServiceError):
    status = 422
    slug = "image-too-small"
    title = "The image has too few pixels"
    explanation = (
        "A side is shorter than the smallest that the models can judge; `min_side` says how long it must be."
    )


class SizeMismatch(ServiceError):
    status = 422
    slug = "size-mismatch"
    title = "The two images differ in size"
    explanation = (
        "A comparison needs two images of the same width and height. Send them so, or ask with "
        "`resize=reference` for the distorted one to be brought to the reference's size."
    )


class InvalidParameter(ServiceError):
    status = 422
    slug = "invalid-parameter"
    title = "A parameter has a value that is not taken"
    explanation = (
        "A query parameter or header has a wrong form or value; `parameter` names it. /docs says what "
        "it takes."
    )


class UnknownModel(ServiceError):
    status = 422
    slug = "unknown-model"
    title = "No such model is loaded"
    explanation = "`models` names a model that this server has not loaded. GET /models lists those it has."


class TextEncoderMissing(ServiceError):
    status = 422
    slug = "text-encoder-unavailable"
    title = "The weights carry no text encoder"
    explanation = (
        "Words beyond the 40 adjectives can be compared only by weights that carry a text encoder. "
        "The bundled ones do not; the official QualiCLIP weights do (IQA_QUALICLIP_WEIGHTS=official)."
    )


class TemporaryError(ServiceError):
    """A transient failure: the answer says in ``Retry-After`` when to retry."""

    def __init__(self, detail: str | None = None, *, retry_after: float = 1.0, **fields: Any) -> None:
        """`retry_after` is in seconds, and is rounded up to whole ones, at least one."""
        super().__init__(detail, **fields)
        self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))


class Overloaded(TemporaryError):
    status = 429
    slug = "overloaded"
    title = "The queue is full"
    explanation = (
        "More work is waiting than the server accepts at a time, or more bytes of images than it holds. Come "
        "again after the seconds in Retry-After, which are computed from the queued work and the measured "
        "rate."
    )


class RateLimited(TemporaryError):
    status = 429
    slug = "rate-limited"
    title = "This key's budget is spent"
    explanation = "The key has used its own share of the server. Come again after the seconds in Retry-After."


class InternalError(ServiceError):
    status = 500
    slug = "internal-error"
    title = "Something went wrong in the server"
    explanation = "A fault of the server, not of the request. The request id finds it in the server's log."


class PoisonInput(ServiceError):
    status = 500
    slug = "poison-input"
    title = "This image ends the worker"
    explanation = (
        "Scored alone, this image ended the inference process twice, so it is not tried again. `sha256` "
        "lists the digests of the request's files, by which the server's log names it."
    )


class Starting(TemporaryError):
    status = 503
    slug = "starting"
    title = "The models are being loaded"
    explanation = (
        "The server has just started and is not warm yet. Come again after the seconds in Retry-After."
    )


class Draining(TemporaryError):
    status = 503
    slug = "draining"
    title = "The server is shutting down"
    explanation = (
        "This server finishes what it has accepted and takes no new work. Another replica will answer."
    )


class WorkerUnavailable(TemporaryError):
    status = 503
    slug = "worker-unavailable"
    title = "No inference process is answering"
    explanation = (
        "The process that runs the models has ended or does not answer, and is being restarted. Come "
        "again after the seconds in Retry-After."
    )


class FetchFailed(ServiceError):
    status = 502
    slug = "fetch-failed"
    title = "The image could not be fetched"
    explanation = (
        "The address was allowed, but what it names could not be brought: the host does not answer, or "
        "answers too slowly, with another status than 200 (`host_status` says which), or redirects too often."
    )


class DeadlineExceeded(ServiceError):
    status = 504
    slug = "deadline-exceeded"
    title = "The work could not start in time"
    explanation = (
        "The work was still waiting when its time was up and has been dropped. The time is "
        "X-Timeout-Ms, or the server's own setting where that is not sent."
    )
