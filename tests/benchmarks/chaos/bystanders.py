"""Good clients beside an attack: each asks again and again, and what becomes of it is told."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.benchmarks.chaos.clients import Address, Connection, Lost, get, post
from tests.benchmarks.chaos.story import Story, counted, spread

_PAUSE_S = 0.02


@dataclass
class Bystander:
    """What a good client was answered so far.

    Attributes:
        name: for people.
        seconds: of each answer.
        statuses: of each request, or what happened instead of an answer.
        answered: the statuses of the answers alone.
        bodies: of the answers.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def tell(self, story: Story, allowed: Sequence[str] = ("200",)) -> None:
        """Adds its figures; an answer that is not allowed must never happen."""
        story.figure(f"{self.name}, ms", spread(self.seconds))
        story.figure(f"{self.name}, answers", counted(self.statuses))
        story.expect(self.statuses, f"{self.name} asked nothing")
        for status in self.statuses:
            story.expect(status in allowed, f"{self.name} was answered: {status}")


@contextmanager
def bystander(
    name: str,
    address: Address,
    request: Callable[[int], bytes],
    *,
    anew: bool = False,
    source: str | None = None,
) -> Iterator[Bystander]:
    """A client that asks while the block runs.

    Args:
        name: for people.
        address: of the service.
        request: what is sent, by its number.
        anew: whether each request has a connection of its own.
        source: address that it comes from; None for that of all others.
    """
    told = Bystander(name)
    stopped = threading.Event()

    async def ask() -> None:
        connection = Connection(address, source)
        number = 0
        while not stopped.is_set():
            number += 1
            try:
                answer = await connection.ask(request(number))
            except (Lost, OSError) as error:
                told.statuses.append(str(error))
                connection.close()
            else:
                told.seconds.append(answer.seconds)
                told.statuses.append(str(answer.status))
                told.answered.append(str(answer.status))
                told.bodies.append(answer.body)
            if anew:
                connection.close()
            await asyncio.sleep(_PAUSE_S)
        connection.close()

    with ThreadPoolExecutor(1, name) as pool:
        asking = pool.submit(lambda: asyncio.run(ask()))
        try:
            yield told
        finally:
            stopped.set()
            asking.result()


def probe(_: int) -> bytes:
    """A request for liveness."""
    return get("/livez")


def photograph(image: bytes) -> Callable[[int], bytes]:
    """Requests for the score of one photograph, whose files all differ, so that none is remembered."""
    return lambda number: post(image + b"%d" % number)
