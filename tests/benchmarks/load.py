"""A load generator that costs little: HTTP/1.1 over kept connections, requests built before the clock starts.

    python -m tests.benchmarks.load URL [--connections 16 | --rate 5] [--seconds 10] [--trace mixed]

Closed loop: so many connections, each sends its next request when it has its answer; that measures capacity.
Open loop: requests arrive as a Poisson process (seeded) of a given rate and wait for nobody's answer, over
as many connections as it takes; that measures latency under a load. There latency counts from the moment at
which a request was *due*, so time for which the generator itself, or a full connection, held it back is not
forgotten.

It shares the machine with what it measures, so every report carries the CPU time that it took.
"""

import argparse
import asyncio
import json
import math
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Final
from urllib.parse import urlsplit

from tests.benchmarks.traces import Upload, make

BROKEN: Final = 0
"""Status of a request whose connection broke."""
LATE: Final = -1
"""Status of a request that had no answer in time."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BOUNDARY: Final = "an-image-follows"
_IDLE_S: Final = 2.0
"""A connection that was idle for longer is not used again: the server may be closing it at this moment."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Target":
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        number: of the request, in the order sent.
        status: of HTTP; BROKEN or LATE.
        due: when it should have been sent, in seconds of ``time.monotonic()``.
        sent: when it was.
        ended: when the whole answer was there, or none could come any more.
        body: empty unless bodies were to be kept.
    """

    number: int
    status: int
    due: float
    sent: float
    ended: float
    body: bytes = b""

    @property
    def latency_s(self) -> float:
        return self.ended - self.due


@dataclass(frozen=True)
class Report:
    """A run of the generator.

    Attributes:
        answers: of all requests that were sent.
        began: when the first was due, in seconds of ``time.monotonic()``.
        cpu_s: what the generator's process computed meanwhile.
        unsent: requests for which there was no connection any more.
    """

    answers: list[Answer]
    began: float
    cpu_s: float
    unsent: int = 0

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return max((answer.ended for answer in self.answers), default=self.began) - self.began

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == 200]

    @property
    def goodput(self) -> float:
        """Answers of status 200 per second."""
        return len(self.good) / self.seconds if self.answers else 0.0

    @property
    def statuses(self) -> dict[int, int]:
        """How often each status came."""
        return dict(sorted(Counter(answer.status for answer in self.answers).items()))

    @property
    def lateness_s(self) -> float:
        """How late requests were sent: the 99th percentile."""
        return percentile([answer.sent - answer.due for answer in self.answers], 0.99)

    def latency_s(self, share: float) -> float:
        """A percentile of the latency of good answers."""
        return percentile([answer.latency_s for answer in self.good], share)

    def summary(self) -> dict[str, object]:
        """The figures, for a JSON file; times in milliseconds."""
        return {
            "sent": len(self.answers),
            "unsent": self.unsent,
            "statuses": {str(status): number for status, number in self.statuses.items()},
            "seconds": round(self.seconds, 3),
            "goodput": round(self.goodput, 3),
            **{f"p{share}_ms": round(1000 * self.latency_s(share / 100), 1) for share in (50, 95, 99)},
            "generator_lateness_p99_ms": round(1000 * self.lateness_s, 1),
            "generator_cpu_share": round(self.cpu_s / self.seconds, 4) if self.answers else 0.0,
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def request(upload: Upload, path: str = "/score", *, form: bool = True) -> bytes:
    """The bytes of a POST with an image, as the form field ``image`` or as the body itself."""
    body, type = upload.data, upload.type
    if form:
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
            f"Content-Type: {upload.type}\r\n\r\n"
        )
        body = head.encode() + upload.data + f"\r\n--{_BOUNDARY}--\r\n".encode()
        type = f"multipart/form-data; boundary={_BOUNDARY}"
    header = (
        f"POST {path} HTTP/1.1\r\nHost: benchmark\r\n"
        f"Content-Type: {type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return header.encode() + body


async def closed_loop(
    target: Target,
    requests: Iterable[bytes],
    connections: int = 16,
    *,
    limit_s: float = math.inf,
    patience_s: float = 120.0,
    keep_bodies: bool = False,
    on_answer: Callable[[Answer], None] = lambda answer: None,
) -> Report:
    """Sends each request once, `connections` of them at a time.

    Args:
        target: where to.
        requests: their bytes, in order.
        connections: how many wait for an answer at any time.
        limit_s: after which no more are sent.
        patience_s: how long an answer is waited for.
        keep_bodies: whether the answers' bodies are kept.
        on_answer: called with each.
    """
    began, cpu = time.monotonic(), time.process_time()
    answers: list[Answer] = []
    coming = iter(enumerate(requests))

    async def work() -> None:
        connection = Connection(target, keep_bodies)
        try:
            for number, data in coming:
                now = time.monotonic()
                if now - began > limit_s:
                    return
                answer = await connection.ask(number, data, now, patience_s)
                answers.append(answer)
                on_answer(answer)
        finally:
            connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work())
    return Report(answers, began, time.process_time() - cpu)


async def open_loop(
    target: Target,
    requests: Iterable[bytes],
    rate: float,
    *,
    seed: int = 0,
    patience_s: float = 60.0,
    most_connections: int = 1000,
    keep_bodies: bool = False,
    on_answer: Callable[[Answer], None] = lambda answer: None,
) -> Report:
    """Sends each request once, at the moments of a Poisson process.

    Args:
        target: where to.
        requests: their bytes, in order.
        rate: requests per second.
        seed: of the moments of arrival.
        patience_s: how long an answer is waited for.
        most_connections: at a time; a request that would need one more is not sent, and counted as that.
        keep_bodies: whether the answers' bodies are kept.
        on_answer: called with each.
    """
    draw = random.Random(seed)
    idle: list[Connection] = []
    answers: list[Answer] = []
    waiting: set[asyncio.Task[None]] = set()
    unsent = 0
    cpu = time.process_time()

    async def ask(number: int, data: bytes, due: float) -> None:
        while idle and time.monotonic() - idle[-1].idle_since > _IDLE_S:
            idle.pop().close()
        connection = idle.pop() if idle else Connection(target, keep_bodies)
        answer = await connection.ask(number, data, due, patience_s)
        idle.append(connection)
        answers.append(answer)
        on_answer(answer)

    began = due = time.monotonic()
    try:
        for number, data in enumerate(requests):
            due += draw.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(waiting) >= most_connections:
                unsent += 1
                continue
            task = asyncio.create_task(ask(number, data, due))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.gather(*waiting)
    finally:
        for task in waiting:
            task.cancel()
        for connection in idle:
            connection.close()
    return Report(answers, began, time.process_time() - cpu, unsent)


@dataclass(eq=False)
class Connection(asyncio.Protocol):
    """A connection that is kept for one request after the other, and opened again where it broke."""

    target: Target
    keep_body: bool = False
    idle_since: float = 0.0
    _transport: asyncio.Transport | None = None
    _answer: "asyncio.Future[tuple[int, bytes]] | None" = None
    _received: bytearray = field(default_factory=bytearray)
    _missing: int | None = None  # bytes of the body; None before the header is whole
    _status: int = BROKEN
    _closes: bool = False

    async def ask(self, number: int, data: bytes, due: float, patience_s: float) -> Answer:
        """Sends a request and waits for the whole answer; a failure is a status too."""
        loop = asyncio.get_running_loop()
        status, body, sent = BROKEN, b"", time.monotonic()
        try:
            async with asyncio.timeout(patience_s):
                if self._transport is None or self._transport.is_closing():
                    await loop.create_connection(lambda: self, self.target.host, self.target.port)
                assert self._transport is not None
                self._answer = loop.create_future()
                sent = time.monotonic()
                self._transport.write(data)
                status, body = await self._answer
        except TimeoutError:
            status = LATE
            self.close()
        except OSError:
            self.close()
        self.idle_since = time.monotonic()
        return Answer(number, status, due, sent, self.idle_since, body)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._forget()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._missing is None and not self._read_header():
            return
        assert self._missing is not None
        if len(self._received) < self._missing:
            return
        body = bytes(self._received) if self.keep_body else b""
        status, closes = self._status, self._closes
        self._forget()
        if closes:
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, body))

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((BROKEN, b""))

    def _read_header(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        header = bytes(self._received[:end])
        length = _LENGTH.search(header)
        if not header.startswith(b"HTTP/1.1 ") or length is None:
            raise ValueError(f"Not an answer with a length: {header[:200]!r}")
        self._status = int(header[9:12])
        self._closes = b"\r\nconnection: close" in header.lower()
        self._missing = int(length[1])
        del self._received[: end + 4]
        return True

    def _forget(self) -> None:
        self._received.clear()
        self._missing, self._status, self._closes = None, BROKEN, False


def lines(report: Report) -> Iterator[str]:
    """The report for people."""
    ms = [1000 * report.latency_s(share) for share in (0.5, 0.95, 0.99)]
    yield f"{len(report.answers)} requests in {report.seconds:.1f} s, {report.goodput:.2f} good answers/s"
    yield f"latency p50 {ms[0]:.0f} ms, p95 {ms[1]:.0f} ms, p99 {ms[2]:.0f} ms"
    yield f"statuses {report.statuses}" + (f", {report.unsent} not sent" if report.unsent else "")
    yield (
        f"the generator took {100 * report.cpu_s / max(report.seconds, 1e-9):.1f} % of a core"
        f" and was at most {1000 * report.lateness_s:.1f} ms late (p99)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Load on a running server.")
    parser.add_argument("url", help="of the server, for example http://127.0.0.1:8000")
    parser.add_argument("--path", default="/score")
    parser.add_argument("--connections", type=int, default=16, help="of the closed loop")
    parser.add_argument("--rate", type=float, help="requests per second: an open loop")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--trace", default="mixed", help="mixed, or a size such as 512x384")
    parser.add_argument("--body", choices=("form", "raw"), default="form")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    uploads = make(arguments.trace, seed=arguments.seed)
    requests = [request(upload, arguments.path, form=arguments.body == "form") for upload in uploads]
    target = Target.of(arguments.url)
    if arguments.rate is None:
        run = closed_loop(target, cycle(requests), arguments.connections, limit_s=arguments.seconds)
    else:
        number = max(1, round(arguments.rate * arguments.seconds))
        run = open_loop(target, list(islice(cycle(requests), number)), arguments.rate, seed=arguments.seed)
    report = asyncio.run(run)
    print(json.dumps(report.summary()) if arguments.json else "\n".join(lines(report)))


if __name__ == "__main__":
    main()
