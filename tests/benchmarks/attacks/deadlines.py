"""Deadlines at every stage: in line for a decoder, in a decoder, in a pair, in a batch, before the device.

Once more images than can be decoded in time arrive at once; then decoders, or the worker, get no time of a
processor. Whatever has not begun is answered with 504 (or earlier with 429 or 503) half a second after its
deadline at the latest, the lines of a batch too. Figures: how long after the deadline the last answer came.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial

from tests.app.running import Server, running
from tests.benchmarks.attacks.hostile import (
    batch,
    form,
    large_image,
    lines_of,
    status_of_line,
    unique,
)
from tests.benchmarks.chaos.clients import Address, Connection, Lost, address_of, post
from tests.benchmarks.chaos.processes import decoders_of, stopped
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen

_SIDES = 10_000, 5000
_LATE_S = 0.5
_FILES = 8
_EACH = 3
_OF_DECODERS_ALONE = "difference maps"
_UNLESS_BEGUN = "200"
"""What had begun in time is answered, however long it takes."""


@dataclass(frozen=True)
class _End:
    """Of a request or of a line of a batch."""

    status: str
    seconds: float


_Stage = Callable[[], Coroutine[None, None, list[_End]]]


def tell(
    story: Story,
    environment: Environment,
    image: bytes,
    *,
    deadline_s: float,
    strips: int,
    sides: tuple[int, int] = _SIDES,
    judged: bool = True,
) -> None:
    """Judges what is answered to requests with a deadline of so many seconds, and when if `judged`."""
    with running(environment) as (server, client):
        attack(
            story,
            server,
            address_of(client.base_url),
            image,
            deadline_s=deadline_s,
            strip=large_image(*sides),
            strips=strips,
            judged=judged,
        )
        ready = client.get("/readyz").status_code
        scored = client.post("/score", content=image).status_code
        story.expect((ready, scored) == (200, 200), f"afterwards: /readyz {ready}, /score {scored}")


def attack(
    story: Story,
    server: Server,
    address: Address,
    image: bytes,
    *,
    deadline_s: float,
    strip: bytes,
    strips: int,
    together: bool = False,
    judged: bool = True,
) -> None:
    """Requests of each kind arrive while a process is stopped: one kind after another, or all `together`."""

    def judge(stage: str, ends: Sequence[_End], *, may_begin: bool = False) -> None:
        allowed = {"504", "429", "503", *([_UNLESS_BEGUN] if may_begin else [])}
        waited = [end.seconds - deadline_s for end in ends if end.status != _UNLESS_BEGUN]
        latest_s = max(waited, default=0.0)
        story.figure(stage, f"{counted(end.status for end in ends)}; the last {latest_s:+.2f} s")
        for end in ends:
            story.expect(end.status in allowed, f"{stage}: an answer is {end.status}")
        story.expect(ends, f"{stage}: there is no answer")
        story.expect(not judged or latest_s <= _LATE_S, f"{stage}: answered {latest_s:.2f} s late")
        story.say(f"{stage}: done")

    timeout = {"X_Timeout_Ms": round(1000 * deadline_s)}
    asyncio.run(_all(address, [post(unique(image))]))  # costs are known
    flood = [post(unique(strip), **timeout) for _ in range(strips)]
    judge("more than can be decoded", asyncio.run(_all(address, flood)), may_begin=True)
    _still(server)
    pairs = [_pair(unique(strip), unique(strip), timeout) for _ in range(max(1, strips // 4))]
    judge("more pairs than can be decoded", asyncio.run(_all(address, pairs)), may_begin=True)
    _still(server)
    known = unique(image)
    asyncio.run(_all(address, [_pair(known, unique(image), {})]))  # the reference is remembered
    workers = partial(server.children, "app.inference.worker")
    stages = _stages(address, image, known, timeout)
    for who, pids in (("decoders", partial(decoders_of, server)), ("the worker", workers)):
        for names in [tuple(stages)] if together else [(name,) for name in stages]:
            with stopped(pids()):
                ended = asyncio.run(_at_once([stages[name] for name in names]))
            for name, ends in zip(names, ended, strict=True):
                judge(f"{name}, without {who}", ends, may_begin=name == _OF_DECODERS_ALONE)
            _still(server)


def _stages(address: Address, image: bytes, known: bytes, timeout: dict[str, object]) -> dict[str, _Stage]:
    """Requests of each kind, by the name of the kind."""

    def pairs(reference: bytes, path: str = "/compare") -> _Stage:
        requests = [_pair(reference or unique(image), unique(image), timeout, path) for _ in range(_EACH)]
        return partial(_all, address, requests)

    def images(path: str) -> _Stage:
        return partial(_all, address, [post(unique(image), path, **timeout) for _ in range(_EACH)])

    return {
        "images": images("/score"),
        "quality maps": images("/score/map"),
        "pairs": pairs(b""),
        "pairs, one half decoded": pairs(known),
        _OF_DECODERS_ALONE: pairs(known, "/compare/map"),
        "lines of a batch": partial(_lines, address, image, timeout),
    }


async def _at_once(stages: Sequence[_Stage]) -> list[list[_End]]:
    return list(await asyncio.gather(*(stage() for stage in stages)))


def _pair(reference: bytes, distorted: bytes, timeout: dict[str, object], path: str = "/compare") -> bytes:
    return form(path, [("reference", reference), ("distorted", distorted)], **timeout)


def _still(server: Server) -> None:
    """Waits until nothing is left of the requests before, so that each stage begins with an idle service."""
    end = time.monotonic() + 60.0
    while any(state.queued_pixels for state in server.worker_states()):
        assert time.monotonic() < end, "the worker's line does not become empty"
        time.sleep(0.05)
    time.sleep(0.3)


async def _all(address: Address, requests: Sequence[bytes]) -> list[_End]:
    async def one(request: bytes) -> _End:
        connection = Connection(address)
        began = time.monotonic()
        try:
            answer = await connection.ask(request)
        except (Lost, OSError) as error:
            return _End(str(error), time.monotonic() - began)
        finally:
            connection.close()
        return _End(str(answer.status), answer.seconds)

    return list(await asyncio.gather(*map(one, requests)))


async def _lines(address: Address, image: bytes, timeout: dict[str, object]) -> list[_End]:
    """The lines of a batch, which is over when the last of them is there."""
    began = time.monotonic()
    lines = await lines_of(address, batch(image, _FILES, **timeout))
    seconds = time.monotonic() - began
    return [_End(status_of_line(line)[:3], seconds) for line in lines]


def main() -> int:
    chosen = arguments(__doc__, {"deadline_s": 4.0, "strips": 60})
    return play_chosen(f"deadlines of {chosen.deadline_s:g} s at every stage", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
