"""Pairs of strips, some 300 KB each, which are 300 MB when they are decoded, are compared at once.

Each is compared or told to come later, and the service keeps to its memory. Figures: the memory of all its
processes together, and what a good client meets meanwhile.
"""

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.app.running import Server, running
from tests.benchmarks.attacks.hostile import all_at_once, large_image, memory_bytes, pair
from tests.benchmarks.chaos.bystanders import bystander, photograph
from tests.benchmarks.chaos.clients import address_of
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen

_SIDES = 30_000, 1666
_LOOK_S = 0.2
_MOST_BYTES = 4_000_000_000


def tell(story: Story, environment: Environment, image: bytes, *, pairs: int) -> None:
    strip = large_image(*_SIDES)
    with running(environment) as (server, client), Watch(server) as watch:
        address = address_of(client.base_url)
        requests = [pair(strip) for _ in range(pairs)]
        with bystander("a good client", address, photograph(image)) as good:
            began = time.monotonic()
            statuses = asyncio.run(all_at_once(address, requests))
            story.figure("all answered", f"after {time.monotonic() - began:.1f} s")
        for status in statuses:
            story.expect(status[:3] in ("200", "429", "503"), f"a pair is answered: {status}")
        story.figure("answers", counted(statuses.elements()))
        good.tell(story, ("200", "429"))
        story.expect(watch.most <= _MOST_BYTES, f"the service holds {watch.most / 1e9:.1f} GB")
        story.figure("memory", f"{watch.first / 1e6:.0f} MB before, {watch.most / 1e6:.0f} MB at most")


class Watch:
    """Looks at the memory of a service while the block runs.

    Attributes:
        first: bytes at the beginning.
        most: bytes.
        last: bytes.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(1, "watch")
        self.first = self.most = self.last = memory_bytes(server)

    def __enter__(self) -> "Watch":
        self._watching = self._pool.submit(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.result()
        self._pool.shutdown()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_S):
            self.last = memory_bytes(self._server)
            self.most = max(self.most, self.last)


def main() -> int:
    chosen = arguments(__doc__, {"pairs": 48})
    return play_chosen(f"{chosen.pairs} pairs of {_SIDES[0]} x {_SIDES[1]} pixels at once", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
