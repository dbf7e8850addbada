"""Decoders get a twentieth of a processor's time, as on a machine that is busy with something else.

No photograph may be blamed for that: an answer is a score, or 429, 503 or 504, but never a 422. Figures: the
answers, to photographs and to images that take longer than their limit then.
"""

import asyncio
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.app.running import Server, metric
from tests.benchmarks.attacks.hostile import large_image, unique
from tests.benchmarks.chaos.clients import Address, Connection, Lost, address_of, post
from tests.benchmarks.chaos.processes import Service, decoders_of, service_of, tell_all
from tests.benchmarks.chaos.story import Story, arguments, counted, play_chosen

_PERIOD_S = 0.4
_CLIENTS = 4
_SIDES = 10_000, 5000


def tell(
    story: Story,
    service: Service,
    image: bytes,
    *,
    requests: int,
    large: int,
    share: float,
    sides: tuple[int, int] = _SIDES,
) -> None:
    """Sends `requests` photographs and then `large` images while decoders have this share of a processor."""
    with service_of(service) as (server, client):
        address = address_of(client.base_url)
        assert client.post("/score", content=image).status_code == 200
        began = time.monotonic()
        with starving(server, share):
            photographs = asyncio.run(_ask(address, [post(unique(image)) for _ in range(requests)]))
            story.say(f"photographs: {counted(photographs.elements())}")
            strip = large_image(*sides)
            strips = asyncio.run(_ask(address, [post(unique(strip)) for _ in range(large)]))
        story.figure("photographs", counted(photographs.elements()))
        story.figure("large images", counted(strips.elements()))
        story.figure("took", f"{time.monotonic() - began:.0f} s")
        story.figure("decoders replaced", f"{metric(client, 'iqa_decoder_restarts_total'):.0f}")
        for status in (*photographs, *strips):
            story.expect(status in ("200", "429", "503", "504"), f"an image is answered: {status}")
        story.expect(photographs["200"], "no photograph was scored")
        scored = client.post("/score", content=unique(image)).status_code
        story.expect(scored == 200, f"afterwards an image is answered with {scored}")


@contextmanager
def starving(server: Server, share: float) -> Iterator[None]:
    """The decoders of a server have this share of a processor while the block runs, new ones too."""
    ended = threading.Event()

    def starve() -> None:
        pids: list[int] = []
        while not ended.is_set():
            tell_all(pids, signal.SIGCONT)
            ended.wait(share * _PERIOD_S)
            pids = decoders_of(server)
            tell_all(pids, signal.SIGSTOP)
            ended.wait((1 - share) * _PERIOD_S)
        tell_all(pids, signal.SIGCONT)

    with ThreadPoolExecutor(1, "starve") as pool:
        starved = pool.submit(starve)
        try:
            yield
        finally:
            ended.set()
            starved.result()


async def _ask(address: Address, requests: list[bytes]) -> Counter[str]:
    """The statuses of requests that a few clients send, each one after the other."""
    left = iter(requests)
    statuses: Counter[str] = Counter()

    async def client() -> None:
        connection = Connection(address)
        for request in left:
            try:
                statuses[str((await connection.ask(request)).status)] += 1
            except (Lost, OSError) as error:
                statuses[str(error)] += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    return statuses


def main() -> int:
    chosen = arguments(__doc__, {"requests": 100, "large": 6, "share": 0.05})
    return play_chosen(f"decoders with {100 * chosen.share:g} % of a processor", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
