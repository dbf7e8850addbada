"""Every attack at once, again and again, beside good clients: what must never happen does not for an hour.

Pairs, batches and single images of 50 million pixels, thumbnails, clients that leave, bodies that stop, and
requests that are pipelined; at first a worker and an HTTP process are stopped, too. No answer is a 5xx but
503, or 504 to an attack whose work could not start in time; no score of a good client is wrong, probes are
answered, and memory is level after the first third.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import numpy as np

from tests.app.files import encoded
from tests.app.running import Server, running
from tests.benchmarks.attacks.hostile import (
    all_at_once,
    batch,
    form,
    large_image,
    lines_of,
    memory_bytes,
    pair,
    status_of_line,
    unique,
)
from tests.benchmarks.chaos.bystanders import Bystander, bystander, photograph, probe
from tests.benchmarks.chaos.clients import Address, address_of, get, post
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen

_SIDES = 10_000, 5000
_SAME_SCORE = 5e-3
_MOST_GROWTH = 0.03
_PARTS = 12
_WARMING = 4  # parts in which memory may grow
_MODULES = "app.inference.worker", "app.server"
_LEAVES_S = 0.2
_LOOK_S = 0.5
_HOLDS_S = 10.0
_CALM_S = 5.0  # before a process is stopped
_STILL_S = 10.0  # in which what the attackers left in work ends

_Attack = Callable[[], Awaitable[Counter[str]]]


def tell(
    story: Story,
    environment: Environment,
    image: bytes,
    *,
    minutes: float,
    sides: tuple[int, int] = _SIDES,
    stops: bool = True,
) -> None:
    seconds = 60 * minutes
    with running(environment) as (server, client):
        address = address_of(client.base_url)
        expected = client.post("/score", content=image).json()["score"]
        with (
            bystander("a good client", address, photograph(image)) as good,
            bystander("another", address, photograph(image), anew=True) as another,
            bystander("a probe", address, probe, anew=True) as probing,
        ):
            answers, levels = asyncio.run(_attacked(story, server, address, sides, seconds, stops))
        # What an HTTP process has is lost when it is replaced.
        lost = ("a request was cut off",) if stops else ()
        for each in (good, another):
            each.tell(story, ("200", "429", "503", *lost))
            _judge_scores(story, each, expected)
        probing.tell(story, ("200", *lost))
        for attack, statuses in answers.items():
            story.figure(attack, counted(statuses.elements()))
            for status in statuses:
                fine = not status.startswith("5") or status[:3] in ("503", "504")
                story.expect(fine, f"{attack}: an answer is {status}")
        _judge_memory(story, levels)


async def _attacked(
    story: Story, server: Server, address: Address, sides: tuple[int, int], seconds: float, stops: bool
) -> tuple[dict[str, Counter[str]], list[int]]:
    """All attacks until the time is up; the answers to each, and the bytes held after each part of it."""
    answers: dict[str, Counter[str]] = {}
    levels: list[int] = []
    attacks = _attacks(address, sides)
    end = time.monotonic()
    for part in range(1, _PARTS + 1):
        end += seconds / _PARTS
        tasks: list[Awaitable[None]] = [
            _repeated(attack, answers.setdefault(name, Counter()), end) for name, attack in attacks.items()
        ]
        if stops and part <= len(_MODULES):
            tasks.append(_stop(server, _MODULES[part - 1]))
        await asyncio.gather(*tasks)
        levels.append(await _least_bytes(server, min(_STILL_S, seconds / _PARTS / 3)))
        counts = {name: sum(statuses.values()) for name, statuses in answers.items()}
        story.say(f"part {part} of {_PARTS}: {levels[-1] / 1e6:.0f} MB; {counts}")
    return answers, levels


async def _least_bytes(server: Server, seconds: float) -> int:
    """The least that is held within a time: what is in work is not kept."""
    end = time.monotonic() + seconds
    least = memory_bytes(server)
    while time.monotonic() < end:
        await asyncio.sleep(_LOOK_S)
        least = min(least, memory_bytes(server))
    return least


async def _repeated(attack: _Attack, answers: Counter[str], end: float) -> None:
    while time.monotonic() < end:
        answers.update(await attack())


def _attacks(address: Address, sides: tuple[int, int]) -> dict[str, _Attack]:
    """The attacks by name; each is one wave of it."""
    large = large_image(*sides)
    thumbnail = encoded(np.full((32, 32, 3), 90, np.uint8), "PNG")
    head = b"GET /policies HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 95 + b"\r\n"

    async def batches() -> Counter[str]:
        lines = await lines_of(address, batch(large, 32))
        return Counter(map(status_of_line, lines))

    async def thumbnails() -> Counter[str]:
        return await all_at_once(address, [post(unique(thumbnail)) for _ in range(30)])

    return {
        "pairs": lambda: all_at_once(address, [pair(large) for _ in range(12)]),
        "batches": batches,
        "large images": lambda: all_at_once(address, [post(unique(large)) for _ in range(20)]),
        "thumbnails": thumbnails,
        "pipelines": lambda: _together(100, lambda: _silent(address, head * 100, 2.0)),
        "leavers": lambda: _together(10, lambda: _silent(address, post(unique(large)), _LEAVES_S)),
        "holders": lambda: _together(
            10, lambda: _silent(address, form("/score/batch", [("images", bytes(2_000_000))])[:-9], _HOLDS_S)
        ),
        "listings": lambda: all_at_once(address, [get("/metrics"), get("/openapi.json"), get("/models")]),
    }


async def _together(count: int, one: Callable[[], Awaitable[None]]) -> Counter[str]:
    await asyncio.gather(*(one() for _ in range(count)))
    return Counter({"sent": count})


async def _silent(address: Address, data: bytes, seconds: float) -> None:
    """Sends something, reads nothing, and leaves after a time."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection(*address)
        try:
            writer.write(data)
            async with asyncio.timeout(seconds):
                await writer.drain()
                await writer.wait_closed()
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()


async def _stop(server: Server, module: str) -> None:
    """Stops a process, which must be replaced."""
    await asyncio.sleep(_CALM_S)
    os.kill(server.children(module)[0], signal.SIGSTOP)


def _judge_scores(story: Story, client: Bystander, expected: float) -> None:
    answers = zip(client.answered, client.bodies, strict=True)
    scores = [json.loads(body)["score"] for status, body in answers if status == "200"]
    differing = [score for score in scores if abs(score - expected) > _SAME_SCORE]
    for _ in differing:
        story.never("a score is not what it is alone")
    story.figure(f"{client.name}, differing", ", ".join(f"{score:.4f}" for score in differing) or "none")


def _judge_memory(story: Story, levels: list[int]) -> None:
    before, after = levels[_WARMING - 1], levels[-1]
    growth = after / before - 1
    story.figure("memory, MB", " ".join(f"{level / 1e6:.0f}" for level in levels))
    story.figure("growth", f"{100 * growth:+.1f} % after the first third")
    story.expect(growth <= _MOST_GROWTH, f"memory has grown by {100 * growth:.1f} %")


def main() -> int:
    chosen = arguments(__doc__, {"minutes": 60.0})
    return play_chosen(f"everything at once for {chosen.minutes:g} minutes", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
