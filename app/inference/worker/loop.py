"""The inference process: one thread talks and schedules, a second one (``executor``) computes.

The talking thread never computes, so heartbeats and new jobs get through while the device is busy. A batch is
formed at the moment the device is free, from whatever waits then.
"""

import logging
import math
import os
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import zmq

from app.cost import Cost, CostFit
from app.inference import protocol
from app.inference.batching import Budget, Waiting, padded_pixels
from app.inference.build import state_of
from app.inference.endpoint import Endpoint
from app.inference.engine import Engine
from app.inference.protocol import Casualties, Done, Job, State, WireError
from app.inference.scheduling import Line
from app.inference.tasks import items_of
from app.inference.worker import executor
from app.inference.worker.batch_budget import ElasticBudget
from app.inference.worker.crash_record import Key, Logbook
from app.inference.worker.executor import Checked, EngineFailed, EngineOutcome, Finished, Loaded, Runner
from app.inference.worker.router import Router
from app.tracing.request_trace import NO_TRACING, Tracing, Value

_log = logging.getLogger("iqa.worker")

_POLL_S: Final = 0.5  # how often the loop looks around when nothing happens
_CHECK_S: Final = 60.0  # how often the canary image is scored again
_STUCK_S: Final = 180.0
"""What is on the device for so long will not come back; the process ends and is restarted."""
_REQUEST_S: Final = 0.002  # what a request costs beside its pixels, until batches tell


@dataclass(frozen=True)
class _Aboard:
    """What the device is busy with since `began`: jobs, or none where it is the canary.

    `traces` are those of the jobs' requests that are recorded.
    """

    began: float
    keys: tuple[Key, ...] = ()
    pixels: int = 0
    padded_pixels: int = 0
    traces: tuple[str, ...] = ()


class Worker:
    """Receives, queues, schedules and answers the jobs of all HTTP processes for one device.

    Args:
        endpoint: to listen on, over ipc. Beside its socket lies the file of a :class:`Logbook`.
        make_engine: loads the models; runs in the engine's thread.
        budget: gives that of a batch, once the models are loaded.
        restarts: how often this worker was restarted before.
        out_of_memory: whether the kernel ended the worker before this one for want of memory.
        on_warm: called once when the first state with ``warm`` can be given.
        on_beat: called about twice a second, for the supervisor.
        tracing: told of each batch.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        make_engine: Callable[[], Engine],
        budget: Callable[[Engine], Budget],
        *,
        restarts: int = 0,
        out_of_memory: bool = False,
        on_warm: Callable[[], None] = lambda: None,
        on_beat: Callable[[], None] = lambda: None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._budget_for = budget
        self._on_warm = on_warm
        self._out_of_memory = out_of_memory
        self._on_beat = on_beat
        self._tracing = tracing
        self._line: Line[Key] = Line()
        self._jobs: dict[Key, Job] = {}  # those in line
        self._aboard: _Aboard | None = None
        self._check_at = math.inf
        self._fit: CostFit | None = None  # until the first batch it is the canary's rate
        self._state = State(uuid4().hex, False, "", "", 0, (), 0, 0.0, restarts)
        self._outcomes: queue.SimpleQueue[EngineOutcome] = queue.SimpleQueue()
        self._runner = Runner(make_engine, self._report)
        self._stopped = False
        path = Path(endpoint.address.removeprefix("ipc://"))
        self._logbook = Logbook(path.with_name(f"aboard-{path.name}"), self._state.boot)
        self._router = Router(endpoint)

    def run(self) -> None:
        """Works until it is stopped.

        Raises:
            Exception: what loading the models raised, or the canary, now or later.
        """
        self._runner.start()
        try:
            self._turn()
        finally:
            self._router.close()
            self._logbook.close()

    def stop(self) -> None:
        """Ends :meth:`run` from another thread, at the latest after the batch that is on the device."""
        self._stopped = True
        self._router.wake()

    def _turn(self) -> None:
        beat = 0.0
        while not self._stopped:
            self._router.wait(self._patience())
            finished = self._take_outcomes()
            self._receive()
            self._expire()
            self._keep_busy()
            # Last, since the device need not wait for it.
            for aboard, outcome in finished:
                self._answer(aboard, outcome)
            if time.monotonic() - beat >= _POLL_S:
                beat = time.monotonic()
                self._on_beat()
                self._miss_clients()
                self._end_if_stuck()
        self._runner.stop()

    def _patience(self) -> float:
        """Seconds until there is work even if no message comes."""
        due = math.inf if self._aboard is not None else self._check_at
        if self._line.next_deadline is not None:
            due = min(due, self._line.next_deadline)
        return min(_POLL_S, max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        for client, frames in self._router.receive():
            try:
                self._obey(client, frames)
            except (WireError, ValueError):  # a bug, but no reason to end with all that is in line
                _log.exception("a message of %d frames cannot be read", len(frames))

    def _obey(self, client: bytes, frames: Sequence[zmq.Frame]) -> None:
        kind, *rest = frames
        match kind.bytes:
            case protocol.HELLO:
                self._send_state(client)
            case protocol.JOB:
                header, *buffers = rest
                self._accept(client, protocol.unpack_job(header.bytes, [frame.buffer for frame in buffers]))
            case protocol.CANCEL:
                (header,) = rest
                for number in protocol.unpack_ids(header.bytes):
                    self._cancel((client, number))

    def _accept(self, client: bytes, job: Job) -> None:
        key = (client, job.id)
        # A client that saw the connection break may send a job again that did arrive.
        if self._aboard is not None and key in self._aboard.keys:
            return
        items = items_of(job.tasks)
        if self._line.add(Waiting(key, items, job.deadline, job.company, job.caller, job.bulk)):
            self._jobs[key] = job

    def _cancel(self, key: Key) -> None:
        self._line.cancel(key)
        self._jobs.pop(key, None)

    def _expire(self) -> None:
        for waiting in self._line.expire(time.monotonic()):
            job = self._jobs.pop(waiting.key)
            self._send(waiting.key[0], protocol.pack_done(Done(job.id, "expired")))

    def _keep_busy(self) -> None:
        """Gives the device something to do if it is free."""
        if self._aboard is not None or not self._state.warm:
            return
        if time.monotonic() >= self._check_at:
            self._aboard = _Aboard(time.monotonic())
            self._runner.give(executor.CHECK)
            return
        batch = self._line.take(self._budget.now)
        if not batch:
            return
        keys = tuple(waiting.key for waiting in batch)
        jobs = tuple(self._jobs.pop(key) for key in keys)
        pixels = sum(job.pixels for job in jobs)
        padded = padded_pixels(item for waiting in batch for item in waiting.items)
        # Before the device has it: it may be the end of this process.
        self._logbook.write(keys)
        traces = tuple(job.trace for job in jobs if job.trace is not None)
        self._aboard = _Aboard(time.monotonic(), keys, pixels, padded, traces)
        self._runner.give(jobs)
        for client in {client for client, _ in keys}:
            mine = [number for owner, number in keys if owner == client]
            self._send(client, protocol.pack_ids(protocol.STARTED, mine))

    def _report(self, outcome: EngineOutcome) -> None:
        """Called by the engine's thread."""
        self._outcomes.put(outcome)
        self._router.wake()

    def _take_outcomes(self) -> list[tuple[_Aboard, Finished]]:
        """Learns what the device has done; the batches among it are still to be answered."""
        finished: list[tuple[_Aboard, Finished]] = []
        while True:
            try:
                outcome = self._outcomes.get_nowait()
            except queue.Empty:
                return finished
            match outcome:
                case Loaded():
                    self._begin(outcome)
                case Finished():
                    assert self._aboard is not None
                    finished.append((self._aboard, outcome))
                    self._adapt(self._aboard, outcome)
                    self._aboard = None
                    self._logbook.write(())
                case Checked():
                    self._aboard = None
                    self._state = replace(self._state, memory_bytes=outcome.memory_bytes)
                    if outcome.canary is not None:
                        self._state = replace(self._state, canary=outcome.canary, canary_at=time.monotonic())
                    self._check_at = time.monotonic() + _CHECK_S
                case EngineFailed():
                    raise outcome.reason

    def _begin(self, loaded: Loaded) -> None:
        engine = loaded.engine
        self._fit = CostFit(Cost(_REQUEST_S, 1 / loaded.pixels_per_s))
        self._budget = ElasticBudget(self._budget_for(engine))
        self._check_at = time.monotonic() + _CHECK_S
        self._state = replace(
            state_of(engine),
            boot=self._state.boot,
            restarts=self._state.restarts,
            budget_pixels=self._budget.now.pixels,
            canary=loaded.canary,
            canary_at=time.monotonic(),
        )
        for client in list(self._router.clients):
            self._send_state(client)
        self._on_warm()

    def _answer(self, aboard: _Aboard, finished: Finished) -> None:
        counted = False
        cost = self._fit.cost if self._fit else None
        trace = self._trace(aboard, finished)
        for key, results in zip(aboard.keys, finished.results, strict=True):
            done = Done(
                id=key[1],
                failure=results if isinstance(results, str) else None,
                results=() if isinstance(results, str) else results,
                began=aboard.began,
                inference_s=finished.seconds,
                batch_images=len(aboard.keys),
                batch_pixels=aboard.pixels,
                useful_pixels=finished.useful_pixels,
                padded_pixels=finished.padded_pixels,
                first=not counted,
                pixels_per_s=cost.pixels_per_s if cost else 0.0,
                cost=cost,
                trace=trace,
            )
            # The first client that is still there counts the batch.
            counted |= self._send(key[0], protocol.pack_done(done))

    def _trace(self, aboard: _Aboard, finished: Finished) -> str | None:
        """Tells of the batch, if one of its requests is recorded; the name of its span."""
        if not aboard.traces:
            return None
        facts: dict[str, Value] = {
            "iqa.requests": len(aboard.keys),
            "iqa.failed": sum(isinstance(results, str) for results in finished.results),
            "iqa.pixels": aboard.pixels,
            "iqa.padded_pixels": finished.padded_pixels,
            "iqa.device": self._state.device,
            "iqa.dtype": self._state.dtype,
        }
        return self._tracing.batch(aboard.traces, aboard.began, aboard.began + finished.seconds, facts)

    def _adapt(self, aboard: _Aboard, finished: Finished) -> None:
        """Learns what requests cost; lowers the budget if memory was short, and raises it again if not."""
        if finished.short_of_memory:
            self._budget.ran_out(aboard.padded_pixels)
            _log.warning(
                "the device ran out of memory; a batch may have %d pixels now", self._budget.now.pixels
            )
        else:
            self._budget.went_well(aboard.padded_pixels)
        if not all(isinstance(results, str) for results in finished.results):
            assert self._fit is not None
            self._fit.observe(len(aboard.keys), aboard.pixels, finished.seconds)
        self._state = replace(
            self._state, budget_pixels=self._budget.now.pixels, memory_bytes=finished.memory_bytes
        )

    def _send_state(self, client: bytes) -> None:
        queued = self._line.pixels + (self._aboard.pixels if self._aboard else 0)
        cost = self._fit.cost if self._fit else None
        last = self._logbook.predecessor
        casualties = None
        if last is not None and (ids := last.ids_of(client)):
            # Whatever took the memory, an image that was alone is not found guilty by that: it is tried a
            # few times, as one of two.
            requests = max(2, len(last.keys)) if self._out_of_memory else len(last.keys)
            casualties = Casualties(last.boot, requests, ids)
        state = replace(
            self._state,
            queued_pixels=queued,
            pixels_per_s=cost.pixels_per_s if cost else 0.0,
            cost=cost,
            waiting=len(self._line),
            casualties=casualties,
        )
        self._send(client, protocol.pack_state(state))

    def _send(self, client: bytes, frames: Sequence[bytes]) -> bool:
        """Whether the client is there to be sent to. If not, what it waits for in line is dropped."""
        if self._router.send(client, frames):
            return True
        for key in [key for key in self._jobs if key[0] == client]:
            self._cancel(key)
        return False

    def _miss_clients(self) -> None:
        """Sends the state to all clients with work in line: sending fails for those that are gone."""
        for client in {client for client, _ in self._jobs}:
            self._send_state(client)

    def _end_if_stuck(self) -> None:
        if self._aboard is not None and time.monotonic() - self._aboard.began > _STUCK_S:
            _log.error("the device has been busy with one thing for %.0f s; the worker ends", _STUCK_S)
            os._exit(70)
