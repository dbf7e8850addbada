"""Reading bodies: raw image bytes or multipart fields, counted as they arrive and kept in memory.

Starlette's own form parser has no limit for file parts and spools them to disk, so bodies are read here:
nothing over the limits is kept, exactly the named fields are taken, and each carries one file.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.types import Message, Receive

from app.errors import BodyTimeout, BodyTooLarge, MalformedRequest, ServiceError
from app.http.door import PROGRESS
from app.http.holdings import Holdings
from app.http.parts import Framing, TransferDecoder, filename_of
from app.scoring.uploads import Account, Arriving, Upload
from app.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_FRAMING_BYTES: Final = 64 * 1024
"""What boundaries and part headers may add to the files of a body."""
_PART_BYTES: Final = 1024
"""The same for each further file of a batch."""
_RATED_S: Final = 7.0
_LONGEST_NAME: Final = 40  # of a field, as far as it is repeated


class ClientGone(Exception):
    """The client closed the connection, so there is no client to answer."""


@dataclass(frozen=True)
class BodyBounds:
    """What a body may be.

    Attributes:
        max_bytes: of a file.
        timeout_s: that are spent waiting for it.
        min_rate: bytes per second that must come on average, in each 7 s of waiting.
    """

    max_bytes: int
    timeout_s: float
    min_rate: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.max_body_bytes, settings.body_timeout_s, settings.body_min_rate)


@dataclass(frozen=True)
class RefusedFile:
    """A file of a batch that is not taken, for its size for example; the others are read all the same."""

    filename: str | None
    error: ServiceError


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
    async with aclosing(_chunks(request, reading.max_bytes, reading.timeout_s, reading, account)) as chunks:
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
    form = _Form(names, 1, reading, account, _options(request))
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
        reading: the limits of a file; a body of several has its time again for each file's worth of bytes
            that has arrived.
        account: of the request.

    Raises:
        MalformedRequest, BodyTooLarge, BodyTimeout, Overloaded, ClientGone: as :func:`read_image`, about the
            body as a whole.
    """
    form = _Form((name,), most_files, reading, account, _options(request))
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
    """Collects the files that the parser finds, and rejects other parts.

    Args:
        names: of the fields that are wanted.
        most_files: of each of them.
        reading: the limits of a file.
        account: of the request.
        options: names of the route's query parameters, which some clients send as fields.
    """

    def __init__(
        self,
        names: Sequence[str],
        most_files: int,
        reading: BodyBounds,
        account: Account,
        options: Collection[str],
    ) -> None:
        self.done: deque[tuple[str, Upload | RefusedFile]] = deque()
        self.complete = False
        self.names = names
        self._most_files = most_files
        self._options = options
        self.reading = reading
        self.max_bytes = reading.max_bytes
        self.account = account
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
        self._disposition, self._encoding = b"", b""
        self._name, self._value = b"", b""
        self._over = False

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        elif self._name.lower() == b"content-transfer-encoding":
            self._encoding = self._value
        self._name, self._value = b"", b""

    def end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in self.names:
            raise MalformedRequest(_not_asked(name, self.names, self._options), expected=list(self.names))
        self._counts[name] += 1
        if self._counts[name] > self._most_files:
            more = "one file" if self._most_files == 1 else f"{self._most_files} files"
            raise MalformedRequest(
                f"The field `{name}` carries more than {more}.", field=name, max_files=self._most_files
            )
        self._field = name
        self._decoder = TransferDecoder(self._encoding)
        self._file = Arriving(self.account, filename_of(self._disposition, options.get(b"filename")))

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._over:
            return
        decoded = self._decoder.decode(data[start:end])
        if self._file.size + len(decoded) > self.max_bytes:
            self._over = True
            self._file.drop()
            # Where each field carries one file, the rest of the body need not be read.
            if self._most_files == 1:
                raise _too_large(self.max_bytes)
            return
        self._file.add(decoded)

    def end_part(self) -> None:
        if not self._over:
            self._decoder.end()
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
        raise MalformedRequest(
            "The Content-Type names no boundary. Leave that header to the library that makes the form."
        )
    try:
        parser, framing = MultipartParser(boundary, form.callbacks()), Framing(boundary)
        async with aclosing(_chunks(request, most, timeout_s, form.reading, form.account)) as chunks:
            async for chunk in chunks:
                parser.write(framing.feed(chunk))
                while form.done:
                    yield form.done.popleft()
    except FormParserError as error:
        raise MalformedRequest("The multipart body cannot be read.") from error
    if not form.complete:
        raise MalformedRequest("The multipart body ends before its last boundary.")


async def _chunks(
    request: Request, most: int, most_s: float, reading: BodyBounds, account: Account
) -> AsyncGenerator[bytes]:
    """The body as it arrives, at most `most` bytes in at most `most_s` seconds of waiting for the client."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > most:
        raise _too_large(reading.max_bytes)
    holdings = holdings_of(request, account)
    pace = _Pace(reading, most_s)
    received = 0
    more = True
    while more:
        message = await pace.next(request.receive)
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        received += len(chunk)
        if received > most:
            raise _too_large(reading.max_bytes)
        if chunk:
            if holdings is not None:
                await holdings.make_room(account, len(chunk))
            yield chunk
        more = message.get("more_body", False)


class _Pace:
    """How long a client may still be waited for: only that time counts, not the service's own."""

    def __init__(self, reading: BodyBounds, most_s: float) -> None:
        self._reading = reading
        self._most_s = most_s
        self._received = 0
        self._waited_s = 0.0
        self._rated_s, self._rated_bytes = 0.0, 0

    async def next(self, receive: Receive) -> Message:
        """The next message.

        Raises:
            BodyTimeout: the body has taken too long, or comes too slowly.
        """
        loop = asyncio.get_running_loop()
        # A body of several files has its time again for each file's worth that has arrived.
        worth = 1 + self._received / self._reading.max_bytes
        allowed_s = min(self._most_s, self._reading.timeout_s * worth)
        while True:
            left_s, rated_s = allowed_s - self._waited_s, _RATED_S - self._rated_s
            began = loop.time()
            message: Message | None = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(left_s, rated_s))):
                    message = await receive()
            waited_s = loop.time() - began
            self._waited_s += waited_s
            self._rated_s += waited_s
            if message is not None:
                self._received += (count := len(message.get("body", b"")))
                self._rated_bytes += count
                return message
            if left_s <= rated_s:
                raise BodyTimeout(f"The body did not arrive within {allowed_s:g} s.")
            if self._rated_bytes < self._reading.min_rate * _RATED_S:
                raise BodyTimeout(
                    f"The body came more slowly than {self._reading.min_rate} bytes per second."
                )
            self._rated_s, self._rated_bytes = 0.0, 0


def holdings_of(request: Request, account: Account) -> Holdings | None:
    """The list that the account is entered in from now on; None where the application has none."""
    app = request.scope.get("app")
    holdings: Holdings | None = getattr(app.state, "holdings", None) if app is not None else None
    if holdings is not None:
        key = request.state.record.fields.get("key")
        caller = f"key {key}" if key is not None else request.client.host if request.client else ""
        holdings.enter(account, caller, request.scope["state"].get(PROGRESS))
    return holdings


def _options(request: Request) -> Collection[str]:
    """Names of the parameters that the route takes in the query; none where the application says none."""
    names: Collection[str] = getattr(request.state, "options", ())
    return names


def _not_asked(name: str, wanted: Sequence[str], options: Collection[str]) -> str:
    """What to say of a field that the route does not have."""
    files = " and ".join(f"`{each}`" for each in wanted)
    if not name:
        return f"A part of the form has no name; send the file field(s) {files}."
    shown = "".join(letter for letter in name[:_LONGEST_NAME] if letter.isprintable())
    if name in options:
        return (
            f"`{shown}` is no field of the form: it belongs in the query of the address, as ?{shown}=VALUE. "
            f"The form has only the file field(s) {files}."
        )
    return f"There is no field `{shown}` here; send the file field(s) {files}, and options in the query."


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A file may have {limit} bytes.", limit_bytes=limit)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")
