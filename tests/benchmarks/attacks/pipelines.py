"""Hundreds of connections send a hundred requests each at once, and every head has a hundred fields.

All that are taken must be answered, and probes on the same port with 200. Figures: how long a probe takes
meanwhile, and what the HTTP process grows by.
"""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from tests.benchmarks.chaos.clients import Address, Connection, Lost, address_of, get
from tests.benchmarks.chaos.processes import Service, footprints, service_of
from tests.benchmarks.chaos.story import (
    Story,
    arguments,
    counted,
    play,
    service_environment,
    spread,
)

_REQUEST = b"GET /policies HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 95 + b"\r\n"
_AT_ONCE = 100
_MOST_GROWTH = 64_000_000
_PAUSE_S = 0.02
_PATIENCE_S = 60.0


def tell(story: Story, service: Service, *, connections: int, alone_s: float) -> None:
    with service_of(service) as (server, client):
        address = address_of(client.base_url)
        with probing(story, address) as before:
            time.sleep(alone_s)
        resident = footprints(server)["http 0"].resident
        with probing(story, address) as times, ExitStack() as stack:
            opened = [
                stack.enter_context(socket.create_connection(address, timeout=_PATIENCE_S))
                for _ in range(connections)
            ]
            for connection in opened:
                _send(connection, _REQUEST * _AT_ONCE)
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(_answers, opened))
        growth = footprints(server)["http 0"].resident - resident
        for statuses in answers:
            story.expect(statuses, "a client that pipelines gets no answer")
            story.expect(set(statuses) <= {"200", "503"}, f"an answer is {set(statuses) - {'200', '503'}}")
        story.expect(growth <= _MOST_GROWTH, f"the HTTP process has grown by {growth / 1e6:.0f} MB")
        story.figure("a probe alone, ms", spread(before))
        story.figure("a probe meanwhile, ms", spread(times))
        story.figure("answers", counted(status for statuses in answers for status in statuses))
        story.figure("growth", f"{growth / 1e6:.1f} MB")


@contextmanager
def probing(story: Story, address: Address, path: str = "/livez") -> Iterator[list[float]]:
    """Asks a probe again and again while the block runs, each time on a new connection; the seconds."""
    times: list[float] = []
    stopped = threading.Event()

    async def ask() -> None:
        while not stopped.is_set():
            connection = Connection(address)
            try:
                answer = await connection.ask(get(path))
                times.append(answer.seconds)
                story.expect(answer.status == 200, f"{path} is answered with {answer.status}")
            except (Lost, OSError) as error:
                story.never(f"{path} is not answered: {error}")
            connection.close()
            await asyncio.sleep(_PAUSE_S)

    with ThreadPoolExecutor(1, "probe") as pool:
        probes = pool.submit(lambda: asyncio.run(ask()))
        try:
            yield times
        finally:
            stopped.set()
            probes.result()


def _send(connection: socket.socket, data: bytes) -> None:
    """As much as the server and the sockets take at once."""
    connection.setblocking(False)
    with suppress(BlockingIOError):
        connection.send(data)
    connection.settimeout(_PATIENCE_S)


def _answers(connection: socket.socket) -> list[str]:
    """The statuses that come until the server closes the connection."""
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except ConnectionError:  # it had sent more than was taken
        pass
    return [part[:3].decode() for part in received.split(b"HTTP/1.1 ")[1:]]


def main() -> int:
    chosen = arguments(__doc__, {"connections": 500, "alone_s": 3.0})
    return play(
        f"{chosen.connections} connections send {_AT_ONCE} requests each at once",
        lambda story: tell(
            story, service_environment(), connections=chosen.connections, alone_s=chosen.alone_s
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
