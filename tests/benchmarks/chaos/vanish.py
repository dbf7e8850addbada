"""Clients that vanish in the middle of a request, at every stage of it, with a goodbye or without.

Nothing of them may stay behind: no pixels admitted or in the worker's line, no open file, no memory; who
waits beside them is answered as ever. Figures: what the service made of them, its speed before and after.
"""

import asyncio
import random
import socket
import statistics
import struct
import sys
import time
from collections import defaultdict

import httpx

from tests.app.running import Server, metric, running
from tests.benchmarks.chaos.clients import Address, Tally, address_of, loading, post
from tests.benchmarks.chaos.processes import Footprint, footprints
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, megabytes, play_chosen

STAGES = ("head", "body", "sent", "waiting", "answer")
"""Half of the head is sent, half of the body, all of it, all of it and some time, or an answer has begun."""

_AT_ONCE = 32
_NEIGHBORS = 4
_WARM_UP = 0.1  # of the clients, before anything is measured: pools fill, libraries allocate
_LONE_REQUESTS = 15
_PATIENCE_S = 60.0
_MOST_GROWTH = 0.10
_MOST_KEPT = 0.25
"""Part of all that was sent by which a process may have grown: allocators keep some of what was freed."""
_CROWDS = 3
"""At most. What is left behind grows with each of them; what an allocator keeps serves the next one."""
_RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends a reset instead of a goodbye


def tell(story: Story, environment: Environment, image: bytes, *, clients: int) -> None:
    with running(environment) as (server, client):
        address = address_of(client.base_url)
        with loading(address, [post(image)], _NEIGHBORS) as neighbors:
            asyncio.run(_crowd(address, image, max(2 * _AT_ONCE, int(_WARM_UP * clients)), neighbors))
        _settle(story, server, client)
        before_s, after = _lone_s(client, image), footprints(server)
        story.say("warm")
        for number in range(1, _CROWDS + 1):
            before = after
            with loading(address, [post(image)], _NEIGHBORS) as neighbors:
                asyncio.run(_crowd(address, image, clients, neighbors, story))
            story.say(f"crowd {number} is gone")
            _settle(story, server, client)
            _files_closed(story, server, before)
            after_s, after = _lone_s(client, image), footprints(server)
            _expect_answers(story, neighbors)
            grown = [_compare(story, before[name], now, clients * len(image)) for name, now in after.items()]
            if not any(grown):
                break
        for fault in filter(None, grown):
            story.never(fault)
        story.expect(client.get("/readyz").status_code == 200, "the service is not ready afterwards")
        for entry in server.entries():
            story.expect(entry["level"] != "error", f"an error was logged: {entry['message']}")
        _tell_stages(story, server)
        story.figure("beside the last", counted(neighbors.statuses()))
        story.figure("a lone request", f"{1000 * before_s:.1f} -> {1000 * after_s:.1f} ms")


def _expect_answers(story: Story, neighbors: Tally) -> None:
    for what in neighbors.lost:
        story.never(f"beside them {what}")
    for _, answer in neighbors.answers:
        story.expect(answer.status in (200, 429), f"beside them somebody got {answer.status} {answer.slug}")
    story.expect(neighbors.of_status(200), "nobody beside them was answered")


async def _crowd(
    address: Address, image: bytes, clients: int, neighbors: Tally, story: Story | None = None
) -> None:
    chance = random.Random(clients)
    room = asyncio.Semaphore(_AT_ONCE)
    gone = 0

    def pause_s() -> float:
        """Up to as long as a request takes just now: those who leave meanwhile are everywhere in it."""
        lately = [answer.seconds for _, answer in neighbors.answers[-2 * _NEIGHBORS :]]
        return chance.uniform(0, statistics.median(lately) if lately else 0.05)

    async def come_and_go(number: int) -> None:
        nonlocal gone
        stage = STAGES[number % len(STAGES)]
        request = post(image, X_Request_ID=f"{stage}-{number}")
        async with room:
            await _vanish(address, request, stage, pause_s(), reset=number % 2 == 0)
        gone += 1
        if story is not None and gone % 250 == 0:
            story.say(f"{gone} of {clients} are gone")

    await asyncio.gather(*(come_and_go(number) for number in range(clients)))


async def _vanish(address: Address, request: bytes, stage: str, pause_s: float, reset: bool) -> None:
    head = request.index(b"\r\n\r\n") + 4
    amount = {"head": head // 2, "body": (head + len(request)) // 2}.get(stage, len(request))
    async with asyncio.timeout(_PATIENCE_S):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request[:amount])
        await writer.drain()
        if stage == "answer":
            await reader.read(1)
        elif stage != "sent":
            await asyncio.sleep(pause_s)
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()


def _lone_s(client: httpx.Client, image: bytes) -> float:
    """Seconds that a request takes when there is no other; the median of some."""
    times = []
    for _ in range(_LONE_REQUESTS):
        began = time.monotonic()
        assert client.post("/score", content=image).status_code == 200
        times.append(time.monotonic() - began)
    return statistics.median(times)


def _settle(story: Story, server: Server, client: httpx.Client) -> None:
    """Waits until nothing is admitted and nothing is in line."""
    end = time.monotonic() + _PATIENCE_S
    while metric(client, "iqa_queued_pixels") or any(state.queued_pixels for state in server.worker_states()):
        if time.monotonic() > end:
            admitted = metric(client, "iqa_queued_pixels")
            in_line = [state.queued_pixels for state in server.worker_states()]
            story.never(f"slots are stuck: {admitted:.0f} pixels admitted, {in_line} in line")
            return
        time.sleep(0.05)


def _files_closed(story: Story, server: Server, before: dict[str, Footprint]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while more := {
        name: now.files - before[name].files
        for name, now in footprints(server).items()
        if now.files > before[name].files
    }:
        if time.monotonic() > end:
            story.never(f"files stay open: {more}")
            return
        time.sleep(0.1)


def _compare(story: Story, before: Footprint, now: Footprint, sent_bytes: int) -> str | None:
    """Tells what a process took before a crowd and after it; says if it has grown by more than it may."""
    resident = megabytes([before.resident, now.resident])
    story.figure(now.name, f"resident {resident}, files {before.files} -> {now.files}")
    story.expect(now.pid == before.pid, f"{now.name} was replaced by another process")
    most = max(_MOST_GROWTH * before.resident, _MOST_KEPT * sent_bytes)
    return f"{now.name} has grown: {resident}" if now.resident - before.resident > most else None


def _tell_stages(story: Story, server: Server) -> None:
    logged = defaultdict(list)
    for entry in server.entries():
        stage, _, number = str(entry.get("id", "")).partition("-")
        if stage in STAGES and number.isdecimal():
            logged[stage].append(entry.get("status"))
    for stage in STAGES:
        story.figure(f"vanished: {stage}", counted(logged[stage]))


def main() -> int:
    chosen = arguments(__doc__, {"clients": 2000})
    return play_chosen(f"{chosen.clients} clients vanish in the middle of a request", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
