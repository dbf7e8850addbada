"""Clients' connections: uvicorn's, with limits on heads, on waiting, on reading answers, and on their number.

uvicorn takes heads of any length and waits for them, and for the reader of an answer, without end. Here a
connection that is not being answered always has a timer, and so has an answer that is not being read.
"""

import asyncio
import re
from collections import deque
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from app.http.door import (
    HEADS,
    LARGE_HEAD,
    PROGRESS,
    SLOW_BODY,
    SLOW_HEAD,
    STALLED_READER,
    TOO_MANY,
    BodyProgress,
    Door,
)
from app.http.pacing import PacedConnection

_MOST_HEAD_BYTES: Final = 64 * 1024
"""Of a request's first line, headers and trailers together; what proxies take is less (HAProxy 16 KiB, nginx
32 KiB). A head that is not complete can be longer by what is read at once."""
_MOST_FIELDS: Final = 100
"""Apache's number. A browser behind two proxies sends thirty."""
_SMALL_HEAD_BYTES: Final = 8 * 1024
"""nginx's number. A head that is no larger is taken whatever the others hold."""
_FIELD_BYTES: Final = 200
"""What a field takes beside its bytes: two objects and their places."""
_MOST_PIPELINED: Final = 8
"""Requests of one connection that wait for those before them; one read can bring ten thousand."""
_CHUNK_BYTES: Final = 24
"""Of the framing of a chunk: its size, and the ends of two lines."""
_MOST_EXTENSION_BYTES: Final = 16 * 1024
"""Of what clients add to the framing of all chunks of a body; Go's number."""
_HOST: Final = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=%:\[\]]*")  # RFC 9112, 3.2, by the letters of RFC 3986
_LINGER_S: Final = 2.0
"""Time for which the rest of a rejected body is still read and discarded: closing a connection while its
client sends resets it, and the answer may be lost."""
_LEAST_TAKEN_BYTES: Final = 16 * 1024
"""Of an answer, in each :attr:`ConnectionLimits.answer_s`: a client that takes less counts as not reading."""


class _Refusal(Exception):
    """Ends the parsing of a request; the status is that of the bare answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection(PacedConnection):
    """One connection; made by uvicorn for each that is accepted.

    Args:
        door: of the process.
        config: uvicorn's, as everything that follows.
        server_state: of the process.
        app_state: copied into each request's scope.
    """

    def __init__(
        self,
        door: Door,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(door.turns, config, server_state, app_state, _loop)
        self._door = door
        self._timer: asyncio.TimerHandle | None = None  # of a head, of a body, or of lingering
        self._reading: asyncio.TimerHandle | None = None  # of the client, its answer
        self._head_due = True  # also after connecting: silent connections are closed
        self._head_begun = False
        self._body_due = False
        self._head_bytes = 0
        self._fields = 0
        self._framing_bytes = 0  # since the last complete head or piece of a body
        self._extension_bytes = 0  # of a chunked body, beyond what its chunks need
        self._head_costs: deque[int] = deque()  # of the requests in work, the head that arrives last
        self._progress: BodyProgress | None = None  # of the body that arrives
        self._refusal = 400
        self._unanswered: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._door.limits.most:
            self._door.count(TOO_MANY)
            # Where all are being answered the newcomer goes, at once and with a word: a balancer can take it
            # elsewhere. Were it left to wait, this process would look like one that hangs.
            if not self._door.make_room(self.loop.time()):
                self.deaf = True
                transport.write(self._bare(503))
                transport.close()
                return
        self._door.idle[self] = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.idle.pop(self, None)
        self._door.receiving.pop(self, None)
        self._stop_timers()
        self._forsake()
        self._door.head_bytes -= sum(self._head_costs)
        self._head_costs.clear()
        super().connection_lost(exc)

    def parse(self, data: bytes) -> None:
        if self._body_due:
            self._extension_bytes += len(data)
        else:
            if not self._head_begun:
                data = _without_offers(data)
            self._head_due = True
        self._framing_bytes += len(data)
        super().parse(data)
        over = self._body_due and self._extension_bytes > _MOST_EXTENSION_BYTES
        if (over or self._framing_bytes > _MOST_HEAD_BYTES) and not self.deaf:
            # A head, the names that may follow a chunk's size, or trailers: pieces of them are put together
            # by copying, each time from the beginning.
            self._refuse(431)
        self._watch()

    def shutdown(self) -> None:
        super().shutdown()
        self._watch_reader()

    def send_400_response(self, msg: str) -> None:
        """The answer to what could not be parsed, or was not to be parsed further."""
        if len(self.pipeline) >= _MOST_PIPELINED:
            # What has been taken is answered, and the last answer says that the connection ends there.
            self.deaf = True
            self.cycle.keep_alive = False
            return
        self._refuse(self._refusal)

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_due = self._head_begun = True
        self._head_bytes = self._fields = 0
        self._head_costs.append(0)

    def on_url(self, url: bytes) -> None:
        self._take(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._take(len(name) + len(value) + len(": \r\n"), _FIELD_BYTES)
        # A trailer is dropped: it comes when the headers have been judged, and must not be taken for one.
        if not self._body_due:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._stop_parsing(400)
        if self.parser.should_upgrade() and any(
            name in (b"content-length", b"transfer-encoding") and value.strip() != b"0"
            for name, value in self.headers
        ):
            # The parser skips the body, and would take its remaining bytes for the next request. (It does not
            # see upgrade offers that arrive whole with the first bytes of a request.)
            self._stop_parsing(400)
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (self.parser.get_http_version() == "1.1" and not hosts):
            self._stop_parsing(400)
        if hosts and not _HOST.fullmatch(hosts[0]):
            self._stop_parsing(400)
        super().on_headers_complete()
        self._unanswered = [each for each in self._unanswered if not each.response_complete] + [self.cycle]
        self._door.idle.pop(self, None)
        self._framing_bytes = self._extension_bytes = 0
        self._head_due = self._head_begun = False
        self._body_due = True
        self._door.receiving[self] = self._progress = BodyProgress(self.loop.time())
        self.scope["state"][PROGRESS] = self._progress  # the application has not begun yet
        self._stop_timer()

    def on_chunk_header(self) -> None:
        """Called by the parser, which uvicorn does not use."""
        self._extension_bytes -= _CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        self._extension_bytes -= len(body)
        if self._progress is not None:
            self._progress.came(len(body), self.loop.time())
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._door.receiving.pop(self, None)
        self._body_due = False
        self._framing_bytes = 0
        self._stop_timer()

    # What the answers and the transport call

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._head_costs:
            self._door.head_bytes -= self._head_costs.popleft()
        if self._answered() and not self.transport.is_closing():
            self._door.idle[self] = None
        self._watch()
        self._watch_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading is None:
            self._expect_progress()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self._watch_reader()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: a client may offer another protocol (curl and Java do), and is answered in this one."""

    # What the door calls

    def leave(self) -> None:
        self.transport.abort()

    def leave_slow(self) -> None:
        if self.deaf:
            self.transport.abort()  # it is lingering already
            return
        self._give_up_with(408)
        self._close()

    def held_up(self) -> bool:
        return self.flow.read_paused

    # Timers

    def _watch(self) -> None:
        """Limits the wait for a client that is not being answered."""
        if self._timer is not None or self.deaf or not self._answered() or self.transport.is_closing():
            return
        limits = self._door.limits
        if self._body_due:
            self._timer = self.loop.call_later(limits.body_s, self._on_slow_body)
        elif self._head_due:
            self._timer = self.loop.call_later(limits.head_s, self._on_slow_head)
        elif self.timeout_keep_alive_task is None:
            # The rest of a body ended it.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _on_slow_head(self) -> None:
        self._timer = None
        if self.behind:  # it is not the client that is slow
            self._watch()
            return
        if self._head_begun:
            self._refuse(408)
            return
        # A client that has sent nothing expects no answer: it may keep the connection for later.
        self._door.count(SLOW_HEAD)
        self._close()

    def _on_slow_body(self) -> None:
        self._timer = None
        self._door.count(SLOW_BODY)
        self._close()

    def _watch_reader(self) -> None:
        """Closing waits until all is sent; this sees to it that it does not wait for ever."""
        if self._reading is None and self.transport.is_closing():
            self._expect_progress()

    def _expect_progress(self) -> None:
        if unread := self.transport.get_write_buffer_size():
            self._reading = self.loop.call_later(self._door.limits.answer_s, self._on_no_progress, unread)

    def _on_no_progress(self, before: int) -> None:
        # Nothing is written meanwhile: it is paused, or the connection is closing.
        self._reading = None
        unread = self.transport.get_write_buffer_size()
        if unread <= before - _LEAST_TAKEN_BYTES:
            self._expect_progress()
        elif unread:
            self._door.count(STALLED_READER)
            self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_timers(self) -> None:
        self._stop_timer()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    # Ends

    def _answered(self) -> bool:
        """Whether there is no request that waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    def _take(self, size: int, beside: int = 0) -> None:
        self._head_bytes += size
        if self._head_bytes > _MOST_HEAD_BYTES or self._fields > _MOST_FIELDS:
            self._stop_parsing(431)
        self._head_costs[-1] += size + beside
        self._door.head_bytes += size + beside
        # Whose pipeline or head is small is let in all the same; the number of connections bounds those.
        large = len(self._head_costs) > 1 or self._head_bytes > _SMALL_HEAD_BYTES
        over = large and self._door.head_bytes > self._door.limits.heads
        if over and not self._door.end_slow(self.loop.time()):
            self._stop_parsing(503)

    def _stop_parsing(self, status: int) -> None:
        """Out of a callback: the parser then fails, and :meth:`send_400_response` is called."""
        self._refusal = status
        raise _Refusal(status)

    def _refuse(self, status: int) -> None:
        """Answers what never reaches the application, and gives up what was to be answered before."""
        if status in _REASONS:
            self._door.count(_REASONS[status])
        self._give_up_with(status)
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _give_up_with(self, status: int) -> None:
        """A bare answer is the last thing that is written; aborts where it would stand in another answer."""
        self.deaf = True
        self._stop_timer()
        began = any(each.response_started and not each.response_complete for each in self._unanswered)
        self._forsake()
        if began or self.transport.is_closing():
            self.transport.abort()
            return
        self.transport.write(self._bare(status))

    def _close(self) -> None:
        self.transport.close()
        self._watch_reader()

    def _forsake(self) -> None:
        """Tells every running request cycle that its client is gone; uvicorn tells only the last one."""
        self.pipeline.clear()
        for cycle in self._unanswered:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.flow.resume_writing()

    def _bare(self, status: int) -> bytes:
        """An answer that only says its status, as uvicorn's own do."""
        headers = [*self.server_state.default_headers, *_BARE_HEADERS]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join([STATUS_LINE[status], *lines, b"\r\n"])


def _without_offers(data: bytes) -> bytes:
    """The first bytes of a request without an offer to speak another protocol.

    Java's client makes one (h2c) with its first request, body and all. It may be ignored (RFC 9110, 7.8), but
    the parser would stop behind the head for it.
    """
    if b"pgrade:" not in data:  # whatever the case of its first letter
        return data
    head, end, rest = data.partition(b"\r\n\r\n")
    return _OFFER.sub(b"", head) + end + rest if end else data


_OFFER: Final = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)
_REASONS: Final = {431: LARGE_HEAD, 408: SLOW_HEAD, 503: HEADS}
_BARE_HEADERS: Final = ((b"content-length", b"0"), (b"connection", b"close"), (b"cache-control", b"no-store"))
