"""Limits of connections, by clients that do as they like, and by a transport without a network."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from app.http.connections import Connection
from app.http.door import ConnectionLimits, Door
from tests.app.running import eventually

_PATIENCE_S = 30.0
_LONG = ConnectionLimits(most=50, head_s=60, body_s=60, answer_s=60)
_GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_PIECE = bytes(1_000_000)
_MOST_PIECES = 100  # far more than sockets keep


@dataclass
class App:
    """Answers with the body's length and the names of the headers; or as the path says."""

    held: int = 0  # requests that wait to be let go
    let_go: threading.Event = field(default_factory=threading.Event)
    pieces: int = 0  # of long answers, sent so far
    ended: int = 0  # requests that are done with, however

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        finally:
            self.ended += 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/long":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for _ in range(_MOST_PIECES):
                    await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
                    self.pieces += 1
                await send({"type": "http.response.body"})
            case "/whole":
                await _say(send, _PIECE * 64, [(b"connection", b"close")])
            case "/early":
                await _say(send, b"early")
            case "/held":
                self.held += 1
                leaving = asyncio.create_task(_left(receive))
                while not (self.let_go.is_set() or leaving.done()):
                    await asyncio.sleep(0.01)
                leaving.cancel()
                await _say(send, b"held")
            case _:
                length = 0
                message: Message = {"more_body": True}
                while message.get("more_body"):
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    length += len(message["body"])
                names = b",".join(name for name, _ in scope["headers"])
                await _say(send, b"%d %b" % (length, names))


async def _say(send: Send, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@dataclass
class Running:
    """A server in a thread."""

    app: App
    server: uvicorn.Server
    address: tuple[str, int]
    registry: CollectorRegistry
    door: Door

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=_PATIENCE_S)

    def refused(self, reason: str) -> float:
        return self.registry.get_sample_value("refused_total", {"reason": reason}) or 0.0

    def open(self) -> int:
        return len(self.server.server_state.connections)


@contextmanager
def running(limits: ConnectionLimits = _LONG) -> Iterator[Running]:
    """The protocol under a small application."""
    registry = CollectorRegistry()
    door = Door(limits, Counter("refused", "Refused.", ("reason",), registry=registry))
    app = App()
    http = cast("type[asyncio.Protocol]", partial(Connection, door))
    config = uvicorn.Config(
        app, http=http, ws="none", loop="uvloop", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        eventually(lambda: server.started)
        yield Running(app, server, listener.getsockname(), registry, door)
    finally:
        app.let_go.set()
        server.should_exit = server.force_exit = True
        thread.join(_PATIENCE_S)
        listener.close()
        assert not thread.is_alive()


def _everything(client: socket.socket) -> bytes:
    """What comes until the connection is closed, or reset."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := client.recv(1 << 20):
            received += data
    return received


def _until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        data = client.recv(65_536)
        assert data, received
        received += data
    return received


def _sent(server: Running, request: bytes) -> bytes:
    """What is answered to a request, until the connection is closed."""
    with server.connect() as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
        return _everything(client)


def _statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


# Heads


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * 1_000_000 + b": long\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Never-Ends: " + b"x" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"GET /" + b"x" * 66_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n" * 500_000,
        _GET + b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n",
    ],
    ids=["value", "name", "without end", "fields", "path", "lines of nothing", "behind a request"],
)
def test_a_large_head_is_refused(head: bytes) -> None:
    with running() as server:
        answers = _sent(server, head)
        assert _statuses(answers)[-1] == 431
        assert b"connection: close" in answers
        assert server.refused("large-head") == 1
        eventually(lambda: server.open() == 0)
        assert _statuses(_sent(server, _GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == [200]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 98 + b"Connection: close\r\n\r\n",
    ],
    ids=["path", "fields"],
)
def test_a_head_within_the_limits_is_taken(head: bytes) -> None:
    with running() as server:
        assert _statuses(_sent(server, head)) == [200]


def test_a_head_may_come_in_pieces() -> None:
    with running() as server, server.connect() as client:
        for byte in _GET:
            client.sendall(bytes([byte]))
        assert _until(client, b"host").startswith(b"HTTP/1.1 200")


def test_who_says_nothing_is_sent_away_without_a_word() -> None:
    with running(ConnectionLimits(most=9, head_s=0.1, body_s=60)) as server, server.connect() as client:
        assert _everything(client) == b""
        assert server.refused("slow-head") == 1


@pytest.mark.parametrize("before", [b"", _GET], ids=["at first", "after a request"])
def test_half_a_head_is_waited_for_a_while(before: bytes) -> None:
    with running(ConnectionLimits(most=9, head_s=0.3, body_s=60)) as server:
        answers = _sent(server, before + b"GET / HTTP/1.1\r\nHost: x\r\nHo")
        assert _statuses(answers) == [*([200] if before else []), 408]
        assert server.refused("slow-head") == 1
        eventually(lambda: server.open() == 0)


def test_an_empty_line_does_not_keep_a_connection() -> None:
    with running(ConnectionLimits(most=9, head_s=0.3, body_s=60)) as server, server.connect() as client:
        client.sendall(_GET)
        _until(client, b"host")
        client.sendall(b"\r\n")
        assert _everything(client) == b""


def test_between_requests_uvicorns_own_time_runs() -> None:
    with running(ConnectionLimits(most=9, head_s=0.1, body_s=0.1)) as server, server.connect() as client:
        for _ in range(3):
            client.sendall(_GET)
            _until(client, b"host")
            # Longer than a head may take.
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(_PATIENCE_S)
        assert server.refused("slow-head") == 0


def test_while_a_request_is_answered_nobody_has_to_say_anything() -> None:
    with running(ConnectionLimits(most=9, head_s=0.1, body_s=0.1)) as server, server.connect() as client:
        client.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.app.held)
        client.settimeout(0.4)
        with pytest.raises(TimeoutError):
            client.recv(1)
        server.app.let_go.set()
        client.settimeout(_PATIENCE_S)
        assert _until(client, b"held").startswith(b"HTTP/1.1 200")


# Bodies


def test_the_rest_of_an_answered_body_is_waited_for_a_while() -> None:
    with running(ConnectionLimits(most=9, head_s=60, body_s=0.2)) as server, server.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        _until(client, b"early")
        client.sendall(b"def")
        assert _everything(client) == b""
        assert server.refused("slow-body") == 1


def test_after_the_rest_of_an_answered_body_comes_the_next_request() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        _until(client, b"early")
        client.sendall(b"def" + _GET)
        assert _until(client, b"host").startswith(b"HTTP/1.1 200")


def test_who_asks_whether_to_send_is_told() -> None:
    with running() as server, server.connect() as client:
        client.sendall(_POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert _until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert b"3 host" in _until(client, b"expect")


@pytest.mark.parametrize(
    "rest",
    [
        b"2;" + b"x" * 1_000_000 + b"\r\nab\r\n0\r\n\r\n",
        b"2\r\nab\r\n0\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"2\r\nab\r\n0\r\n" + b"X: y\r\n" * 200_000 + b"\r\n",
    ],
    ids=["a chunk's extension", "a trailer", "trailers"],
)
def test_what_is_around_chunks_is_bounded(rest: bytes) -> None:
    with running() as server:
        assert _statuses(_sent(server, _POST + _CHUNKED + rest)) == [431]
        eventually(lambda: server.app.ended == 1)  # it was told that nobody waits


def test_extensions_of_all_chunks_count_together() -> None:
    with running() as server, server.connect() as client:
        client.sendall(_POST + _CHUNKED)
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                time.sleep(0.02)  # one read each
                client.sendall(b"2;" + b"x" * 2_000 + b"\r\nab\r\n")
        with contextlib.suppress(ConnectionError):
            answer = _until(client, b"\r\n\r\n")
        assert _statuses(answer) == [431]


def test_chunks_of_a_byte_are_taken() -> None:
    with running() as server, server.connect() as client:
        client.sendall(_POST + _CHUNKED + b"1;a=b\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
        assert b"50000 host" in _until(client, b"transfer-encoding")


def test_trailers_are_no_headers() -> None:
    trailed = _POST + _CHUNKED + b"2\r\nab\r\n0\r\nAuthorization: late\r\n\r\n"
    with running() as server:
        answers = _sent(server, trailed + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert _statuses(answers) == [200, 200]
    assert b"2 host,transfer-encoding" in answers
    assert b"authorization" not in answers


def test_an_offer_to_speak_another_protocol_is_ignored() -> None:
    # As Java's client makes it, with its first request.
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(_GET)
    with running() as server, server.connect() as client:
        client.sendall(_POST + offer + length + _GET)
        answer = _until(client, b"content-length")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\n%d host" % len(_GET) in answer
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")
        assert _until(client, b"http2-settings").startswith(b"HTTP/1.1 200")


def test_a_body_behind_an_offer_is_never_taken_for_a_request() -> None:
    # In pieces the parser sees the offer, and skips the body.
    with running() as server, server.connect() as client:
        client.sendall(_POST + b"Connection: upgrade\r\nUpg")
        time.sleep(0.1)
        client.sendall(b"rade: h2c\r\nContent-Length: %d\r\n\r\n" % len(_GET) + _GET)
        assert _statuses(_until(client, b"\r\n\r\n")) == [400]


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        (b"1.1", b"Host: x\r\n", 200),
        (b"1.1", b"Host: [::1]:8000\r\n", 200),
        (b"1.1", b"Host:\r\n", 200),
        (b"1.0", b"", 200),
        (b"1.1", b"", 400),
        (b"1.1", b"Host: x\r\nHost: x\r\n", 400),
        (b"1.1", b"Host: x\r\nHOST: y\r\n", 400),
        (b"1.0", b"Host: x\r\nHost: y\r\n", 400),
        (b"1.1", b"Host: x/../y\r\n", 400),
        (b"1.1", b"Host: x@y\r\n", 400),
        (b"1.1", b"Host: x, y z\r\n", 400),
    ],
)
def test_a_request_names_one_host(version: bytes, hosts: bytes, status: int) -> None:
    """RFC 9112, 3.2."""
    with running() as server:
        request = b"GET / HTTP/%b\r\n%bConnection: close\r\n\r\n" % (version, hosts)
        assert _statuses(_sent(server, request)) == [status]


# Several requests at once


def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    with running() as server, server.connect() as client:
        client.sendall(
            b"".join(b"GET / HTTP/1.1\r\nHost: x\r\nX-%d: y\r\n\r\n" % number for number in range(8))
        )
        answers = _until(client, b"x-7")
        assert _statuses(answers) == [200] * 8
        found = [answers.index(b"0 host,x-%d" % number) for number in range(8)]
        assert found == sorted(found)


def test_not_every_number_of_them_is_kept() -> None:
    with running() as server:
        statuses = _statuses(_sent(server, b"GET /early HTTP/1.1\r\nHost: x\r\n\r\n" * 5000))
        assert set(statuses) == {200}
        assert 8 <= len(statuses) < 5000
        eventually(lambda: server.open() == 0)


def test_who_leaves_is_missed_by_all_his_requests() -> None:
    with running() as server:
        with server.connect() as client:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
            eventually(lambda: server.app.held == 1)
        eventually(lambda: server.app.ended == 1)
        assert server.app.held == 1


def test_a_refusal_ends_what_was_asked_before() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.app.held)
        client.sendall(b"\0\0\r\n\r\n")
        assert _statuses(_everything(client)) == [400]
        eventually(lambda: server.app.ended == 1)


def test_no_refusal_is_written_into_another_answer() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.app.pieces)
        client.sendall(b"\0\0\r\n\r\n")
        assert _statuses(_everything(client)) == [200]
        eventually(lambda: server.app.ended == 1)


# Their number


def test_the_longest_idle_gives_way() -> None:
    with running(ConnectionLimits(most=3, head_s=60, body_s=60)) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(3)]
        for client in clients:
            client.sendall(_GET)
            _until(client, b"host")
        clients[0].sendall(_GET)  # now the second one has been idle longest
        _until(clients[0], b"host")
        newcomer = stack.enter_context(server.connect())
        newcomer.sendall(_GET)
        _until(newcomer, b"host")
        assert _everything(clients[1]) == b""
        for client in (clients[0], clients[2], newcomer):
            client.sendall(_GET)
            _until(client, b"host")
        assert server.refused("too-many") == 1
        assert server.open() == 3


def test_where_all_are_being_answered_a_newcomer_is_refused() -> None:
    with running(ConnectionLimits(most=2, head_s=60, body_s=60)) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(2)]
        for client in clients:
            client.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.app.held == 2)
        with server.connect() as newcomer:
            refusal = _everything(newcomer)
        assert _statuses(refusal) == [503]
        assert b"retry-after" in refusal
        assert server.refused("too-many") == 1
        server.app.let_go.set()
        for client in clients:
            assert _until(client, b"held").startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_slow_body_gives_way_to_a_newcomer() -> None:
    with running(ConnectionLimits(most=2, head_s=60, body_s=60)) as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(2)]
        for client in slow:
            client.sendall(_POST + b"Content-Length: 1000\r\n\r\nabc")
        eventually(lambda: len(server.door.receiving) == 2)
        with server.connect() as newcomer:  # they have not had their time yet
            assert _statuses(_everything(newcomer)) == [503]
        for _ in range(6):
            time.sleep(0.5)
            for client in slow:
                client.sendall(b"x")  # a little all the time is slow too
        with server.connect() as newcomer:
            newcomer.sendall(_GET)
            assert _statuses(_until(newcomer, b"host")) == [200]
        assert _statuses(_everything(slow[0])) == [408]
        assert server.refused("slow-body") == 1
        eventually(lambda: server.app.ended == 2)  # the application was told
        slow[1].sendall(b"x" * (1000 - 3 - 6))
        assert b"1000 host" in _until(slow[1], b"content-length")


def test_large_heads_of_all_connections_are_bounded() -> None:
    limits = ConnectionLimits(most=9, head_s=60, body_s=60, heads=50_000)
    large = b"GET /held?" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    with running(limits) as server, server.connect() as first, server.connect() as second:
        first.sendall(large)
        eventually(lambda: server.app.held == 1)
        assert server.door.head_bytes > 40_000
        assert _statuses(_sent(server, large)) == [503]
        assert server.refused("heads") == 1
        second.sendall(_GET)  # a small one is taken all the same
        _until(second, b"host")
        server.app.let_go.set()
        _until(first, b"held")
        eventually(lambda: server.door.head_bytes == 0)


# Readers


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    with (
        running(ConnectionLimits(most=9, head_s=60, body_s=60, answer_s=0.2)) as server,
        server.connect() as client,
    ):
        client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.app.ended == 1)
        eventually(lambda: server.open() == 0)
        assert server.refused("stalled-reader") == 1


def test_closing_does_not_wait_for_a_reader_either() -> None:
    with (
        running(ConnectionLimits(most=9, head_s=60, body_s=60, answer_s=0.2)) as server,
        server.connect() as client,
    ):
        client.sendall(b"GET /whole HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.app.ended == 1)
        eventually(lambda: server.open() == 0)
        assert server.refused("stalled-reader") == 1


def test_a_long_answer_is_read_to_its_end() -> None:
    with running() as server, server.connect() as client:
        client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        while data := client.recv(1 << 20):
            received += len(data)
        assert received > _MOST_PIECES * len(_PIECE)


class _Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes when it is told so; nothing else runs in it."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[tuple[Callable[..., object], tuple[Any, ...], asyncio.TimerHandle]] = []

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(delay, callback, args, self)
        self.due.append((callback, args, handle))
        return handle

    def pass_time(self) -> None:
        """All timers that have been set run out, except those that were cancelled."""
        due, self.due = self.due, []
        for callback, args, handle in due:
            if not handle.cancelled():
                callback(*args)


class _Transport(asyncio.Transport):
    """One whose client reads as the test says."""

    unread = 0
    closing = aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unread += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
def clock() -> Iterator[_Clock]:
    clock = _Clock()
    yield clock
    clock.close()


def _behind(clock: _Clock, unread: int) -> tuple[Connection, _Transport]:
    """A connection whose client is so many bytes behind with reading, and which may not be written to."""
    door = Door(_LONG, Counter("refused", "Refused.", ("reason",), registry=CollectorRegistry()))
    config = uvicorn.Config(App(), ws="none", log_config=None, access_log=False)
    connection = Connection(door, config, ServerState(), {}, _loop=clock)
    transport = _Transport()
    connection.connection_made(transport)
    clock.due.clear()  # of the head
    transport.unread = unread
    connection.pause_writing()
    return connection, transport


def test_a_slow_reader_is_waited_for_as_long_as_he_reads(clock: _Clock) -> None:
    _, transport = _behind(clock, 1_000_000)
    for _ in range(20):
        transport.unread -= 20_000
        clock.pass_time()
        assert not transport.aborted
    transport.unread -= 1
    clock.pass_time()
    assert transport.aborted


def test_who_has_caught_up_has_all_the_time_again(clock: _Clock) -> None:
    connection, transport = _behind(clock, 70_000)
    transport.unread = 10_000
    connection.resume_writing()
    clock.pass_time()
    transport.unread = 70_000
    connection.pause_writing()
    transport.unread = 50_000
    clock.pass_time()
    assert not transport.aborted
    clock.pass_time()
    assert transport.aborted


def test_closing_watches_the_rest_though_it_is_little(clock: _Clock) -> None:
    connection, transport = _behind(clock, 70_000)
    transport.close()
    transport.unread = 10_000
    connection.resume_writing()
    clock.pass_time()
    assert transport.aborted


# Draining


def test_an_ending_server_closes_the_idle_and_answers_the_others() -> None:
    with running() as server, server.connect() as idle, server.connect() as half, server.connect() as busy:
        idle.sendall(_GET)
        _until(idle, b"host")
        half.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nHo")
        busy.sendall(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: server.app.held)
        server.server.should_exit = True
        assert _everything(idle) == b""
        assert _everything(half) == b""
        server.app.let_go.set()
        answer = _everything(busy)
        assert _statuses(answer) == [200]
        assert b"connection: close" in answer
