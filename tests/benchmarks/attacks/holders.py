"""Some connections send most of what may be held, stop in the middle of a file, and fall silent.

Good clients beside them are answered, and the silent ones are sent away. Figures: the answers to good
clients, and how long the silent ones hold what they sent.
"""

import asyncio
import sys
import time

from tests.benchmarks.attacks.hostile import form
from tests.benchmarks.chaos.bystanders import bystander, photograph, probe
from tests.benchmarks.chaos.clients import Address, address_of
from tests.benchmarks.chaos.processes import Service, service_of
from tests.benchmarks.chaos.story import Story, arguments, counted, play_chosen, spread

_MOST_FAILED = 0.05
_OUT_S = 15.0
_PATIENCE_S = 60.0
_CLOSING_BYTES = 9  # less than the end of the form
_RUSH_S = 10.0  # in which all is sent


def tell(
    story: Story,
    service: Service,
    image: bytes,
    *,
    connections: int,
    megabytes: float,
    waves: int,
) -> None:
    """So many connections send so many megabytes together and fall silent, `waves` times."""
    with service_of(service) as (server, client):
        address, logged = address_of(client.base_url), len(server.entries())
        held: list[float] = []
        ends: list[str] = []
        with (
            bystander("a good client", address, photograph(image)) as good,
            bystander("another", address, photograph(image), anew=True) as another,
            bystander("a probe", address, probe, anew=True) as probing,
        ):
            for wave in range(1, waves + 1):
                for seconds, end in asyncio.run(_wave(address, connections, round(1e6 * megabytes))):
                    held.append(seconds)
                    ends.append(end)
                story.say(f"wave {wave} of {waves} is over")
        for each in (good, another):
            failed = len(each.statuses) - each.statuses.count("200")
            each.tell(story, ("200", "429", "503"))
            share = failed / max(1, len(each.statuses))
            story.expect(share <= _MOST_FAILED, f"{each.name}: {100 * share:.0f} % are not answered")
        probing.tell(story)
        story.figure("silent ones", counted(ends))
        story.figure("silent for, s", spread(held, unit=1.0))
        story.expect(max(held) <= _OUT_S, f"a silent one is there for {max(held):.0f} s")
        for entry in server.entries()[logged:]:
            story.expect(entry["level"] != "error", f"an error was logged: {entry['message']}")


async def _wave(address: Address, connections: int, sent_bytes: int) -> list[tuple[float, str]]:
    """How long each of the connections was silent until it was sent away, and with what."""
    content = bytes(sent_bytes // connections)
    request = form("/score/batch", [("images", content)])[:-_CLOSING_BYTES]
    # More is announced than comes.
    return list(await asyncio.gather(*(_hold(address, request) for _ in range(connections))))


async def _hold(address: Address, request: bytes) -> tuple[float, str]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        async with asyncio.timeout(_RUSH_S):
            await writer.drain()
    except (OSError, TimeoutError):
        pass  # it is sent away already
    silent = time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            answer = await reader.read(64)
        end = answer[9:12].decode() if answer else "closed"
    except TimeoutError:
        end = "still there"
    except OSError:
        end = "closed"
    finally:
        writer.transport.abort()
    return time.monotonic() - silent, end


def main() -> int:
    chosen = arguments(__doc__, {"connections": 18, "megabytes": 260.0, "waves": 3})
    return play_chosen(
        f"{chosen.connections} connections send {chosen.megabytes:g} MB together and fall silent",
        tell,
        chosen,
    )


if __name__ == "__main__":
    sys.exit(main())
