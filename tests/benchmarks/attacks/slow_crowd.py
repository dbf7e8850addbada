"""Thousands of connections send bodies just fast enough to be borne, or as many as the limit of files allows.

Good clients are answered beside them, and probes always. Figures: what they are answered, and how many of the
slow ones were there at the end.
"""

import asyncio
import resource
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.benchmarks.chaos.bystanders import bystander, photograph, probe
from tests.benchmarks.chaos.clients import Address, address_of
from tests.benchmarks.chaos.processes import Service, service_of
from tests.benchmarks.chaos.story import Story, arguments, play_chosen
from tests.benchmarks.slow_bodies import slow_bodies

_MOST_FAILED = 0.05
_ELSEWHERE = "127.0.0.2"
_OWN_FILES = 100
_PIECES_PER_S = 0.25
_LOOK_S = 0.05
_COMING_S = 0.5
"""While they come, nobody can tell that they are slow."""


def tell(
    story: Story,
    service: Service,
    image: bytes,
    *,
    connections: int,
    bytes_per_s: int,
    seconds: float,
) -> None:
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    connections = min(connections, most_files - _OWN_FILES)
    with service_of(service) as (_, client):
        address = address_of(client.base_url)
        with _crowd(address, connections, bytes_per_s) as there:
            time.sleep(_COMING_S)
            with (
                bystander("a good client", address, photograph(image), source=_ELSEWHERE) as good,
                bystander("one of their address", address, photograph(image), anew=True) as another,
                bystander("a probe", address, probe, anew=True) as probing,
            ):
                there.ended.wait(seconds)
        for each in (good, another):
            failed = len(each.statuses) - each.statuses.count("200")
            each.tell(story, ("200", "429", "503", *("a request was cut off",) * (each is good)))
            share = failed / max(1, len(each.statuses))
            story.expect(share <= _MOST_FAILED, f"{each.name}: {100 * share:.0f} % are not answered")
        probing.tell(story)
        story.figure("slow ones", f"{connections} at first, {there.left} at the end")


class _Crowd:
    """Slow connections, in a thread of their own.

    Attributes:
        left: those that were still open at the end.
        ended: that they have.
    """

    def __init__(self) -> None:
        self.left = 0
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.leave = threading.Event()

    async def stay(self, address: Address, connections: int, bytes_per_s: int) -> None:
        try:
            async with slow_bodies(address, connections, bytes_per_s, _PIECES_PER_S) as writers:
                self.begun.set()
                while not self.leave.is_set():
                    await asyncio.sleep(_LOOK_S)
                self.left = sum(not writer.is_closing() for writer in writers)
        finally:
            self.begun.set()
            self.ended.set()


@contextmanager
def _crowd(address: Address, connections: int, bytes_per_s: int) -> Iterator[_Crowd]:
    crowd = _Crowd()
    with ThreadPoolExecutor(1, "crowd") as pool:
        staying = pool.submit(lambda: asyncio.run(crowd.stay(address, connections, bytes_per_s)))
        try:
            crowd.begun.wait()
            yield crowd
        finally:
            crowd.leave.set()
            staying.result()


def main() -> int:
    chosen = arguments(__doc__, {"connections": 4100, "bytes_per_s": 1200, "seconds": 20.0})
    return play_chosen(f"{chosen.connections} bodies of {chosen.bytes_per_s} bytes/s each", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
