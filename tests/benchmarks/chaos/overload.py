"""Ten times as much is offered as can be scored: what is accepted is scored, the rest is refused at once.

First the capacity is measured with a closed loop that keeps the device busy; then requests arrive at random
moments at a multiple of that, whether or not earlier ones are answered. Every refusal must be a 429 that says
when to come back, and nothing may hang. Figures: goodput against capacity, and how fast a refusal comes.
"""

import asyncio
import random
import sys
import time
from dataclasses import dataclass, field

from tests.app.running import running
from tests.benchmarks.chaos.clients import (
    PATIENCE_S,
    Address,
    Answer,
    Connection,
    Lost,
    Tally,
    address_of,
    loading,
    post,
)
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen, spread

_AT_ONCE_REFUSED_S = 0.1


@dataclass
class _Offer:
    """Requests that came at their own times, and what became of them."""

    began: float
    seconds: float
    answers: list[Answer] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)  # this program's own tardiness
    requests: int = 0


def tell(
    story: Story,
    environment: Environment,
    image: bytes,
    *,
    clients: int,
    capacity_s: float,
    offered_s: float,
    times: float,
) -> None:
    with running(environment) as (server, client):
        address = address_of(client.base_url)
        capacity = _capacity(address, image, clients, capacity_s)
        story.say(f"the capacity is {capacity:.1f} requests/s")
        offer = asyncio.run(_offer(story, address, image, times * capacity, offered_s))
        good = [answer for answer in offer.answers if answer.status == 200]
        goodput = sum(answer.ended < offer.began + offered_s for answer in good) / offered_s
        refusals = [answer for answer in offer.answers if answer.status == 429]
        refusal_s = [answer.seconds for answer in refusals]
        _judge(story, offer)
        story.expect(client.get("/readyz").status_code == 200, "the service is not ready afterwards")
        for entry in server.entries():
            story.expect(entry["level"] != "error", f"an error was logged: {entry['message']}")
        offered = offer.requests / offered_s
        story.figure("capacity", f"{capacity:.1f} requests/s, {clients} clients in a closed loop")
        story.figure(
            "offered", f"{offered:.1f} requests/s for {offered_s:g} s: {offered / capacity:.1f} times"
        )
        story.figure("goodput", f"{goodput:.1f} requests/s: {goodput / capacity:.3f} of the capacity")
        story.figure("answers", counted(answer.status for answer in offer.answers))
        story.figure("a refusal, ms", spread(refusal_s))
        slow = sum(seconds > _AT_ONCE_REFUSED_S for seconds in refusal_s)
        story.figure("refusals over 100 ms", f"{slow} of {len(refusals)}")
        story.figure("a score, ms", spread([answer.seconds for answer in good]))
        story.figure("late to send, ms", spread(offer.late_s))


def _capacity(address: Address, image: bytes, clients: int, seconds: float) -> float:
    """Requests a second of a service that is never idle.

    Counted from when each client has had its answer, for the first batches wait for what is made once, and
    until each has had another: after one slow moment, ten times the capacity measured would be no overload.
    """
    with loading(address, [post(image)], clients) as load:
        _wait_for_scores(load, clients)
        began, before = time.monotonic(), len(load.of_status(200))
        time.sleep(seconds)
        _wait_for_scores(load, before + clients)
        return (len(load.of_status(200)) - before) / (time.monotonic() - began)


def _wait_for_scores(load: Tally, count: int) -> None:
    limit = time.monotonic() + PATIENCE_S
    while len(load.of_status(200)) < count:
        if time.monotonic() > limit:
            raise TimeoutError(f"{len(load.of_status(200))} of {count} scores came in {PATIENCE_S:g} s")
        time.sleep(0.01)


async def _offer(story: Story, address: Address, image: bytes, rate: float, seconds: float) -> _Offer:
    """Requests at random moments, `rate` a second on average; each takes an idle connection or a new one."""
    chance = random.Random(1)
    request = post(image)
    idle: list[Connection] = []
    offer = _Offer(time.monotonic(), seconds)
    under_way: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        connection = idle.pop() if idle else Connection(address)
        try:
            offer.answers.append(await connection.ask(request))
        except Lost as error:
            offer.lost.append(str(error))
        except ConnectionRefusedError:
            offer.lost.append("a connection was refused")
        else:
            idle.append(connection)

    due, said = offer.began, 0
    while (due := due + chance.expovariate(rate)) < offer.began + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        offer.late_s.append(max(0.0, time.monotonic() - due))
        offer.requests += 1
        task = asyncio.create_task(ask())
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        if due - offer.began > 5 * (said + 1):
            said += 1
            story.say(f"{offer.requests} offered, {counted(answer.status for answer in offer.answers)}")
    story.say(f"all are offered; {len(under_way)} are under way")
    await asyncio.gather(*under_way)
    for connection in idle:
        connection.close()
    return offer


def _judge(story: Story, offer: _Offer) -> None:
    for what in offer.lost:
        story.never(what)
    for answer in offer.answers:
        if answer.status == 200:
            continue
        if answer.status != 429:
            story.never(f"the answer was {answer.status} {answer.slug}")
            continue
        story.expect(answer.slug == "overloaded", f"a 429 is {answer.slug or 'no problem'}")
        come_back = answer.headers.get("retry-after", "")
        story.expect(come_back.isdecimal() and int(come_back) > 0, "a 429 does not say when to come back")
    story.expect({200, 429} <= {answer.status for answer in offer.answers}, "there was no overload")


def main() -> int:
    chosen = arguments(__doc__, {"clients": 64, "capacity_s": 10.0, "offered_s": 30.0, "times": 10.0})
    return play_chosen(
        f"{chosen.times:g} times the capacity is offered for {chosen.offered_s:g} s", tell, chosen
    )


if __name__ == "__main__":
    sys.exit(main())
