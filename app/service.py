"""The way of a request through an HTTP process: header, admission, decoding, workers, result."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from app import images, preparation
from app.admission import Admission
from app.errors import DeadlineExceeded, Draining, PoisonInput, Starting, WorkerUnavailable
from app.images import Header, Limits
from app.metrics import Metrics
from app.preparation import Prepared, PreparedPair, Question
from app.settings import Settings
from app.worker.client import Pool
from app.worker.pending import RESTART_S
from app.worker.tasks import FULL_REFERENCE, Task
from app.worker.wire import Done, State

_T = TypeVar("_T")

_PATIENCE: Final = 0.5
"""Longest queue, as a part of the time in which work must start: rates change, and workers restart."""
_GAUGE_S: Final = 1.0


@dataclass(frozen=True)
class Timing:
    """Milliseconds: decoding and scaling, waiting for a thread and for the device, and on the device."""

    decode: float
    queue: float
    inference: float


class Service:
    """Everything that one HTTP process holds. It has no queue of its own: work waits in the workers.

    Args:
        settings: of the process.
        endpoints: the workers' ipc addresses.
    """

    def __init__(self, settings: Settings, endpoints: Sequence[str]) -> None:
        self.settings = settings
        self.draining = False
        self.limits = Limits.of(settings)
        self.metrics = Metrics()
        self.pool = Pool(endpoints, on_resend=self.metrics.resent.inc, on_batch=self.metrics.observe_batch)
        # Each HTTP process accepts its share, so that all of them together keep to the setting.
        self.admission = Admission(
            settings.queue_pixels // settings.http_processes,
            _PATIENCE * settings.timeout_s,
            lambda: self.pool.pixels_per_s / settings.http_processes,
        )
        self._decoding = ThreadPoolExecutor(settings.decode_threads, "decode")
        # Headers are read apart from pixels, so that a full house can refuse at once.
        self._inspecting = ThreadPoolExecutor(1, "inspect")

    async def open(self) -> None:
        self.pool.open()
        self._gauging = asyncio.create_task(self._gauge())

    async def close(self) -> None:
        self._gauging.cancel()
        await self.pool.close()
        self._decoding.shutdown(wait=False, cancel_futures=True)
        self._inspecting.shutdown(wait=False, cancel_futures=True)

    def require_ready(self) -> None:
        """Returns where new callers may be sent here.

        Raises:
            Draining, Starting, WorkerUnavailable: why not.
        """
        if self.draining:
            raise Draining(
                "The server is shutting down.", retry_after=self.settings.drain_delay_s + RESTART_S
            )
        if self.pool.ready:
            return
        if not self.pool.started:
            raise Starting("The models are still being loaded.", retry_after=RESTART_S)
        raise WorkerUnavailable("An inference process is being restarted.", retry_after=RESTART_S)

    def loaded(self) -> State:
        """What the workers have loaded.

        Raises:
            Starting: nothing yet.
        """
        return self.pool.state()

    async def score(self, data: bytes, question: Question) -> tuple[Prepared, Done, Timing]:
        """Scores an image file without a reference.

        Raises:
            ServiceError: why there is no score.
        """
        state = self.loaded()
        pixels = preparation.cost(await self._inspect(data), question.models, state)
        with self._admitted(pixels, question.deadline), _named(data):
            prepared, seconds, waited = await self._decode(
                question.deadline, lambda: preparation.prepare(data, self.limits, question, state)
            )
            done, timing = await self._ask(prepared.tasks, pixels, question.deadline, seconds, waited)
        return prepared, done, timing

    async def compare(
        self, reference: bytes, distorted: bytes, resize: bool, question: Question
    ) -> tuple[PreparedPair, Done, Timing]:
        """Holds a distorted image file against its reference; with `resize`, at the reference's size.

        Raises:
            ServiceError: why there is no score; its field ``field`` names the file at fault, if one is.
        """
        state = self.loaded()
        with preparation.blamed_on("reference"):
            first = await self._inspect(reference)
        with preparation.blamed_on("distorted"):
            second = await self._inspect(distorted)
        # No turning can make these agree, so nothing needs to be decoded to refuse them.
        if not resize and {first.width, first.height} != {second.width, second.height}:
            raise preparation.mismatch((first.width, first.height), (second.width, second.height))
        pixels = 2 * preparation.cost(first, (FULL_REFERENCE,), state)
        pixels += sum(preparation.cost(header, question.models, state) for header in (first, second))
        with self._admitted(pixels, question.deadline), _named(reference, distorted):
            pair, seconds, waited = await self._decode(
                question.deadline,
                lambda: preparation.prepare_pair(reference, distorted, resize, self.limits, question, state),
            )
            tasks: tuple[Task, ...] = (pair.task, *pair.reference.tasks, *pair.distorted.tasks)
            done, timing = await self._ask(tasks, pixels, question.deadline, seconds, waited)
        return pair, done, timing

    @contextmanager
    def _admitted(self, pixels: int, deadline: float) -> Iterator[None]:
        with self.admission.admit(pixels, deadline - time.monotonic()):
            self.metrics.queued_pixels.inc(pixels)
            try:
                yield
            finally:
                self.metrics.queued_pixels.dec(pixels)

    async def _inspect(self, data: bytes) -> Header:
        return await asyncio.get_running_loop().run_in_executor(
            self._inspecting, images.inspect, data, self.limits
        )

    async def _decode(self, deadline: float, work: Callable[[], _T]) -> tuple[_T, float, float]:
        """Runs `work` in the bounded pool; its result, and the seconds that it took and that it waited."""
        asked = time.monotonic()

        def timed() -> tuple[_T, float, float]:
            began = time.monotonic()
            if began > deadline:
                raise DeadlineExceeded("The image was still waiting to be decoded when its time was up.")
            result = work()
            return result, time.monotonic() - began, began - asked

        result, seconds, waited = await asyncio.get_running_loop().run_in_executor(self._decoding, timed)
        self.metrics.decode_seconds.observe(seconds)
        return result, seconds, waited

    async def _ask(
        self, tasks: Sequence[Task], pixels: int, deadline: float, decode_s: float, waited_s: float
    ) -> tuple[Done, Timing]:
        asked = time.monotonic()
        done = await self.pool.ask(tasks, pixels, deadline)
        waited_s += max(0.0, done.began - asked)
        self.metrics.queue_seconds.observe(waited_s)
        return done, Timing(decode_s * 1000, waited_s * 1000, done.inference_s * 1000)

    async def _gauge(self) -> None:
        """Keeps the gauges that nobody else sets."""
        while True:
            self.metrics.ready.set(self.pool.ready and not self.draining)
            self.metrics.pixels_per_second.set(self.pool.pixels_per_s)
            for number, link in enumerate(self.pool.links):
                if link.state is not None:
                    self.metrics.observe_worker(number, link.state)
            await asyncio.sleep(_GAUGE_S)


@contextmanager
def _named(*files: bytes) -> Iterator[None]:
    """Adds the digests of the files, for the log and the caller, if it turns out that one ends the worker."""
    try:
        yield
    except PoisonInput as error:
        error.fields["sha256"] = [hashlib.sha256(file).hexdigest() for file in files]
        raise
