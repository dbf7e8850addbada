"""Many small images of mixed sizes and formats: memory settles, and stays where it is.

What a process holds after the second half of the requests must be within 5 % of what it held after the first.
A line of samples is printed as they are taken: resident memory, and the proportional share of pages that
processes have in common, of each process.
"""

import asyncio
import itertools
import random
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.app.files import encoded
from tests.app.running import Server, running
from tests.benchmarks.chaos.processes import Footprint, footprints
from tests.benchmarks.chaos.story import (
    Environment,
    Story,
    arguments,
    counted,
    megabytes,
    play,
    service_environment,
)
from tests.benchmarks.load import Answer, Target, closed_loop, request
from tests.benchmarks.traces import Upload
from tests.photographs import photographs

_SIDES = (48, 192)
_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_FILES = 400  # different ones; they come again in another order
_CLIENTS = 16
_MOST_GROWTH = 0.05


def tell(story: Story, environment: Environment, *, requests: int, sample_every: int) -> None:
    with running(environment) as (server, client):
        samples: dict[int, dict[str, Footprint]] = {}
        statuses: list[int] = []

        def sample(done: int) -> None:
            samples[done] = footprints(server)
            story.say(f"{done:6} requests; resident (share) in MB: {_line(samples[done])}")

        def on_answer(answer: Answer) -> None:
            statuses.append(answer.status)

        target, coming = Target.of(str(client.base_url)), _requests()
        sample(0)
        half = requests // 2
        marks = sorted({half, requests, *range(sample_every, requests, sample_every)})
        for begin, end in itertools.pairwise([0, *marks]):
            # All are answered before a sample is taken: what is under way is no leak.
            portion = itertools.islice(coming, end - begin)
            asyncio.run(closed_loop(target, portion, _CLIENTS, on_answer=on_answer))
            sample(end)
        for status in statuses:
            story.expect(status in (200, 429), f"a request ended with {status}")
        story.figure("answers", counted(statuses))
        _judge(story, server, samples, half, requests)


def thumbnails(count: int, seed: int) -> Iterator[Upload]:
    """Small images of mixed sizes and formats."""
    chance = random.Random(seed)
    for number in range(count):
        photograph = Image.fromarray(chance.choice(photographs()))
        width, height = chance.randint(*_SIDES), chance.randint(*_SIDES)
        left = chance.randrange(photograph.width - width)
        top = chance.randrange(photograph.height - height)
        crop = np.asarray(photograph.crop((left, top, left + width, top + height)))
        format = list(_FORMATS)[number % len(_FORMATS)]
        yield Upload(encoded(crop, format), _FORMATS[format], width, height, "thumbnail")


def _requests() -> Iterator[bytes]:
    """Requests without end, in an order that is different each time."""
    files = [request(upload, form=number % 2 == 0) for number, upload in enumerate(thumbnails(_FILES, 3))]
    chance = random.Random(4)
    while True:
        chance.shuffle(files)
        yield from files


def _line(processes: dict[str, Footprint]) -> str:
    return ", ".join(
        f"{name} {now.resident / 1e6:.1f} ({now.proportional / 1e6:.1f})" for name, now in processes.items()
    )


def _judge(
    story: Story,
    server: Server,
    samples: dict[int, dict[str, Footprint]],
    half: int,
    requests: int,
) -> None:
    for name, now in samples[requests].items():
        before = samples[half][name]
        growth = now.resident / before.resident - 1
        story.figure(
            name,
            f"resident {megabytes([samples[0][name].resident, before.resident, now.resident])} "
            f"after 0, {half}, {requests}: {100 * growth:+.1f} %; "
            f"share {megabytes([before.proportional, now.proportional])}",
        )
        story.expect(now.pid == before.pid, f"{name} was replaced by another process")
        grown = f"{name} has grown: {megabytes([before.resident, now.resident])}"
        story.expect(growth <= _MOST_GROWTH, grown)
        story.expect(now.files <= before.files, f"{name} has more files open: {before.files} -> {now.files}")
    for entry in server.entries():
        story.expect(entry["level"] != "error", f"an error was logged: {entry['message']}")


def main() -> int:
    chosen = arguments(__doc__, {"requests": 20_000, "sample_every": 1000})
    return play(
        f"{chosen.requests} thumbnails, {_SIDES[0]} to {_SIDES[1]} pixels a side, the cache off",
        lambda story: tell(
            story, service_environment(), requests=chosen.requests, sample_every=chosen.sample_every
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
