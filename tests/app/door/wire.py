"""Requests as bytes on a socket, and the answers as they come back: what no client library would send."""

import json
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

BARE: Final = "(bare)"
"""In place of a slug: the HTTP server's own answer to what is no HTTP."""

Address = tuple[str, int]

_BOUNDARY: Final = "the-edge-of-a-part"
_PIECE_BYTES: Final = 256 * 1024


class Hang(Exception):
    """No answer came, and the connection was not closed either, for as long as was waited."""


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def slug(self) -> str:
        """Of the problem; BARE for an error that is none; empty for a good answer."""
        if self.headers.get("content-type") == "application/problem+json":
            return str(self.json()["type"]).removeprefix("/problems/")
        return "" if self.status < 400 else BARE

    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.slug}".strip()


@dataclass
class Answers:
    """Reads answers from what arrives, piece by piece; those to HEAD it cannot read."""

    complete: list[Answer] = field(default_factory=list)
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
            }
            body = self._body(end + 4, headers) if status >= 200 else (b"", end + 4)
            if body is None:
                return
            if status >= 200:  # the others only announce
                self.complete.append(Answer(status, headers, body[0]))
            del self._buffer[: body[1]]

    def feed_end(self) -> None:
        """The connection was closed: what has no length is whole now."""
        if self._buffer.startswith(b"HTTP/1.1 "):
            head, _, body = bytes(self._buffer).partition(b"\r\n\r\n")
            if b"content-length:" not in head.lower() and b"chunked" not in head.lower():
                type = "text/plain" if b"text/plain" in head else ""
                self.complete.append(Answer(int(head[9:12]), {"content-type": type}, body))

    def _body(self, start: int, headers: Mapping[str, str]) -> tuple[bytes, int] | None:
        """The body and where it ends; None where more is to come."""
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks(start)
        if "content-length" not in headers:
            return None
        end = start + int(headers["content-length"])
        return (bytes(self._buffer[start:end]), end) if len(self._buffer) >= end else None

    def _chunks(self, start: int) -> tuple[bytes, int] | None:
        body = b""
        while (line := self._buffer.find(b"\r\n", start)) >= 0:
            size = int(bytes(self._buffer[start:line]), 16)
            start = line + 2 + size + 2
            if len(self._buffer) < start:
                return None
            body += self._buffer[line + 2 : line + 2 + size]
            if size == 0:
                return body, start
        return None


def exchange(
    address: Address, request: bytes, answers: int = 1, *, hang_up: bool = False, patience_s: float = 60.0
) -> list[Answer]:
    """Sends bytes and collects what comes back, at the same time, as early answers want it.

    Args:
        address: where to.
        request: what to send.
        answers: after how many to stop.
        hang_up: whether to close the own direction when all is sent.
        patience_s: how long nothing may happen.

    Returns:
        The answers; fewer than were asked for if the server closed the connection before.

    Raises:
        Hang: it did neither.
    """
    reader = Answers()
    with socket.create_connection(address, timeout=patience_s) as connection, _selector(connection) as ready:
        unsent = memoryview(request)
        while len(reader.complete) < answers:
            events = ready.select(patience_s)
            if not events:
                raise Hang(f"{len(reader.complete)} of {answers} answers came in {patience_s:g} s")
            mask = events[0][1]
            try:
                if mask & selectors.EVENT_WRITE:
                    unsent = unsent[connection.send(unsent[:_PIECE_BYTES]) :]
                    if not unsent:
                        ready.modify(connection, selectors.EVENT_READ)
                        if hang_up:
                            connection.shutdown(socket.SHUT_WR)
                if mask & selectors.EVENT_READ:
                    data = connection.recv(_PIECE_BYTES)
                    if not data:
                        break
                    reader.feed(data)
            except OSError:
                # It may have been answered before it was cut off.
                _drain(connection, reader)
                break
        reader.feed_end()
    return reader.complete


def address_of(url: object) -> Address:
    parts = urlsplit(str(url))
    return parts.hostname or "127.0.0.1", parts.port or 80


def post(path: str, body: bytes, headers: Mapping[str, str] | None = None, *, length: object = None) -> bytes:
    """A request with a body; `length` is what it claims to be long."""
    lines = [f"POST {path} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"Content-Length: {len(body) if length is None else length}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(path: str, pieces: list[bytes], headers: Mapping[str, str] | None = None) -> bytes:
    """A request whose body comes in chunks."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


def part(
    name: str, data: bytes, *, filename: str = "image", type: str = "image/png", more: str = ""
) -> bytes:
    """A part of a form, without the boundary in front of it."""
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
    return (head + f"Content-Type: {type}\r\n{more}\r\n").encode() + data


def joined(parts: list[bytes], boundary: str = _BOUNDARY) -> bytes:
    """The body that has these parts."""
    edge = b"--" + boundary.encode()
    return b"".join(edge + b"\r\n" + each + b"\r\n" for each in parts) + edge + b"--\r\n"


def form(
    path: str, parts: list[bytes], *, boundary: str = _BOUNDARY, headers: Mapping[str, str] | None = None
) -> bytes:
    """A request with a form of these parts."""
    return form_of(path, joined(parts, boundary), boundary=boundary, headers=headers)


def form_of(
    path: str, body: bytes, *, boundary: str = _BOUNDARY, headers: Mapping[str, str] | None = None
) -> bytes:
    """A request whose body is said to be a form."""
    label = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return post(path, body, label | dict(headers or {}))


class _selector:
    """A selector of one connection, which may be written and read without waiting."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def __enter__(self) -> selectors.BaseSelector:
        return self._selector

    def __exit__(self, *_: object) -> None:
        self._selector.close()


def _drain(connection: socket.socket, reader: Answers) -> None:
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        try:
            data = connection.recv(_PIECE_BYTES)
        except OSError:
            return
        if not data:
            return
        reader.feed(data)


def lines_of(answer: Answer) -> Iterator[Any]:
    """The objects of an answer that has one per line."""
    for line in answer.body.splitlines():
        yield json.loads(line)
