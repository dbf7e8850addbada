"""The load generator: that it sends what it should, when it should, and counts what comes back."""

import asyncio
import email
import email.policy
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.benchmarks.load import (
    BROKEN,
    LATE,
    Answer,
    Report,
    Target,
    closed_loop,
    open_loop,
    percentile,
    request,
)
from tests.benchmarks.traces import Upload

UPLOAD = Upload(b"\xff\xd8 not quite an image, with \0 and \x80", "image/jpeg", 3, 2, "web")
Behavior = Callable[["Peer", int], Awaitable[int | None]]


class Peer:
    """A server that reads requests and answers each as told: a status, or None to close the connection."""

    def __init__(self, behave: Behavior) -> None:
        self.bodies: list[bytes] = []
        self.present = 0
        self.most_present = 0
        self.connections = 0
        self._behave = behave

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while header := await _header(reader):
                length = next(
                    int(line.split(b":")[1])
                    for line in header.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                number = len(self.bodies)
                self.bodies.append(await reader.readexactly(length))
                self.present += 1
                self.most_present = max(self.most_present, self.present)
                try:
                    status = await self._behave(self, number)
                finally:
                    self.present -= 1
                if status is None:
                    return
                body = b"answer %d" % number
                head = f"HTTP/1.1 {status} Whatever\r\nserver: x\r\nContent-Length: {len(body)}\r\n\r\n"
                # In two parts, as it may arrive.
                writer.write(head.encode() + body[:3])
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(body[3:])
                await writer.drain()
        finally:
            writer.close()


async def _header(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


@asynccontextmanager
async def peer(behave: Behavior) -> AsyncIterator[tuple[Peer, Target]]:
    made = Peer(behave)
    tasks: set[asyncio.Task[None]] = set()

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    try:
        yield made, Target("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(behave: Behavior, attack: Callable[[Target], Awaitable[Report]]) -> tuple[Report, Peer]:
    async def both() -> tuple[Report, Peer]:
        async with peer(behave) as (made, target):
            return await attack(target), made

    return asyncio.run(both())


async def well(peer: Peer, number: int) -> int:
    return 200


def numbered(count: int) -> list[bytes]:
    uploads = [Upload(b"image %d" % number, "image/jpeg", 1, 1, "web") for number in range(count)]
    return [request(upload, form=False) for upload in uploads]


def test_a_closed_loop_sends_each_once_with_so_many_on_the_way() -> None:
    async def together(peer: Peer, number: int) -> int:
        # Nobody is answered before five are there, so the generator must have five on the way.
        while len(peer.bodies) < 5:
            await asyncio.sleep(0)
        return 200

    report, server = run(together, lambda target: closed_loop(target, numbered(24), 5, keep_bodies=True))
    assert sorted(server.bodies) == sorted(b"image %d" % number for number in range(24))
    assert (server.most_present, server.connections) == (5, 5)
    assert report.statuses == {200: 24}
    assert sorted(answer.number for answer in report.answers) == list(range(24))
    assert sorted(answer.body for answer in report.answers) == sorted(b"answer %d" % n for n in range(24))
    assert report.goodput == pytest.approx(24 / report.seconds)


def test_one_connection_asks_in_order() -> None:
    report, server = run(well, lambda target: closed_loop(target, numbered(6), 1))
    assert server.bodies == [b"image %d" % number for number in range(6)]
    assert [answer.number for answer in report.answers] == list(range(6))
    assert all(answer.body == b"" for answer in report.answers)  # not asked for


def test_every_status_is_counted() -> None:
    async def badly(peer: Peer, number: int) -> int:
        return (200, 429, 500)[number % 3]

    report, _ = run(badly, lambda target: closed_loop(target, numbered(9), 2))
    assert report.statuses == {200: 3, 429: 3, 500: 3}
    assert len(report.good) == 3


def test_a_connection_that_breaks_is_opened_again() -> None:
    async def breaking(peer: Peer, number: int) -> int | None:
        return None if number == 1 else 200

    report, server = run(breaking, lambda target: closed_loop(target, numbered(4), 1))
    assert [answer.status for answer in report.answers] == [200, BROKEN, 200, 200]
    assert server.connections == 2


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async def silent(peer: Peer, number: int) -> int:
        if number == 0:
            await asyncio.Event().wait()
        return 200

    report, _ = run(silent, lambda target: closed_loop(target, numbered(3), 1, patience_s=0.1))
    assert [answer.status for answer in report.answers] == [LATE, 200, 200]


def test_nobody_listening() -> None:
    async def attack() -> Report:
        async with peer(well) as (_, target):
            pass
        return await closed_loop(target, numbered(2), 1)

    assert asyncio.run(attack()).statuses == {BROKEN: 2}


def test_an_open_loop_waits_for_no_answer() -> None:
    async def all_together(peer: Peer, number: int) -> int:
        while peer.present < 12 and len(peer.bodies) < 12:
            await asyncio.sleep(0)
        return 200

    report, server = run(all_together, lambda target: open_loop(target, numbered(12), 1000.0))
    assert report.statuses == {200: 12}
    assert server.most_present == 12


def test_an_open_loop_uses_connections_again() -> None:
    report, server = run(well, lambda target: open_loop(target, numbered(30), 300.0))
    assert report.statuses == {200: 30}
    assert server.connections < 30


def test_arrivals_come_from_the_seed() -> None:
    def gaps(seed: int) -> list[float]:
        report, _ = run(well, lambda target: open_loop(target, numbered(5), 500.0, seed=seed))
        dues = sorted(answer.due for answer in report.answers)
        return [round(due - report.began, 6) for due in dues]

    assert gaps(1) == gaps(1) != gaps(2)


def test_latency_counts_from_when_a_request_was_due() -> None:
    """A generator that is held up must not report the time that it lost as if it had not been."""
    released: list[float] = []

    def hold_up(answer: Answer) -> None:
        if not released:
            time.sleep(0.2)  # the whole event loop stands
            released.append(time.monotonic())

    report, _ = run(well, lambda target: open_loop(target, numbered(40), 400.0, on_answer=hold_up))
    held = [answer for answer in report.answers if answer.due < released[0] < answer.sent]
    assert len(held) > 10
    assert all(answer.latency_s >= released[0] - answer.due for answer in held)
    assert report.lateness_s > 0.1


def test_what_has_no_connection_is_counted_and_not_sent() -> None:
    async def after_all(peer: Peer, number: int) -> int:
        await asyncio.sleep(0.2)
        return 200

    report, server = run(
        after_all, lambda target: open_loop(target, numbered(20), 2000.0, most_connections=4)
    )
    assert len(server.bodies) == len(report.answers) == 4
    assert report.unsent == 16


def test_a_form_carries_the_image_unchanged() -> None:
    whole = request(UPLOAD, "/somewhere")
    head, body = whole.split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /somewhere HTTP/1.1\r\nHost: ")
    assert b"Content-Length: %d" % len(body) in head
    assert _image_of_form(head, body) == UPLOAD.data


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0], 0.99, 1.0), (list(range(1, 101)), 0.99, 99), ([1, 2], 0.95, 2)],
)
def test_percentiles_are_values_that_occurred(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def _image_of_form(head: bytes, body: bytes) -> bytes:
    kind = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Type: "))
    (part,) = email.message_from_bytes(kind + b"\r\n\r\n" + body, policy=email.policy.HTTP).iter_parts()
    assert part["Content-Disposition"].params["name"] == "image"
    assert part.get_content_type() == UPLOAD.type
    content: bytes = part.get_payload(decode=True)
    return content
