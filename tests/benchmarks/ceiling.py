"""The engine's ceiling: how fast the models score image files in one process, without HTTP around them.

    python -m tests.benchmarks.ceiling [--trace mixed] [--size full] [--depth 16] [--rounds 3] [--blocks 2]

What it has in common with the service: the decoding (:mod:`app.scoring.requests`) in a pool of as many
threads, the scheduler with the same budget, the engine, the settings (``IQA_*``). Whenever an image is done,
the next file is taken up, so that `depth` of them are always on the way; no batch waits for anything but the
device.

The service cannot do better than this, but for decoding in another process than the engine's.
"""

import argparse
import json
import multiprocessing
import queue
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track

from tests.benchmarks import servers
from tests.benchmarks.report import machine
from tests.benchmarks.traces import Upload, make

if TYPE_CHECKING:
    from app.scoring.requests import Prepared


@dataclass(frozen=True)
class Run:
    """A number of images scored.

    Attributes:
        images: how many.
        seconds: from the first byte to the last score.
        batches: that they made.
        padding: padded pixels over useful ones, less one.
    """

    images: int
    seconds: float
    batches: int
    padding: float

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds


@dataclass(frozen=True)
class Alone:
    """Images scored one by one: milliseconds of each for decoding and scaling, and for the models."""

    decode_ms: list[float]
    inference_ms: list[float]

    @property
    def total_ms(self) -> list[float]:
        return [sum(parts) for parts in zip(self.decode_ms, self.inference_ms, strict=True)]


class Ceiling:
    """The engine with a decoding pool in front of it, in this process, by the settings of the environment."""

    def __init__(self) -> None:
        # Not at the top: a process that only starts another one with a ceiling has no need of torch.
        from tests.benchmarks.local import LocalEngine

        self.local = LocalEngine()
        engine = self.local.engine
        self.about = {
            "device": str(engine.device),
            "dtypes": {name: engine.dtype_of(name) for name in engine.models},
            "threads": self.local.threads,
            "decode_processes": self.local.settings.decoders(),
        }

    def run(self, uploads: Sequence[Upload], depth: int) -> Run:
        """Scores each file once, `depth` of them being decoded, waiting or scored at any time.

        Raises:
            Exception: an image could not be decoded or scored.
        """
        from app.inference.scheduling import Line

        local, line = self.local, Line[int]()
        prepared: dict[int, Prepared] = {}
        decoded: queue.SimpleQueue[tuple[int, Future[Prepared]]] = queue.SimpleQueue()
        coming = iter(enumerate(uploads))
        missing, batches = len(uploads), 0
        before, began = local.engine.tally, time.monotonic()

        with ThreadPoolExecutor(local.settings.decoders(), "decode") as pool:

            def take_up(number: int) -> None:
                for place, upload in islice(coming, number):
                    future = pool.submit(local.prepare, upload.data)
                    future.add_done_callback(partial(_hand_over, decoded, place))

            take_up(depth)
            while missing:
                while not line or not decoded.empty():
                    place, future = decoded.get()
                    prepared[place] = future.result()
                    line.add(local.waiting(place, prepared[place]))
                batch = [prepared.pop(waiting.key) for waiting in line.take(local.budget)]
                local.score(batch)
                batches += 1
                missing -= len(batch)
                take_up(len(batch))

        seconds, after = time.monotonic() - began, local.engine.tally
        padding = (after.padded - before.padded) / (after.useful - before.useful) - 1
        return Run(len(uploads), seconds, batches, padding)

    def alone(self, uploads: Sequence[Upload]) -> Alone:
        """Scores files one after the other."""
        decode, inference = [], []
        for upload in uploads:
            start = time.monotonic()
            prepared = self.local.prepare(upload.data)
            middle = time.monotonic()
            self.local.score([prepared])
            decode.append(1000 * (middle - start))
            inference.append(1000 * (time.monotonic() - middle))
        return Alone(decode, inference)


class Remote:
    """A :class:`Ceiling` in another process, which is idle unless asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.about: dict[str, Any] = self._answer()

    def run(self, uploads: Sequence[Upload], depth: int) -> Run:
        self._connection.send(("run", uploads, depth))
        run: Run = self._answer()
        return run

    def alone(self, uploads: Sequence[Upload]) -> Alone:
        self._connection.send(("alone", uploads))
        alone: Alone = self._answer()
        return alone

    def _answer(self) -> Any:
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def remote(environment: Mapping[str, str], cores: Sequence[int] | None = None) -> Iterator[Remote]:
    """A ceiling in a process of its own, on these cores, with these settings on top of the environment's."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, dict(environment)), daemon=True)
    with servers.pinned(cores):
        process.start()
    theirs.close()
    try:
        yield Remote(ours)
    finally:
        ours.close()  # which ends it, too, if this process dies
        process.terminate()
        process.join()
        process.close()


def _serve(connection: Connection, environment: dict[str, str]) -> None:
    import os

    os.environ.update(environment)
    try:
        ceiling = Ceiling()
        connection.send(ceiling.about)
        while True:
            method, *arguments = connection.recv()
            connection.send(getattr(ceiling, method)(*arguments))
    except EOFError:
        pass
    except Exception as error:
        connection.send(error)


def _hand_over(
    decoded: "queue.SimpleQueue[tuple[int, Future[Prepared]]]", place: int, done: "Future[Prepared]"
) -> None:
    decoded.put((place, done))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The engine's ceiling, decoding included, in one process.")
    parser.add_argument("--trace", default="mixed", help="mixed, or a size such as 512x384")
    parser.add_argument("--size", choices=("compact", "full"), default="compact", help="of the models")
    parser.add_argument("--depth", type=int, default=16, help="images on the way at any time")
    parser.add_argument("--blocks", type=int, default=2, help="of twenty images, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(servers.usable_cores()))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    uploads = make(chosen.trace, chosen.blocks)
    console = Console(stderr=True)
    with (
        servers.weights(chosen.size) as weights,
        remote({**weights, "IQA_THREADS": str(chosen.threads)}) as ceiling,
    ):
        ceiling.run(uploads, chosen.depth)  # every size for the first time
        runs = [
            ceiling.run(uploads, chosen.depth) for _ in track(range(chosen.rounds), "rounds", console=console)
        ]
        about = ceiling.about
    if chosen.json:
        rounds = [{**asdict(run), "rate": run.rate} for run in runs]
        print(json.dumps({"machine": machine(), "about": about, "rounds": rounds}))
        return
    rates = [run.rate for run in runs]
    print(
        f"{chosen.trace}, {chosen.size}, {about['device']}, {about['dtypes']}, {about['threads']} threads: "
        f"median {statistics.median(rates):.2f} images/s ({min(rates):.2f} to {max(rates):.2f}), "
        f"{runs[-1].images / runs[-1].batches:.1f} images a batch, {100 * runs[-1].padding:.0f} % padding"
    )


if __name__ == "__main__":
    main()
