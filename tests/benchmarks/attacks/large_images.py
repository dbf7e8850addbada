"""Batches of 64 images of 50 million pixels each, or 120 such images one by one, arrive at once.

A good client beside them must be answered each time. Figures: how long it waits, and how long a batch takes.
"""

import asyncio
import sys
import time

from tests.benchmarks.attacks.hostile import (
    all_at_once,
    batch,
    large_image,
    lines_of,
    status_of_line,
    unique,
)
from tests.benchmarks.attacks.pairs import Watch
from tests.benchmarks.chaos.bystanders import bystander, photograph
from tests.benchmarks.chaos.clients import Address, address_of, post
from tests.benchmarks.chaos.processes import Service, service_of
from tests.benchmarks.chaos.story import Story, arguments, counted, play_chosen

_FILES = 64


def tell(
    story: Story,
    service: Service,
    image: bytes,
    *,
    batches: int,
    singles: int,
    files: int = _FILES,
    sides: tuple[int, int] = (10_000, 5000),
    beside_s: float,
) -> None:
    """Sends them, and judges what a good client is answered in the first `beside_s` seconds."""
    large = large_image(*sides)
    with service_of(service) as (server, client), Watch(server) as watch:
        address = address_of(client.base_url)
        with bystander("alone", address, photograph(image)) as alone:
            time.sleep(min(5.0, beside_s))
        with bystander("beside them", address, photograph(image)) as beside:
            began = time.monotonic()
            answers = asyncio.run(_all(address, large, batches, singles, files))
            story.figure("all answered", f"after {time.monotonic() - began:.1f} s")
            time.sleep(max(0.0, beside_s - (time.monotonic() - began)))
        alone.tell(story)
        beside.tell(story)
        story.figure("large images", counted(answers))
        for status in answers:
            story.expect(status[:3] in ("200", "429", "503", "504"), f"a large image is answered: {status}")
        story.figure("memory", f"{watch.first / 1e6:.0f} MB before, {watch.most / 1e6:.0f} MB at most")


async def _all(address: Address, large: bytes, batches: int, singles: int, files: int) -> list[str]:
    """The status of each image."""
    lines, statuses = await asyncio.gather(
        asyncio.gather(*(lines_of(address, batch(large, files)) for _ in range(batches))),
        all_at_once(address, [post(unique(large)) for _ in range(singles)]),
    )
    of_batches = [status_of_line(line) for each in lines for line in each]
    return [*of_batches, *statuses.elements()]


def main() -> int:
    chosen = arguments(__doc__, {"batches": 1, "singles": 0, "beside_s": 20.0})
    return play_chosen(
        f"{chosen.batches} batches of {_FILES} large images and {chosen.singles} more, beside a good client",
        tell,
        chosen,
    )


if __name__ == "__main__":
    sys.exit(main())
