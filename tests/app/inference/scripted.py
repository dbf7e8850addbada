"""A worker in a thread whose engine does as it is told: what the tests of the wire's two ends stand on."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq
from numpy.typing import NDArray

from app.inference.batching import Budget
from app.inference.canary import CanaryFailed
from app.inference.endpoint import Endpoint
from app.inference.engine import Tally
from app.inference.pool import Pool
from app.inference.protocol import Done
from app.inference.tasks import ModelResult, ScoreResult, ScoreTask
from app.inference.worker.loop import Worker
from models.runtime.backend import OutOfMemory

PIXELS: Final = np.zeros((32, 32, 3), np.uint8)
POISON: Final = np.full((32, 32, 3), 255, np.uint8)
RESULT: Final = ScoreResult({"bpclip": ModelResult(0.5, (), (), (), (), None, 32, 32)})
PATIENCE_S: Final = 20.0


class ScriptedEngine:
    """Counts what it is given, and answers when and as the test says.

    Attributes:
        batches: how many tasks each batch had.
        go: what a batch waits for.
        failing: whether tasks fail.
        capacity: most tasks for which there is memory.
        broken: whether the device has been ruined, by an image of :data:`POISON`.
        checks: how often the canary was scored.
    """

    device, dtype_name, max_scored_pixels, models = "cpu", "float32", 4096, ("bpclip",)
    batch_pixels, memory_bytes = 10**6, 5_000_000

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.failing = False
        self.capacity = 10**6
        self.broken = False
        self.checks = 0
        self.tally = Tally()

    def cards(self) -> tuple[()]:
        return ()

    def run(self, tasks: Sequence[ScoreTask]) -> list[ScoreResult | Exception]:
        self.batches.append(len(tasks))
        assert self.go.wait(PATIENCE_S)
        if len(tasks) > self.capacity:
            raise OutOfMemory(f"The device has no memory for {len(tasks)} images at once.")
        self.broken |= any((task.pixels == POISON).all() for task in tasks)
        pixels = sum(task.pixels.size // 3 for task in tasks)
        self.tally = Tally(self.tally.useful + pixels, self.tally.padded + 2 * pixels)
        return [RuntimeError("scripted") if self.failing or self.broken else RESULT for _ in tasks]

    def score_canary(self) -> dict[str, float]:
        """In place of the real one."""
        self.checks += 1
        if not self.capacity:
            raise OutOfMemory("There is no memory for the canary.")
        self.tally = Tally(self.tally.useful + 1024, self.tally.padded + 1024)
        if self.broken:
            raise CanaryFailed("The scripted engine is broken.")
        return {"bpclip": self.checks / 100}


def dealer(context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint) -> zmq.Socket[bytes]:
    """A socket that is connected to a worker and knows its secret."""
    found = context.socket(zmq.DEALER)
    found.linger = 0
    found.plain_username, found.plain_password = b"test", endpoint.secret.encode()
    found.connect(endpoint.address)
    return found


class Bench:
    """A worker in a thread that can be ended and started again.

    Attributes:
        most_images: in a batch.
        ended: what :meth:`Worker.run` raised.
    """

    def __init__(self, folder: Path) -> None:
        self.endpoint = Endpoint(f"ipc://{folder}/worker", "secret of the bench")
        self.engine = ScriptedEngine()
        self.restarts = -1
        self.most_images = 4
        self.ended: Exception | None = None

    def start(self, broken: bool = False, out_of_memory: bool = False) -> None:
        self.restarts += 1
        self.engine.broken = broken
        self.worker = Worker(
            self.endpoint,
            lambda: self.engine,  # type: ignore[arg-type, return-value]
            lambda engine: Budget(engine.batch_pixels, self.most_images, 0.25),
            restarts=self.restarts,
            out_of_memory=out_of_memory,
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def stop(self) -> None:
        self.worker.stop()
        self.thread.join()

    def _run(self) -> None:
        try:
            self.worker.run()
        except Exception as error:
            self.ended = error


def with_pool(bench: Bench, story: Callable[[Pool], Coroutine[Any, Any, None]]) -> None:
    """Tells a story of a client whose worker is ready."""

    async def tell() -> None:
        pool = Pool([bench.endpoint])
        pool.open()
        try:
            await until(lambda: pool.ready)
            await asyncio.wait_for(story(pool), 30)
        finally:
            await pool.close()

    asyncio.run(tell())


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


def ask(
    pool: Pool, seconds: float = PATIENCE_S, pixels: NDArray[np.uint8] = PIXELS
) -> Coroutine[Any, Any, Done]:
    """Has one small image scored."""
    return pool.ask([ScoreTask(pixels, ("bpclip",))], pixels.size // 3, time.monotonic() + seconds)
