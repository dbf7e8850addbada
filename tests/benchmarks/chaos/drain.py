"""SIGTERM under load: what was accepted is answered, nobody new is invited, and the exit code is 0.

The first phase serves everybody while /readyz says 503; in the second nobody listens any more, and what is
under way is answered. A client may find nobody listening; it may not be cut off, nor refused otherwise.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from tests.app.running import Server, running
from tests.benchmarks.chaos.clients import Address, Connection, Lost, Tally, address_of, get, loading, post
from tests.benchmarks.chaos.processes import footprints
from tests.benchmarks.chaos.story import (
    Environment,
    Story,
    arguments,
    counted,
    image_bytes,
    play,
    service_environment,
    spread,
)

_CROWD = 40
_PATIENCE_S = 60.0


def tell(
    story: Story, environment: Environment, image: bytes, *, clients: int, delay_s: float, under_load_s: float
) -> None:
    """Ends a server when the load is `under_load_s` old; half of the clients keep their connections."""
    with running({**environment, "IQA_DRAIN_DELAY_S": str(delay_s)}) as (server, client):
        address = address_of(client.base_url)
        processes = [footprint.pid for footprint in footprints(server).values()]
        request = [post(image)]
        with (
            loading(address, request, clients - clients // 2) as kept,
            loading(address, request, clients // 2, keep_alive=False) as fresh,
        ):
            began = time.monotonic()
            while time.monotonic() - began < under_load_s or not (kept.answers and fresh.answers):
                time.sleep(0.01)
            story.say("SIGTERM")
            server.signal(signal.SIGTERM)
            signalled = time.monotonic()
            unready_s, closed_s = asyncio.run(_watch(story, address, signalled))
            # Nobody listens now; who is under way is answered before the block ends.
        code = server.wait()
        ended_s = time.monotonic() - signalled
        _judge(story, server, [kept, fresh], code, processes)
        story.figure("not ready after", f"{1000 * unready_s:.0f} ms")
        story.figure("listener closed after", f"{closed_s:.2f} s")
        story.figure("exit", f"{code} after {ended_s:.2f} s")
        answers = [answer for tally in (kept, fresh) for _, answer in tally.answers]
        after = [answer for answer in answers if answer.ended > signalled]
        story.figure("answers after the signal", counted(answer.status for answer in after))
        story.figure(
            "of requests under way when the listener closed",
            counted(answer.status for answer in after if answer.ended > signalled + closed_s),
        )
        story.figure("their time, ms", spread([answer.seconds for answer in after]))


async def _watch(story: Story, address: Address, signalled: float) -> tuple[float, float]:
    """Sees both phases, in a crowd that comes on new connections until the very end; as :func:`_phases`."""
    crowd = [asyncio.create_task(_knock(story, address)) for _ in range(_CROWD)]
    try:
        return await _phases(story, address, signalled)
    finally:
        await asyncio.gather(*crowd)


async def _knock(story: Story, address: Address) -> None:
    """Asks again and again, each time on a new connection, until nobody listens."""
    began = time.monotonic()
    while time.monotonic() - began < _PATIENCE_S:
        connection = Connection(address)
        try:
            answer = await connection.ask(get("/livez"))
        except ConnectionRefusedError:
            return
        except Lost as error:
            story.never(f"{error}: it was connected before the listener closed")
            continue
        finally:
            connection.close()
        story.expect(answer.status == 200, f"/livez said {answer.status}")


async def _phases(story: Story, address: Address, signalled: float) -> tuple[float, float]:
    """Asks /readyz on new connections until nobody listens; seconds to the first 503 and to the end."""
    unready: float | None = None
    while time.monotonic() - signalled < _PATIENCE_S:
        connection = Connection(address)
        try:
            answer = await connection.ask(get("/readyz"))
        except ConnectionRefusedError:
            story.expect(unready is not None, "the listener closed before /readyz said so")
            closed = time.monotonic() - signalled
            return closed if unready is None else unready, closed
        except Lost as error:
            story.never(f"{error}: /readyz while draining")
            continue
        finally:
            connection.close()
        if answer.status == 200:
            story.expect(unready is None, "/readyz said 200 after it had said 503")
        else:
            story.expect((answer.status, answer.slug) == (503, "draining"), f"/readyz said {answer.status}")
            unready = unready or time.monotonic() - signalled
        await asyncio.sleep(0.01)
    story.never("the listener does not close")
    return _PATIENCE_S, _PATIENCE_S


def _judge(story: Story, server: Server, tallies: list[Tally], code: int, processes: list[int]) -> None:
    for tally in tallies:
        for what in tally.lost:
            story.never(what)
        for _, answer in tally.answers:
            if answer.status not in (200, 429):
                story.never(f"an accepted request was answered with {answer.status} {answer.slug}")
    story.expect(code == 0, f"the exit code is {code}")
    story.expect(not [pid for pid in processes if _lives(pid)], "a process outlives the service")
    story.expect(not list(server.folder.glob("iqa-*")), "the folder of sockets outlives the service")
    errors = [entry for entry in server.entries() if entry["level"] == "error"]
    for entry in errors:
        story.never(f"an error was logged: {entry['message']}")


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def main() -> int:
    chosen = arguments(__doc__, {"clients": 16, "http_processes": 1, "delay_s": 2.0, "under_load_s": 5.0})
    return play(
        f"SIGTERM under the load of {chosen.clients} clients, {chosen.http_processes} HTTP processes",
        lambda story: tell(
            story,
            service_environment() | {"IQA_HTTP_PROCESSES": str(chosen.http_processes)},
            image_bytes(chosen.image),
            clients=chosen.clients,
            delay_s=chosen.delay_s,
            under_load_s=chosen.under_load_s,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
