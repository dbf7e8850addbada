"""The inference process's two threads: one talks and schedules, the other runs the engine.

The talking thread never computes, so heartbeats and new jobs get through while the device is busy. A batch is
formed at the moment the engine is free, from whatever waits then.
"""

import contextlib
import logging
import math
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import zmq

from app.scheduling import Budget, Line, Waiting
from app.worker import wire
from app.worker.canary import score_canary
from app.worker.engine import Engine
from app.worker.tasks import CompareTask, ScoreTask
from app.worker.wire import Done, Job, Result, State

_log = logging.getLogger("iqa.worker")

_POLL_S: Final = 0.5  # how often the loop looks around when nothing happens
_STUCK_S: Final = 180.0
"""A batch that is on the device for so long will not come back; the process ends and is restarted."""
_RATE_WEIGHT: Final = 0.2  # of the newest batch in the moving average of the rate

Key = tuple[bytes, int]
"""A job across clients: the connection's identity and the job's id there."""


@dataclass(frozen=True)
class _Aboard:
    """Jobs on the device since `began`."""

    keys: tuple[Key, ...]
    jobs: tuple[Job, ...]
    began: float

    @property
    def pixels(self) -> int:
        return sum(job.pixels for job in self.jobs)


@dataclass(frozen=True)
class _Finished:
    results: list[tuple[Result, ...] | None]  # None: a task of the job raised
    seconds: float


@dataclass(frozen=True)
class _Failed:
    reason: Exception


class Worker:
    """Receives, queues, schedules and answers the jobs of all HTTP processes for one device.

    Args:
        endpoint: ipc address to listen on.
        make_engine: loads the models; runs in the engine's thread.
        budget: of one batch.
        restarts: how often this worker was restarted before.
        on_warm: called once when the first state with ``warm`` can be given.
        on_beat: called about twice a second, for whoever watches over this process.
    """

    def __init__(
        self,
        endpoint: str,
        make_engine: Callable[[], Engine],
        budget: Budget,
        *,
        restarts: int = 0,
        on_warm: Callable[[], None] = lambda: None,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._make_engine = make_engine
        self._budget = budget
        self._on_warm = on_warm
        self._on_beat = on_beat
        self._line: Line[Key] = Line()
        self._jobs: dict[Key, Job] = {}  # those in line
        self._aboard: _Aboard | None = None
        self._rate = 0.0
        self._state = State(uuid4().hex, False, "", "", 0, (), 0, 0.0, restarts)
        self._orders: queue.SimpleQueue[_Aboard | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[State | _Finished | _Failed] = queue.SimpleQueue()
        self._stopped = False
        self._wake, self._waker = socket.socketpair()
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        # Admission bounds what can be queued; a message dropped here would be a request lost.
        self._socket.set_hwm(0)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)

    def run(self) -> None:
        """Works until it is stopped.

        Raises:
            Exception: what loading the models or the canary raised.
        """
        engine = threading.Thread(target=self._run_engine, name="engine", daemon=True)
        engine.start()
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake.fileno(), zmq.POLLIN)
        beat = 0.0
        while not self._stopped:
            readable = dict(poller.poll(math.ceil(self._patience() * 1000)))
            if self._wake.fileno() in readable:
                self._wake.recv(4096)
            self._take_outcomes()
            self._receive()
            self._expire()
            self._start_batch()
            if time.monotonic() - beat >= _POLL_S:
                beat = time.monotonic()
                self._on_beat()
                self._end_if_stuck()

        self._orders.put(None)
        engine.join()
        self._socket.close()
        self._wake.close()
        self._waker.close()

    def stop(self) -> None:
        """Ends :meth:`run` from another thread, at the latest after the batch that is on the device."""
        self._stopped = True
        with contextlib.suppress(OSError):  # it ended of its own accord just now
            self._waker.send(b"\0")

    def _patience(self) -> float:
        """Seconds until something is to be done even if no message comes."""
        deadline = self._line.next_deadline
        return _POLL_S if deadline is None else min(_POLL_S, max(0.0, deadline - time.monotonic()))

    def _receive(self) -> None:
        while True:
            try:
                identity, kind, *rest = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            client = identity.bytes
            match kind.bytes:
                case wire.HELLO:
                    self._send(client, wire.pack_state(self._current_state()))
                case wire.JOB:
                    job = wire.unpack_job(rest[0].bytes, [frame.buffer for frame in rest[1:]])
                    self._accept(client, job)
                case wire.CANCEL:
                    for number in wire.unpack_ids(rest[0].bytes):
                        self._line.cancel((client, number))
                        self._jobs.pop((client, number), None)

    def _accept(self, client: bytes, job: Job) -> None:
        key = (client, job.id)
        # A client that saw the connection break may send a job again that did arrive.
        if self._aboard is not None and key in self._aboard.keys:
            return
        if self._line.add(Waiting(key, job.pixels, _shape(job), job.deadline)):
            self._jobs[key] = job

    def _expire(self) -> None:
        for waiting in self._line.expire(time.monotonic()):
            job = self._jobs.pop(waiting.key)
            self._send(waiting.key[0], wire.pack_done(Done(job.id, "expired")))

    def _start_batch(self) -> None:
        if self._aboard is not None or not self._state.warm:
            return
        keys = [waiting.key for waiting in self._line.take(self._budget)]
        if not keys:
            return
        self._aboard = _Aboard(tuple(keys), tuple(self._jobs.pop(key) for key in keys), time.monotonic())
        self._orders.put(self._aboard)
        for client in {client for client, _ in keys}:
            mine = [number for owner, number in keys if owner == client]
            self._send(client, wire.pack_ids(wire.STARTED, mine))

    def _take_outcomes(self) -> None:
        while True:
            try:
                outcome = self._outcomes.get_nowait()
            except queue.Empty:
                return
            if isinstance(outcome, _Failed):
                raise outcome.reason
            if isinstance(outcome, State):
                self._state = outcome
                self._on_warm()
            else:
                self._answer(outcome)

    def _answer(self, finished: _Finished) -> None:
        aboard, self._aboard = self._aboard, None
        assert aboard is not None
        rate = aboard.pixels / max(finished.seconds, 1e-6)
        self._rate += (rate - self._rate) * (_RATE_WEIGHT if self._rate else 1.0)
        for number, (key, results) in enumerate(zip(aboard.keys, finished.results, strict=True)):
            done = Done(
                id=key[1],
                failure="failed" if results is None else None,
                results=results or (),
                began=aboard.began,
                inference_s=finished.seconds,
                batch_images=len(aboard.keys),
                batch_pixels=aboard.pixels,
                first=number == 0,
                pixels_per_s=self._rate,
            )
            self._send(key[0], wire.pack_done(done))

    def _current_state(self) -> State:
        queued = self._line.pixels + (self._aboard.pixels if self._aboard else 0)
        state = self._state
        return State(
            state.boot, state.warm, state.device, state.dtype, state.max_scored_pixels, state.cards,
            queued, self._rate, state.restarts,
        )  # fmt: skip

    def _send(self, client: bytes, frames: Sequence[Any]) -> None:
        # A router drops what is meant for a client that has gone.
        self._socket.send_multipart([client, *frames])

    def _end_if_stuck(self) -> None:
        if self._aboard is not None and time.monotonic() - self._aboard.began > _STUCK_S:
            _log.error("a batch has been on the device for %.0f s; the worker ends", _STUCK_S)
            os._exit(70)

    def _run_engine(self) -> None:
        """The engine's thread: load, warm up, then batch after batch."""
        try:
            engine = self._make_engine()
            score_canary(engine)
        except Exception as error:
            self._report(_Failed(error))
            return
        self._report(
            State(
                boot=self._state.boot,
                warm=True,
                device=str(engine.device),
                dtype=engine.dtype_name,
                max_scored_pixels=engine.max_scored_pixels,
                cards=engine.cards(),
                queued_pixels=0,
                pixels_per_s=0.0,
                restarts=self._state.restarts,
            )
        )
        while (order := self._orders.get()) is not None:
            jobs = order.jobs
            began = time.monotonic()
            try:
                results = run_jobs(engine, jobs)
            except Exception:
                _log.exception("a batch of %d jobs failed", len(jobs))
                results = [None] * len(jobs)
            self._report(_Finished(results, time.monotonic() - began))

    def _report(self, outcome: State | _Finished | _Failed) -> None:
        self._outcomes.put(outcome)
        self._waker.send(b"\0")


def run_jobs(engine: Engine, jobs: Sequence[Job]) -> list[tuple[Result, ...] | None]:
    """Runs the tasks of all jobs as one batch; None for a job of which a task raised, which is logged."""
    places = [(row, column) for row, job in enumerate(jobs) for column in range(len(job.tasks))]
    results: list[list[Result | None]] = [[None] * len(job.tasks) for job in jobs]
    tasks = {(row, column): jobs[row].tasks[column] for row, column in places}
    scores = {place: task for place, task in tasks.items() if isinstance(task, ScoreTask)}
    pairs = {place: task for place, task in tasks.items() if isinstance(task, CompareTask)}
    outcomes: dict[tuple[int, int], Result | Exception] = {}
    if scores:
        outcomes.update(zip(scores, engine.score(list(scores.values())), strict=True))
    if pairs:
        outcomes.update(zip(pairs, engine.compare(list(pairs.values())), strict=True))
    for (row, column), outcome in outcomes.items():
        if isinstance(outcome, Exception):
            _log.error("a task of job %d failed", jobs[row].id, exc_info=outcome)
        else:
            results[row][column] = outcome
    return [None if None in row else tuple(result for result in row if result is not None) for row in results]


def _shape(job: Job) -> tuple[int, ...]:
    task = job.tasks[0]
    return task.pixels.shape if isinstance(task, ScoreTask) else task.reference.shape
