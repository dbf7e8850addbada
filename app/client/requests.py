"""What is sent for a question, and what the answer to it means; nothing here knows a connection."""

import io
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, TypeVar, cast
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from app.client.errors import ClientError, ImageUnreadable, Misunderstood, Problem
from app.version import version


class HasPixels(Protocol):
    """A numpy array ``(H, W)`` or ``(H, W, 3)`` of uint8, or an image of Pillow."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


Image = bytes | str | os.PathLike[str] | BinaryIO | HasPixels
"""The bytes of an image file, the name of one, a file that is open for reading bytes, or pixels."""

Words = Sequence[str] | str | None
"""Names in a sequence, or in one string with commas between them; None leaves it to the service."""

AnswerT = TypeVar("AnswerT", bound=BaseModel)

MOST_ANSWER_BYTES: Final = 64 * 2**20
"""The largest answers are heat maps: some megabytes. Whatever sends more is not the service."""

_STANDARD: Final = frozenset({"type", "title", "status", "detail", "request_id"})
_PROBLEM_TYPE: Final = re.compile(r"(?:/[\w.~-]+)*/problems/([a-z-]+)")
_DEVICES: Final = Path("/dev")
_SECONDS: Final = re.compile(r"\d{1,9}")
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_LONGEST_SHOWN: Final = 200  # characters of text from an answer


@dataclass(frozen=True)
class Call:
    """A question, as often as it is asked.

    Attributes:
        method: of HTTP.
        path: below the service's address.
        params: of the query.
        content: of the body, if it is one image or JSON.
        media_type: of `content`.
        files: of the body, if they are several: the field, the name and the bytes of each.
        request_id: under which the service logs all attempts.
    """

    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    media_type: str = "application/octet-stream"
    files: tuple[tuple[str, str, bytes], ...] = ()
    request_id: str = field(default_factory=lambda: uuid4().hex)

    def request(self, client: httpx.AsyncClient, deadline_s: float | None) -> httpx.Request:
        """The request of the next attempt; the same bytes each time."""
        headers = {"X-Request-ID": self.request_id}
        if deadline_s is not None:
            headers["X-Timeout-Ms"] = str(round(deadline_s * 1000))
        if self.content is not None:
            headers["Content-Type"] = self.media_type
        files = [(name, (file, data, "application/octet-stream")) for name, file, data in self.files]
        return client.build_request(
            self.method,
            self.path,
            params=self.params,
            headers=headers,
            content=self.content,
            files=files or None,
        )


def score_request(image: bytes, params: dict[str, str]) -> Call:
    return Call("POST", "v1/score", params, content=image)


def heat_map_request(image: bytes, params: dict[str, str]) -> Call:
    return Call("POST", "v1/score/map", params, content=image)


def compare_request(reference: bytes, distorted: bytes, params: dict[str, str]) -> Call:
    return Call("POST", "v1/compare", params, files=_pair(reference, distorted))


def pick_request(images: Sequence[tuple[str, bytes]], params: dict[str, str]) -> Call:
    """The images by their names, which need not differ."""
    return Call("POST", "v1/pick", params, files=tuple(("images", name, data) for name, data in images))


def named_images(images: Iterable[Image], most_bytes: int) -> list[tuple[str, bytes]]:
    """Names of images, numbers where they have none, and their bytes.

    Raises:
        ImageUnreadable, TypeError: as :func:`content_of`; and where `images` is a single one.
    """
    require_several(images)
    return [
        (
            Path(image).name if isinstance(image, str | os.PathLike) else str(number),
            content_of(image, most_bytes),
        )
        for number, image in enumerate(images)
    ]


def difference_request(reference: bytes, distorted: bytes, params: dict[str, str]) -> Call:
    return Call("POST", "v1/compare/map", params, files=_pair(reference, distorted))


def _pair(reference: bytes, distorted: bytes) -> tuple[tuple[str, str, bytes], ...]:
    pair = {"reference": reference, "distorted": distorted}
    return tuple((name, name, data) for name, data in pair.items())


def parameters(
    models: Words = None,
    adjectives: Words = None,
    *,
    quality_map: bool = False,
    detail_crops: bool = False,
    embedding: bool = False,
    difference_map: bool = False,
    measures: Words = None,
    brief: bool = False,
    policy: str | None = None,
    resize: str = "none",
) -> dict[str, str]:
    """The query of a question; what is as the service has it anyway is left out."""
    found = {
        "models": _joined(models),
        "adjectives": _joined(adjectives),
        "quality_map": "true" if quality_map else None,
        "detail_crops": "true" if detail_crops else None,
        "embedding": "true" if embedding else None,
        "difference_map": "true" if difference_map else None,
        "measures": _joined(measures),
        "detail": "summary" if brief else None,
        "policy": policy,
        "resize": None if resize == "none" else resize,
    }
    return {name: value for name, value in found.items() if value is not None}


def require_several(images: object) -> None:
    """What is one image could be iterated over too, and would be taken for as many as it has letters.

    Raises:
        TypeError: it is.
    """
    if isinstance(images, str | bytes | os.PathLike):
        raise TypeError("Many images are wanted: an iterable of them, and not a single one.")


def _joined(words: Words) -> str | None:
    return words if words is None or isinstance(words, str) else ",".join(words)


def address(url: str) -> httpx.URL:
    """The service's address, for paths to be joined to.

    Raises:
        ValueError: it is none, or one with a name and password: keys are given apart.
    """
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"The service's address is not usable: {error}.") from None
    if found.scheme not in ("http", "https") or not found.host or found.userinfo or found.query:
        raise ValueError(
            "The service's address must be like http://HOST:PORT or https://HOST/PATH, without anything else."
        )
    return found.copy_with(fragment=None)


def headers(key: str | None) -> dict[str, str]:
    """What every request carries.

    Raises:
        ValueError: the key cannot be sent; it is not repeated.
    """
    sent = {"User-Agent": f"iqa-service-client/{version()}"}
    if key is not None:
        if not _KEY.fullmatch(key):
            raise ValueError("The key is empty, or has characters that keys do not have.")
        sent["Authorization"] = f"Bearer {key}"
    return sent


def content_of(image: Image, most_bytes: int) -> bytes:
    """The bytes of an image.

    Raises:
        ImageUnreadable: it cannot be read, is empty, or has more than `most_bytes` bytes.
        TypeError: it is nothing that an image is taken from.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        data, name = bytes(image), ""
    elif isinstance(image, str | os.PathLike):
        data, name = _read_path(Path(image), most_bytes), str(image)
    elif hasattr(image, "__array_interface__"):
        data, name = _encoded(image), ""
    elif hasattr(image, "read"):
        data, name = _read_file(image, most_bytes), ""
    else:
        raise TypeError(
            "An image is bytes, a path, a file that is open for bytes, an array or an image of Pillow; not "
            f"{type(image).__name__}."
        )
    if not data:
        raise ImageUnreadable("It is empty.", name=name)
    if len(data) > most_bytes:
        raise ImageUnreadable(f"It has more than {most_bytes} bytes.", name=name)
    return data


def _encoded(pixels: HasPixels) -> bytes:
    """Pixels as a PNG file, which keeps them as they are.

    Raises:
        TypeError: they are not of a kind that PNG files have.
        ModuleNotFoundError: Pillow, which encodes them, is not installed.
    """
    import PIL.Image

    picture = pixels
    if not isinstance(picture, PIL.Image.Image):
        interface = pixels.__array_interface__
        if interface["typestr"] != "|u1":
            raise TypeError(
                f"An array of pixels has to be uint8, from 0 to 255; it has the type {interface['typestr']}."
            )
        try:
            picture = PIL.Image.fromarray(pixels)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"An array of pixels has the shape (H, W) or (H, W, 3), not {interface['shape']}."
            ) from error
    file = io.BytesIO()
    try:
        picture.save(file, "PNG", compress_level=1)
    except OSError as error:
        raise TypeError(f"An image of the mode {picture.mode} cannot be sent; convert it to RGB.") from error
    return file.getvalue()


def _read_path(path: Path, most_bytes: int) -> bytes:
    try:
        # Not every name is that of a file with an end, /dev/zero for one. A pipe that the shell has made has
        # one; others may never be written to.
        shell = path.is_fifo() and path.is_relative_to(_DEVICES)
        if path.exists() and not path.is_file() and not shell:
            raise ImageUnreadable("It is not a file.", name=str(path))
        with path.open("rb") as file:
            return file.read(most_bytes + 1)
    except FileNotFoundError as error:
        raise ImageUnreadable("There is no such file.", name=str(path)) from error
    except (OSError, ValueError) as error:  # the latter where the name has a null character
        reason = getattr(error, "strerror", None) or error
        raise ImageUnreadable(f"It cannot be read: {reason}.", name=str(path)) from error


def _read_file(file: BinaryIO, most_bytes: int) -> bytes:
    pieces = []
    left = most_bytes + 1
    try:
        while left > 0 and (piece := file.read(left)):
            if not isinstance(piece, bytes):
                raise TypeError("The file must be open for bytes, as open(name, 'rb') opens it.")
            pieces.append(piece)
            left -= len(piece)
    except (OSError, ValueError) as error:
        raise ImageUnreadable(f"The open file cannot be read: {error}.") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def parsed(kind: type[AnswerT], body: bytes, call: Call) -> AnswerT:
    """An answer as its model. Fields that a newer service adds are ignored.

    Raises:
        Misunderstood: it does not fit the model.
    """
    try:
        return kind.model_validate_json(body, extra="ignore")
    except ValidationError as error:
        raise Misunderstood(
            f"The answer to {call.method} /{call.path} is not what this service answers "
            f"({error.error_count()} faults, the first: {error.errors()[0]['msg']}).",
            request_id=call.request_id,
        ) from None


def png(body: bytes, call: Call) -> bytes:
    """An answer that must be a PNG file.

    Raises:
        Misunderstood: it is no PNG file.
    """
    if not body.startswith(b"\x89PNG\r\n\x1a\n"):
        raise Misunderstood(
            f"The answer to {call.method} /{call.path} is no PNG.", request_id=call.request_id
        )
    return body


def failure(response: httpx.Response, body: bytes, call: Call) -> ClientError:
    """What an answer says that is no success."""
    wait = response.headers.get("retry-after", "")
    retry_after = float(wait) if _SECONDS.fullmatch(wait) else None
    request_id = response.headers.get("x-request-id", call.request_id)[:_LONGEST_SHOWN]
    said = _problem(response, body)
    if said is not None and (named := _PROBLEM_TYPE.fullmatch(str(said.get("type")))):
        return Problem(
            str(said.get("detail", "")),
            slug=named[1],
            status=response.status_code,
            title=str(said.get("title", "")),
            request_id=request_id,
            retry_after=retry_after,
            fields={name: value for name, value in said.items() if name not in _STANDARD},
        )
    title = response.reason_phrase or "without a reason"
    detail = f"Something that is not the service answered {response.status_code} {title}."
    if response.is_redirect:
        target = response.headers.get("location", "")[:_LONGEST_SHOWN]
        detail = f"The address leads elsewhere, to {target}; the client does not follow with a key."
    return Problem(
        detail,
        status=response.status_code,
        title=title,
        request_id=request_id,
        retry_after=retry_after,
    )


def _problem(response: httpx.Response, body: bytes) -> dict[str, Any] | None:
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return None
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return cast("dict[str, Any]", said) if isinstance(said, dict) else None
