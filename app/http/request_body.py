"""Reading bodies: raw image bytes or multipart fields, counted as they arrive and kept in memory.

Starlette's own form parser has no limit for file parts and spools them to disk, so bodies are read here:
nothing over the limits is kept, exactly the named fields are taken, and each carries one file.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.errors import BodyTimeout, BodyTooLarge, MalformedRequest
from app.scoring.uploads import Account, Arriving, Upload
from app.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FRAMING_BYTES: Final = 64 * 1024
"""What boundaries and part headers may add to the files of a body."""
_PART_BYTES: Final = 1024
"""The same for each further file of a batch."""
_LONGEST_FILENAME: Final = 255


class ClientGone(Exception):
    """The client closed the connection, so there is no client to answer."""


@dataclass(frozen=True)
class BodyBounds:
    """What a body may be: bytes of a file, and seconds that are spent waiting for it."""

    max_bytes: int
    timeout_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.max_body_bytes, settings.body_timeout_s)


@dataclass(frozen=True)
class RefusedFile:
    """A file of a batch that was over the limit; it is not kept, and the others are read all the same."""

    filename: str | None
    error: BodyTooLarge


async def read_image(request: Request, reading: BodyBounds, account: Account) -> Upload:
    """The image of a request: the whole body, or the multipart field ``image``.

    Raises:
        MalformedRequest: the multipart body is unreadable or has other fields.
        BodyTooLarge: the image has more than the bytes allowed, announced or arrived.
        BodyTimeout: it did not arrive in time.
        Overloaded: the process holds too many bytes already.
        ClientGone: the connection was closed before that.
    """
    if _is_form(request):
        return (await read_files(request, ("image",), reading, account))["image"]
    arriving = Arriving(account)
    async with aclosing(_chunks(request, reading.max_bytes, reading.max_bytes, reading.timeout_s)) as chunks:
        async for chunk in chunks:
            arriving.add(chunk)
    if not arriving.size:
        raise MalformedRequest(
            "The body is empty. Send the image's bytes, or multipart/form-data with the file field `image`."
        )
    return arriving.complete()


async def read_files(
    request: Request, names: Sequence[str], reading: BodyBounds, account: Account
) -> dict[str, Upload]:
    """The files of a multipart body that has exactly the fields `names`, one file each.

    Raises:
        MalformedRequest, BodyTooLarge, BodyTimeout, Overloaded, ClientGone: as :func:`read_image`.
    """
    wanted = " and ".join(f"`{name}`" for name in names)
    form = _Form(names, 1, reading.max_bytes, account)
    files: dict[str, Upload] = {}
    most = len(names) * reading.max_bytes + _FRAMING_BYTES
    async with aclosing(_parts(request, form, most, reading.timeout_s)) as parts:
        async for name, file in parts:
            if isinstance(file, RefusedFile):
                raise file.error
            files[name] = file
    if missing := [name for name in names if name not in files]:
        raise MalformedRequest(f"The field `{missing[0]}` is missing; send the file field(s) {wanted}.")
    return files


async def read_batch(
    request: Request, name: str, most_files: int, most_bytes: int, reading: BodyBounds, account: Account
) -> AsyncGenerator[Upload | RefusedFile]:
    """The files of a multipart body that repeats the field `name`, in their order, each as it is complete.

    The caller may pause between files: only the time that is spent waiting for the client counts.

    Args:
        request: whose body is read.
        name: of the field.
        most_files: that it may carry.
        most_bytes: of all files together; `reading` is about each of them.
        reading: the limits of a file; a body of several has its time for each file's worth of bytes.
        account: of the request.

    Raises:
        MalformedRequest, BodyTooLarge, BodyTimeout, Overloaded, ClientGone: as :func:`read_image`, about the
            body as a whole.
    """
    form = _Form((name,), most_files, reading.max_bytes, account)
    timeout_s = reading.timeout_s * max(1, most_bytes // reading.max_bytes)
    most = most_bytes + most_files * _PART_BYTES + _FRAMING_BYTES
    count = 0
    async with aclosing(_parts(request, form, most, timeout_s)) as parts:
        async for _, file in parts:
            count += 1
            yield file
    if not count:
        raise MalformedRequest(f"There is no file; send one or more in the field `{name}`.")


class _Form:
    """Collects the files that the parser finds, and rejects other parts."""

    def __init__(self, names: Sequence[str], most_files: int, max_bytes: int, account: Account) -> None:
        self.done: deque[tuple[str, Upload | RefusedFile]] = deque()
        self.complete = False
        self.names = names
        self._most_files = most_files
        self.max_bytes = max_bytes
        self._account = account
        self._counts = dict.fromkeys(names, 0)

    def callbacks(self) -> "MultipartCallbacks":
        """The callbacks of the parser."""
        return {
            "on_part_begin": self.begin,
            "on_header_field": self.header_name,
            "on_header_value": self.header_value,
            "on_header_end": self.end_header,
            "on_headers_finished": self.end_headers,
            "on_part_data": self.data,
            "on_part_end": self.end_part,
            "on_end": self.end,
        }

    def begin(self) -> None:
        self._disposition = b""
        self._name, self._value = b"", b""
        self._over = False

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
        if name not in self.names:
            raise MalformedRequest(
                f"There is a field that is not asked for; send only {', '.join(self.names)}.",
                expected=list(self.names),
            )
        self._counts[name] += 1
        if self._counts[name] > self._most_files:
            more = "one file" if self._most_files == 1 else f"{self._most_files} files"
            raise MalformedRequest(
                f"The field `{name}` carries more than {more}.", field=name, max_files=self._most_files
            )
        self._field = name
        self._file = Arriving(self._account, _filename(options.get(b"filename")))

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._over:
            return
        if self._file.size + end - start > self.max_bytes:
            self._over = True
            self._file.drop()
            # Where each field carries one file, the rest of the body need not be read.
            if self._most_files == 1:
                raise _too_large(self.max_bytes)
            return
        self._file.add(data[start:end])

    def end_part(self) -> None:
        refused = RefusedFile(self._file.filename, _too_large(self.max_bytes))
        self.done.append((self._field, refused if self._over else self._file.complete()))

    def end(self) -> None:
        self.complete = True


async def _parts(
    request: Request, form: _Form, most: int, timeout_s: float
) -> AsyncGenerator[tuple[str, Upload | RefusedFile]]:
    """The files of a form by the names of their fields, as they are complete."""
    if not _is_form(request):
        fields = " and ".join(f"`{name}`" for name in form.names)
        raise MalformedRequest(f"Send multipart/form-data with the file field(s) {fields}.")
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedRequest("The Content-Type names no boundary.")
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async with aclosing(_chunks(request, most, form.max_bytes, timeout_s)) as chunks:
            async for chunk in chunks:
                parser.write(chunk)
                while form.done:
                    yield form.done.popleft()
    except FormParserError as error:
        raise MalformedRequest("The multipart body cannot be read.") from error
    if not form.complete:
        raise MalformedRequest("The multipart body ends before its last boundary.")


async def _chunks(request: Request, most: int, limit: int, timeout_s: float) -> AsyncGenerator[bytes]:
    """The body as it arrives, at most `most` bytes; `limit` is what one file may have."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > most:
        raise _too_large(limit)
    received = 0
    loop = asyncio.get_running_loop()
    left_s = timeout_s
    more = True
    while more:
        began = loop.time()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                message = await request.receive()
        except TimeoutError as error:
            raise BodyTimeout(f"The body did not arrive within {timeout_s:g} s.") from error
        left_s -= loop.time() - began
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        received += len(chunk)
        if received > most:
            raise _too_large(limit)
        if chunk:
            yield chunk
        more = message.get("more_body", False)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A file may have {limit} bytes.", limit_bytes=limit)


def _filename(sent: bytes | None) -> str | None:
    """What the client calls the file, for it to be known again; without what would break a line of a log."""
    if sent is None:
        return None
    name = sent.decode("utf-8", "replace")[:_LONGEST_FILENAME]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")
