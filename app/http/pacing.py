"""How much the connections of a process get done in one turn of its event loop, so that no turn is long.

Without it a turn parses all that has arrived and begins every request in it: five hundred clients that each
pipeline a few held up all others, and the probes, for seconds.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.http.file_descriptors import has_unread

_TURN_S: Final = 0.004
"""What is parsed and begun in a turn takes so much of a processor's time, and one step more."""
_REQUEST_S: Final = 0.001
"""What a request takes of the turn after the one that began it."""
_MOST_PROBES: Final = 8
"""So many probes a turn go before everything else; further ones take their turn."""
_PROBES: Final = tuple(b"GET %b " % path for path in (b"/livez", b"/readyz", b"/v1/livez", b"/v1/readyz"))
_LONGEST_PROBE: Final = 1024
_PIECE: Final = 16 * 1024
"""Bytes that are parsed in a step, but for bodies of known length: they can be thousands of chunks."""
_END_OF_HEAD: Final = b"\r\n\r\n"

_Step = tuple[Callable[[], None], float]


def _ignore() -> None:
    pass


class LoopTurns:
    """The turns of an event loop, shared out among callers: one step of each, round and round.

    A step is done at once where nothing waits and the turn has time left.

    Attributes:
        on_busy: called in each turn in which something waits. An event loop accepts one connection a turn.
    """

    def __init__(self) -> None:
        self.on_busy: Callable[[], None] = _ignore
        self._lines: dict[Hashable, deque[_Step]] = {}  # whose turn it is comes first
        self._began = self._left_s = 0.0
        self._probes = 0
        self._turning = False

    def parse(self, caller: Hashable, step: Callable[[], None], *, first: bool = False) -> None:
        """Parses what has arrived of a caller, now or in a later turn; `first` of what is the caller's."""
        self._turn_on()
        if not self._busy:
            self._take((step, 0.0))
            return
        line = self._lines.setdefault(caller, deque())
        (line.appendleft if first else line.append)((step, 0.0))

    def begin(self, caller: Hashable, step: Callable[[], None]) -> None:
        """Begins a request of a caller, now or in a later turn: before more is parsed, which takes memory."""
        self._turn_on()
        if self._busy:
            self._lines.setdefault(caller, deque()).appendleft((step, _REQUEST_S))
        else:
            self._take((step, _REQUEST_S))

    def let_probe_pass(self) -> bool:
        """Whether a probe may go before all that waits."""
        self._turn_on()
        self._probes += 1
        return self._probes <= _MOST_PROBES

    @property
    def _busy(self) -> bool:
        return bool(self._lines) or self._left_s <= 0

    def _turn_on(self) -> None:
        if not self._turning:
            self._turning = True
            self._began, self._left_s, self._probes = time.thread_time(), _TURN_S, 0
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        if not self._lines:
            return
        over_s = time.thread_time() - self._began - _TURN_S  # what was begun took longer than expected
        self._turn_on()
        self._left_s -= min(max(0.0, over_s), _TURN_S / 2)
        self.on_busy()
        while self._lines and self._left_s > 0:
            caller, line = next(iter(self._lines.items()))
            del self._lines[caller]
            step = line.popleft()
            if line:
                self._lines[caller] = line
            self._take(step)

    def _take(self, step: _Step) -> None:
        do, after_s = step
        began = time.thread_time()
        try:
            do()
        finally:
            self._left_s -= time.thread_time() - began + after_s


class PacedConnection(HttpToolsProtocol):
    """uvicorn's connection, which parses what it gets and begins its requests when the turn is its own.

    Args:
        turns: of the process.
        config: uvicorn's, as everything that follows.
        server_state: of the process.
        app_state: copied into each request's scope.

    Attributes:
        deaf: whatever comes is thrown away.
    """

    def __init__(
        self,
        turns: LoopTurns,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.deaf = False
        self._turns = turns
        self._unparsed: deque[memoryview] = deque()
        self._body_left = 0  # of a body of known length
        self._probing = False

    @property
    def behind(self) -> bool:
        """Whether there is something to parse that the client has sent."""
        return bool(self._unparsed)

    def has_sent(self) -> bool:
        """Whether something of the client has arrived that was not read yet; that it left does not count."""
        socket = self.transport.get_extra_info("socket")
        return socket is not None and not self.transport.is_closing() and has_unread(socket.fileno())

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        if self._unparsed:  # reading was resumed for a request before it
            self._unparsed.append(memoryview(data))
        elif _is_probe(data) and self._turns.let_probe_pass():
            self._probing = True
            self.parse(data)
            self._probing = False
        else:
            self._unparsed.append(memoryview(data))
            self._parse_later()
        if self._unparsed:
            self.flow.pause_reading()

    def parse(self, data: bytes) -> None:
        """Takes what has arrived."""
        super().data_received(data)

    def shutdown(self) -> None:
        while self._unparsed:  # what has arrived is answered
            self._catch_up()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed.clear()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        lengths = [value for name, value in self.headers if name == b"content-length"]
        self._body_left = int(lengths[0]) if lengths else 0  # the parser has seen that it is a number
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_left -= len(body)
        super().on_body(body)

    def _catch_up(self) -> None:
        """Parses a piece of what has arrived."""
        if not self._unparsed:
            return
        data = self._unparsed.popleft()
        piece = max(_PIECE, self._body_left)
        if rest := data[piece:]:
            self._unparsed.appendleft(rest)
        last = not self._unparsed
        if last:
            self.flow.resume_reading()  # parsing may pause it again
        self.parse(bytes(data[:piece]))
        if self.deaf or self.transport.is_closing():
            self._unparsed.clear()
        if self._unparsed:
            self._parse_later()

    def _parse_later(self) -> None:
        # The body of a request that has begun goes before further heads: it ends what is under way.
        self._turns.parse(self._caller, self._catch_up, first=self._body_left > 0)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._probing:
            super()._start_asgi_task(cycle, app)
        else:
            self._turns.begin(self._caller, partial(self._begin, cycle, app))

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if not cycle.disconnected:
            super()._start_asgi_task(cycle, app)

    @property
    def _caller(self) -> Hashable:
        return self.client[0] if self.client else None


def _is_probe(data: bytes) -> bool:
    """Whether this is one request for a probe, and nothing else."""
    return (
        data.startswith(_PROBES)
        and len(data) <= _LONGEST_PROBE
        and data.find(_END_OF_HEAD) == len(data) - len(_END_OF_HEAD)
    )
