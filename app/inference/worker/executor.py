"""The inference process's second thread: it loads the models, runs batches, and looks after the canary.

It decides nothing. Its work comes as orders, one at a time; the results go back as outcomes.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.inference.canary import score_canary
from app.inference.engine import Engine
from app.inference.protocol import Job, JobFailure
from app.inference.tasks import Result, Task
from app.logs import log_exception
from app.tracing.request_trace import trace_id_of
from models.runtime.backend import OutOfMemory

_log = logging.getLogger("iqa.worker")

CHECK: Final = "check"
"""The order to score the canary image again."""

_INSTANT_S: Final = 1e-6

EngineOrder = tuple[Job, ...] | Literal["check"]
"""A batch, or :data:`CHECK`."""


@dataclass(frozen=True)
class Loaded:
    """The models are loaded and the canary image got its known score, at so many pixels per second.

    `canary` says how far off it was, as :func:`app.inference.canary.score_canary` does.
    """

    engine: Engine
    pixels_per_s: float
    canary: dict[str, float]


@dataclass(frozen=True)
class Finished:
    """A batch is done.

    Attributes:
        results: per job, in their order: one result per task, or why there are none.
        seconds: on the device.
        useful_pixels: what the networks saw of images.
        padded_pixels: `useful_pixels` and the padding around them.
        short_of_memory: whether it had to be divided, or given up in part, for want of memory.
        memory_bytes: device memory in use.
    """

    results: list[tuple[Result, ...] | JobFailure]
    seconds: float
    useful_pixels: int
    padded_pixels: int
    short_of_memory: bool
    memory_bytes: int


@dataclass(frozen=True)
class Checked:
    """The canary image got its known score once more; `canary` is None where there was no memory for it."""

    memory_bytes: int
    canary: dict[str, float] | None


@dataclass(frozen=True)
class EngineFailed:
    """The models cannot be loaded, or can no longer be trusted; nothing more is done."""

    reason: Exception


EngineOutcome = Loaded | Finished | Checked | EngineFailed


class Runner:
    """The thread.

    Args:
        make_engine: loads the models.
        report: called from the thread with each outcome: first :class:`Loaded`, then one per order; after
            :class:`EngineFailed` the thread ends.
    """

    def __init__(self, make_engine: Callable[[], Engine], report: Callable[[EngineOutcome], None]) -> None:
        self._make_engine = make_engine
        self._report = report
        self._orders: queue.SimpleQueue[EngineOrder | None] = queue.SimpleQueue()
        # A daemon: a process whose device hangs must be able to end.
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def give(self, order: EngineOrder) -> None:
        """Has something done; the one before must have been answered."""
        self._orders.put(order)

    def stop(self) -> None:
        """Ends the thread after what it is doing, and waits for that."""
        self._orders.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            engine = self._make_engine()
            score_canary(engine)  # warms the models up: what is measured now is no guide
            before, began = engine.tally, time.monotonic()
            canary = score_canary(engine)
            useful, seconds = engine.tally.useful - before.useful, time.monotonic() - began
            self._report(Loaded(engine, useful / max(seconds, _INSTANT_S), canary))
            while (order := self._orders.get()) is not None:
                self._report(_check(engine) if order == CHECK else _run_batch(engine, order))
        except Exception as error:
            self._report(EngineFailed(error))


def _check(engine: Engine) -> Checked:
    canary = None
    try:
        canary = score_canary(engine)
    except OutOfMemory:  # says nothing about the models; others on the device may have taken it
        _log.warning("there was no memory to score the canary image")
    return Checked(engine.memory_bytes, canary)


def _run_batch(engine: Engine, jobs: Sequence[Job]) -> Finished:
    """Runs all tasks of all jobs at once.

    Raises:
        CanaryFailed: a task failed, and after that the models do not score the canary image as they should.
    """
    began, before = time.monotonic(), engine.tally
    owners = [job for job in jobs for _ in job.tasks]
    outcomes, short = run_tasks(engine, [task for job in jobs for task in job.tasks])
    seconds, after = time.monotonic() - began, engine.tally
    found = iter(outcomes)
    results = [_of_job([next(found) for _ in job.tasks]) for job in jobs]
    if "failed" in results:
        for job, outcome in zip(owners, outcomes, strict=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, OutOfMemory):
                what, trace_id = f"a task of job {job.id} failed", trace_id_of(job.trace)
                log_exception(_log, what, outcome, trace_id=trace_id)
        # The device may be at fault, not the image: then this process must end, and the jobs be done again.
        _check(engine)
    return Finished(
        results,
        seconds,
        after.useful - before.useful,
        after.padded - before.padded,
        short,
        engine.memory_bytes,
    )


def run_tasks(engine: Engine, tasks: Sequence[Task]) -> tuple[list[Result | Exception], bool]:
    """Runs tasks at once, or in halves where that fails as a whole.

    Returns:
        A result or an exception per task, and whether memory was short.
    """
    try:
        return engine.run(tasks), False
    except OutOfMemory as error:
        short = True
        # Another one: this one's traceback holds on to the memory that is wanted for the halves.
        failure: Exception = OutOfMemory(str(error))
    except Exception as error:
        short = False
        failure = error
    if len(tasks) == 1:
        return [failure], short
    middle = len(tasks) // 2
    first, first_short = run_tasks(engine, tasks[:middle])
    second, second_short = run_tasks(engine, tasks[middle:])
    return first + second, short or first_short or second_short


def _of_job(outcomes: Sequence[Result | Exception]) -> tuple[Result, ...] | JobFailure:
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if not failures:
        return tuple(outcome for outcome in outcomes if not isinstance(outcome, Exception))
    return "memory" if all(isinstance(failure, OutOfMemory) for failure in failures) else "failed"
