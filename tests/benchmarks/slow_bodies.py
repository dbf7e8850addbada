"""A good client beside 200 that send their bodies a few bytes at a time: its latency with and without them.

    python -m tests.benchmarks.slow_bodies [--connections 200] [--bytes-per-second 200] [--rounds 5]

Rounds alternate, so a machine that slows down slows both alike: a number of requests of one client without
the others, then as many beside them. The bar is a ratio of medians of at most two; the exit code is 1 above
it, or if a good request was not answered. The service is as its operators start it, with the settings of the
environment; the slow ones announce the file of a small photograph and never get to its end.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.app.running import running
from tests.benchmarks.chaos.clients import Address, Connection, address_of, post
from tests.benchmarks.chaos.story import image_bytes, service_environment, spread

MOST_RATIO = 2.0

_ANNOUNCED_BYTES = 200_000
_PIECES_PER_S = 2
_PATIENCE_S = 60.0


@dataclass
class Measured:
    """Seconds of each good request, by whether slow ones were beside it, and how the slow ones ended."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    slow_at_once: int = 0

    @property
    def ratio(self) -> float:
        """Median beside the slow ones over median without them."""
        return statistics.median(self.beside) / statistics.median(self.alone)


async def measure(
    address: Address,
    image: bytes,
    *,
    connections: int,
    bytes_per_s: int,
    rounds: int,
    requests: int,
) -> Measured:
    """Asks with one good client in turns, without and beside slow ones."""
    measured = Measured()
    good = Connection(address)
    try:
        for turn in range(rounds + 1):
            alone = await _asked(good, image, requests, measured)
            async with slow_bodies(address, connections, bytes_per_s) as slow:
                beside = await _asked(good, image, requests, measured)
                measured.slow_at_once = sum(not writer.is_closing() for writer in slow)
            if turn > 0:  # the first one warms up
                measured.alone += alone
                measured.beside += beside
    finally:
        good.close()
    return measured


@asynccontextmanager
async def slow_bodies(
    address: Address, connections: int, bytes_per_s: int, pieces_per_s: float = _PIECES_PER_S
) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """The block runs beside so many requests whose bodies come at so many bytes per second each."""
    head = post(b"", Content_Type="image/jpeg").replace(
        b"Content-Length: 0", b"Content-Length: %d" % _ANNOUNCED_BYTES
    )
    async with asyncio.timeout(_PATIENCE_S):
        pairs = await asyncio.gather(*(asyncio.open_connection(*address) for _ in range(connections)))
    writers = [writer for _, writer in pairs]
    for writer in writers:
        writer.write(head + b"\xff\xd8\xff")
    dripping = asyncio.create_task(_drip(writers, bytes_per_s, pieces_per_s))
    try:
        yield writers
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        # Their sockets are to be gone before anybody is measured without them.
        for _, writer in pairs:
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _drip(writers: list[asyncio.StreamWriter], bytes_per_s: int, pieces_per_s: float) -> None:
    """Every connection gets a piece as often as it should; they take turns, as independent clients would."""
    pause_s = 1.0 / pieces_per_s / len(writers)
    piece_bytes = max(1, int(bytes_per_s / pieces_per_s))
    due = time.monotonic()
    while True:
        for writer in writers:
            if not writer.is_closing():
                writer.write(b"\0" * piece_bytes)
            due += pause_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _asked(good: Connection, image: bytes, requests: int, measured: Measured) -> list[float]:
    times = []
    for _ in range(requests):
        answer = await good.ask(post(image))
        measured.statuses.append(answer.status)
        times.append(answer.seconds)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--bytes-per-second", type=int, default=200, help="of each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=40, help="of the good client, in half a round")
    chosen = parser.parse_args()
    # So long that none of the slow ones is sent away meanwhile.
    with running({**service_environment(), "IQA_BODY_TIMEOUT_S": "3600"}) as (_, client):
        measured = asyncio.run(
            measure(
                address_of(client.base_url),
                image_bytes(None),
                connections=chosen.connections,
                bytes_per_s=chosen.bytes_per_second,
                rounds=chosen.rounds,
                requests=chosen.requests,
            )
        )
    print(f"one client, a photograph of 451x300 pixels, {len(measured.alone)} requests each")
    print(f"  without slow bodies  {spread(measured.alone)} ms")
    print(f"  beside {measured.slow_at_once:3} of them   {spread(measured.beside)} ms")
    print(f"  ratio of medians     {measured.ratio:.2f} (at most {MOST_RATIO:g})")
    refused = [status for status in measured.statuses if status != 200]
    if refused:
        print(f"  {len(refused)} good requests were not answered: {sorted(set(refused))}")
    return 1 if refused or measured.ratio > MOST_RATIO else 0


if __name__ == "__main__":
    sys.exit(main())
