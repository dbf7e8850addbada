"""One connection sends thumbnails, some thirty a second; eight good requests at once come beside it.

All eight must be answered: what thumbnails cost says little of what larger images cost. Figures: how long
each of them takes, and what a request to come later says.
"""

import asyncio
import sys
import time

import numpy as np

from tests.app.files import encoded
from tests.app.running import running
from tests.benchmarks.attacks.hostile import unique
from tests.benchmarks.chaos.bystanders import bystander, photograph
from tests.benchmarks.chaos.clients import Address, Answer, Connection, Lost, address_of, post
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen, spread

_SIDES = 32, 64
_GOOD = 8
_PATIENCE_S = 60.0


def tell(story: Story, environment: Environment, image: bytes, *, rounds: int, pause_s: float) -> None:
    with running(environment) as (_, client):
        for side in _SIDES:
            attack(story, address_of(client.base_url), image, side=side, rounds=rounds, pause_s=pause_s)


def attack(story: Story, address: Address, image: bytes, *, side: int, rounds: int, pause_s: float) -> None:
    """Eight good requests, `rounds` times, each time when thumbnails have come for so many seconds."""
    thumbnail = encoded(np.full((side, side, 3), 90, np.uint8), "PNG")
    good: list[Answer] = []
    began = time.monotonic()
    with bystander(f"thumbnails of {side} px", address, photograph(thumbnail)) as small:
        for _ in range(rounds):
            time.sleep(pause_s)
            good += asyncio.run(_at_once(story, address, image))
    took_s = time.monotonic() - began
    later = [answer.headers.get("retry-after", "none") for answer in good if answer.status == 429]
    story.expect(small.answered, "no thumbnail was answered")
    for status in small.statuses:
        story.expect(status in ("200", "429"), f"a thumbnail of {side} px was answered: {status}")
    for answer in good:
        story.expect(answer.status == 200, f"beside thumbnails of {side} px an answer is {answer.status}")
    story.figure(f"thumbnails of {side} px", f"{len(small.answered) / took_s:.0f} a second")
    story.figure(f"beside them ({side} px)", counted(answer.status for answer in good))
    story.figure(f"their time ({side} px), ms", spread([each.seconds for each in good if each.status == 200]))
    if later:
        story.figure(f"Retry-After ({side} px)", counted(later))


async def _at_once(story: Story, address: Address, image: bytes) -> list[Answer]:
    async def one() -> Answer | None:
        connection = Connection(address)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await connection.ask(post(unique(image)))
        except (Lost, OSError) as error:
            story.never(f"a good request fails: {error}")
            return None
        finally:
            connection.close()

    return [answer for answer in await asyncio.gather(*(one() for _ in range(_GOOD))) if answer is not None]


def main() -> int:
    chosen = arguments(__doc__, {"rounds": 5, "pause_s": 3.0})
    return play_chosen(
        "thumbnails on one connection, and eight good requests at once beside it", tell, chosen
    )


if __name__ == "__main__":
    sys.exit(main())
