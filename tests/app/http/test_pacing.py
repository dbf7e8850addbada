"""Turns of an event loop: what is done in one, for whom, and what need not wait; without a network."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.http.pacing import LoopTurns, PacedConnection

_LONG_S = 0.005  # longer than a turn
_PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


def _busy(done: list[str], name: str, seconds: float = _LONG_S) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    done.append(name)


async def _all_done(done: list[str], count: int) -> None:
    for _ in range(1000):
        if len(done) == count:
            return
        await asyncio.sleep(0)
    raise AssertionError(done)


def test_a_turn_ends_when_its_time_is_up() -> None:
    async def told() -> None:
        turns, done = LoopTurns(), list[str]()
        for number in range(4):
            turns.parse("a", partial(_busy, done, str(number)))
        assert done == ["0"]
        turn = 0
        while len(done) < 4:
            turn += 1
            await asyncio.sleep(0)
            assert len(done) <= 1 + turn  # others had their turn in between
        assert done == ["0", "1", "2", "3"]

    asyncio.run(told())


def test_short_steps_are_done_at_once() -> None:
    async def told() -> None:
        turns, done = LoopTurns(), list[str]()
        for number in range(3):
            turns.parse("a", partial(done.append, str(number)))
        assert done == ["0", "1", "2"]

    asyncio.run(told())


def test_callers_take_turns_whatever_they_ask_for() -> None:
    async def told() -> None:
        turns, done = LoopTurns(), list[str]()
        for caller, count in (("many", 5), ("few", 1), ("some", 2)):
            for _ in range(count):
                turns.parse(caller, partial(_busy, done, caller))
        await _all_done(done, 8)
        assert done == ["many", "many", "few", "some", "many", "some", "many", "many"]

    asyncio.run(told())


def test_what_has_been_parsed_goes_before_what_has_not() -> None:
    async def told() -> None:
        turns, done = LoopTurns(), list[str]()
        turns.parse("a", partial(_busy, done, "parsed"))
        turns.parse("a", partial(_busy, done, "parsed too"))
        turns.begin("a", partial(_busy, done, "begun"))
        await _all_done(done, 3)
        assert done == ["parsed", "begun", "parsed too"]

    asyncio.run(told())


def test_what_ends_a_request_goes_before_new_ones() -> None:
    async def told() -> None:
        turns, done = LoopTurns(), list[str]()
        turns.parse("a", partial(_busy, done, "long"))
        turns.parse("a", partial(done.append, "head"))
        turns.parse("a", partial(done.append, "body"), first=True)
        await _all_done(done, 3)
        assert done == ["long", "body", "head"]

    asyncio.run(told())


def test_requests_begun_count_though_they_run_later() -> None:
    async def told() -> None:
        turns, done = LoopTurns(), list[str]()
        for _ in range(20):
            turns.begin("a", partial(done.append, "begun"))
        assert 1 <= len(done) < 20
        await _all_done(done, 20)

    asyncio.run(told())


def test_a_step_that_fails_stops_no_other() -> None:
    async def told() -> None:
        turns, done = LoopTurns(), list[str]()
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        turns.parse("a", partial(_busy, done, "first"))
        turns.parse("a", [].pop)
        turns.parse("a", partial(done.append, "last"))
        await _all_done(done, 2)
        assert len(faults) == 1

    asyncio.run(told())


def test_newcomers_are_taken_while_the_loop_is_busy() -> None:
    async def told() -> None:
        turns, done, taken = LoopTurns(), list[str](), list[str]()
        turns.on_busy = partial(taken.append, "taken")
        turns.parse("a", partial(done.append, "at once"))
        await asyncio.sleep(0)
        assert taken == []
        for _ in range(3):
            turns.parse("a", partial(_busy, done, "waited"))
        await _all_done(done, 4)
        assert len(taken) == 2

    asyncio.run(told())


@dataclass
class _App:
    """Reads each body, and answers nothing."""

    begun: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


class _Transport(asyncio.Transport):
    """One that notes whether it is read from."""

    closing = paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class _World:
    """An application, and its connections; one step of somebody has used the turn up."""

    def __init__(self) -> None:
        self.app = _App()
        self.turns = LoopTurns()
        self._config = uvicorn.Config(self.app, ws="none", log_config=None, access_log=False)
        self._config.load()
        self.state = ServerState()

    def connect(self) -> tuple[PacedConnection, _Transport]:
        connection = PacedConnection(self.turns, self._config, self.state, {})
        transport = _Transport()
        connection.connection_made(transport)
        return connection, transport

    def use_up(self) -> None:
        self.turns.parse(None, partial(_busy, [], ""))

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError(self.app)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/livez"])
def test_a_probe_does_not_wait_for_what_others_sent(path: str) -> None:
    async def told() -> None:
        world = _World()
        (late, transport), (probing, _) = world.connect(), world.connect()
        for _ in range(30):
            world.use_up()
        late.data_received(_PROBE.replace(b"/livez", b"/score"))
        assert late.behind
        assert transport.paused
        probing.data_received(_PROBE.replace(b"/livez", path.encode()))
        await asyncio.sleep(0)
        assert world.app.begun == [path]
        await world.until(lambda: world.app.begun == [path, "/score"])
        assert not transport.paused

    asyncio.run(told())


def test_a_flood_of_probes_waits_as_everything_does() -> None:
    async def told() -> None:
        world = _World()
        connections = [world.connect()[0] for _ in range(40)]
        world.use_up()
        for connection in connections:
            connection.data_received(_PROBE)
        await asyncio.sleep(0)
        assert 1 <= len(world.app.begun) < 20
        await world.until(lambda: len(world.app.begun) == 40)

    asyncio.run(told())


def test_a_request_behind_a_probe_is_no_probe() -> None:
    async def told() -> None:
        world = _World()
        connection, _ = world.connect()
        world.use_up()
        connection.data_received(_PROBE + _PROBE)
        assert connection.behind

    asyncio.run(told())


@pytest.mark.parametrize("chunked", [True, False])
def test_what_waits_stays_in_order(chunked: bool) -> None:
    content = bytes(range(256)) * 400
    if chunked:
        pieces = (content[at : at + 64] for at in range(0, len(content), 64))
        body = b"".join(b"40\r\n%b\r\n" % piece for piece in pieces) + b"0\r\n\r\n"
        head = b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        body, head = content, b"Content-Length: %d\r\n\r\n" % len(content)

    async def told() -> None:
        world = _World()
        connection, transport = world.connect()
        world.use_up()
        sent = _POST + head + body
        connection.data_received(sent[:70_000])
        connection.data_received(sent[70_000:])  # that was on its way
        await world.until(lambda: world.app.bodies)
        assert world.app.bodies == [content]
        assert not transport.paused

    asyncio.run(told())


def test_what_an_ending_server_has_received_is_answered() -> None:
    async def told() -> None:
        world = _World()
        connection, transport = world.connect()
        world.use_up()
        connection.data_received(_POST + b"Content-Length: 2\r\n\r\nhi")
        connection.shutdown()
        assert not transport.closing
        await world.until(lambda: transport.closing)
        assert world.app.bodies == [b"hi"]

    asyncio.run(told())


def test_a_client_that_has_left_is_not_begun_with() -> None:
    async def told() -> None:
        world = _World()
        (parsed, _), (unparsed, _) = world.connect(), world.connect()
        world.use_up()
        parsed.parse(_POST + b"\r\n")
        unparsed.data_received(_POST + b"\r\n")
        for connection in (parsed, unparsed):
            connection.connection_lost(None)
        for _ in range(10):
            await asyncio.sleep(0)
        assert world.app.begun == []

    asyncio.run(told())


def test_the_rest_of_a_body_does_not_wait_for_further_heads() -> None:
    async def told() -> None:
        world = _World()
        sending, _ = world.connect()
        others = [world.connect()[0] for _ in range(3)]
        sending.data_received(_POST + b"Content-Length: 10\r\n\r\n12345")
        await world.until(lambda: world.app.begun)
        world.use_up()
        for number, other in enumerate(others):
            other.data_received(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        sending.data_received(b"67890")
        await world.until(lambda: len(world.app.bodies) == 4)
        assert world.app.bodies == [b"1234567890", b"", b"", b""]

    asyncio.run(told())
