"""Reading bodies: raw image bytes or multipart fields, counted as they arrive and kept in memory.

Starlette's own form parser has no limit for file parts and spools them to disk, so bodies are read here:
nothing over the limits is kept, exactly the named fields are taken, and each carries one file.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.errors import BodyTimeout, BodyTooLarge, MalformedRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FRAMING_BYTES: Final = 64 * 1024
"""What boundaries and part headers may add to the files of a body."""


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


async def read_image(request: Request, max_bytes: int, timeout_s: float) -> bytes:
    """The image of a request: the whole body, or the multipart field ``image``.

    Raises:
        MalformedRequest: the multipart body is unreadable or has other fields.
        BodyTooLarge: the image has more than `max_bytes`, announced or arrived.
        BodyTimeout: it did not arrive in `timeout_s` seconds.
        ClientGone: the connection was closed before that.
    """
    if _is_form(request):
        return (await read_files(request, ("image",), max_bytes, timeout_s))["image"]
    chunks: list[bytes] = []
    await _receive(request, chunks.append, max_bytes, max_bytes, timeout_s)
    body = b"".join(chunks)
    if not body:
        raise MalformedRequest(
            "The body is empty. Send the image's bytes, or multipart/form-data with the file field `image`."
        )
    return body


async def read_files(
    request: Request, names: Sequence[str], max_bytes: int, timeout_s: float
) -> dict[str, bytes]:
    """The files of a multipart body that has exactly the fields `names`, each at most `max_bytes` long.

    Raises:
        MalformedRequest, BodyTooLarge, BodyTimeout, ClientGone: as :func:`read_image`.
    """
    wanted = " and ".join(f"`{name}`" for name in names)
    if not _is_form(request):
        raise MalformedRequest(f"Send multipart/form-data with the file field(s) {wanted}.")
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedRequest("The Content-Type names no boundary.")
    form = _Form(names, max_bytes)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        await _receive(request, parser.write, len(names) * max_bytes + _FRAMING_BYTES, max_bytes, timeout_s)
    except FormParserError as error:
        raise MalformedRequest("The multipart body cannot be read.") from error
    if not form.complete:
        raise MalformedRequest("The multipart body ends before its last boundary.")
    if missing := [name for name in names if name not in form.files]:
        raise MalformedRequest(f"The field `{missing[0]}` is missing; send the file field(s) {wanted}.")
    return {name: b"".join(form.files[name]) for name in names}


class _Form:
    """Collects the parts that the parser finds, and refuses what was not asked for."""

    def __init__(self, names: Sequence[str], max_bytes: int) -> None:
        self.files: dict[str, list[bytes]] = {}
        self.complete = False
        self._names = names
        self._max_bytes = max_bytes

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser is to call."""
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.header_name,
            "on_header_value": self.header_value,
            "on_header_end": self.end_header,
            "on_headers_finished": self.end_headers,
            "on_part_data": self.data,
            "on_end": self.end,
        }

    def begin(self) -> None:
        self._disposition = b""
        self._name, self._value = b"", b""
        self._size = 0

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in self._names:
            raise MalformedRequest(
                f"There is a field that is not asked for; send only {', '.join(self._names)}.",
                expected=list(self._names),
            )
        if name in self.files:
            raise MalformedRequest(f"The field `{name}` carries more than one file.")
        self._chunks = self.files[name] = []

    def data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._chunks.append(data[start:end])

    def end(self) -> None:
        self.complete = True


async def _receive(
    request: Request, take: Callable[[bytes], object], most: int, limit: int, timeout_s: float
) -> None:
    """Hands the body over as it arrives, at most `most` bytes; `limit` is what one file may have."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > most:
        raise _too_large(limit)
    received = 0
    try:
        async with asyncio.timeout(timeout_s):
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                received += len(chunk)
                if received > most:
                    raise _too_large(limit)
                take(chunk)
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise BodyTimeout(f"The body did not arrive within {timeout_s:g} s.") from error


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A file may have {limit} bytes.", limit_bytes=limit)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")
