"""The HTTP process's side of the workers: where jobs are kept until they are answered.

A worker that dies loses its jobs; here they are still known, and go out again as soon as the restarted worker
says that it is warm. It says too what the one before it had on the device when it died: only those jobs count
that death against themselves.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import uuid4

import zmq
import zmq.asyncio
from zmq.utils.monitor import recv_monitor_message

from app.cost import Cost
from app.errors import DeadlineExceeded, InternalError, Starting, WorkerUnavailable
from app.inference import protocol
from app.inference.endpoint import Endpoint
from app.inference.pending import RESTART_S, Pending
from app.inference.protocol import Casualties, Done, Job, State
from app.inference.tasks import Task
from app.tracing.request_trace import current_trace

_log = logging.getLogger("iqa.client")

_TICK_S: Final = 0.25
_SILENCE_S: Final = 5.0
"""A worker that has not answered for so long is not called ready."""


def _ignore(_: Any) -> None:
    pass


class Link:
    """The connection to one worker.

    Args:
        endpoint: of the worker.
        on_resend: called with the number of jobs that are sent again.
        on_batch: called once per batch of the worker, by one of all its links to HTTP processes.

    Attributes:
        state: what it last said of itself; None before the first word and after the connection broke.
        was_warm: whether it ever was; until then callers are told that the service is starting.
        cost: as measured, also while the worker is restarted; None where nothing was measured yet.
        precisions: of the models by name, also while the worker is restarted; empty until it was warm.
        outstanding_pixels: of the jobs that are not answered yet.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_resend: Callable[[int], None] = _ignore,
        on_batch: Callable[[Done], None] = _ignore,
    ) -> None:
        self.state: State | None = None
        self.was_warm = False
        self.cost: Cost | None = None
        self.precisions: tuple[tuple[str, str], ...] = ()
        self.outstanding_pixels = 0
        self._endpoint = endpoint
        self._on_resend = on_resend
        self._on_batch = on_batch
        self._heard_at = 0.0
        self._connected = False
        self._blamed_for = ""  # the boot of the last worker whose end was attributed to jobs
        self._pending: dict[int, Pending] = {}
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Connects, and keeps at it; needs a running event loop."""
        self._socket: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
        self._socket.set_hwm(0)
        self._socket.linger = 0
        self._socket.immediate = True  # nothing is queued for a worker that is not there
        self._socket.reconnect_ivl = 20  # milliseconds
        # The same over all connections: a restarted worker names jobs by it that the one before it had.
        self._socket.routing_id = uuid4().hex.encode()
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self._socket.plain_username = b"http"
        self._socket.plain_password = self._endpoint.secret.encode()
        self._socket.connect(self._endpoint.address)
        steps = (self._hear, self._watch, self._tick)
        self._tasks = [asyncio.create_task(self._forever(step)) for step in steps]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    @property
    def warm(self) -> bool:
        """Whether the worker is warm and has answered lately."""
        return self.state is not None and self.state.warm and time.monotonic() - self._heard_at < _SILENCE_S

    async def ask(
        self, tasks: Sequence[Task], pixels: int, deadline: float, caller: str = "", bulk: bool = False
    ) -> Done:
        """Has tasks done as one job. If the caller is cancelled, the worker is told to drop it.

        Raises:
            DeadlineExceeded: it could not start before `deadline`, on the clock of ``time.monotonic()``.
            WorkerUnavailable: the worker died too often, is not there in time, or lacks memory for it.
            PoisonInput: the worker died twice of this job alone.
            InternalError: a task failed.
        """
        now = time.monotonic()
        trace = current_trace.get().header
        job = Job(next(self._numbers), deadline, pixels, tuple(tasks), caller=caller, bulk=bulk, trace=trace)
        pending = Pending(job, asyncio.get_running_loop().create_future(), max(0.0, deadline - now))
        self._pending[job.id] = pending
        self.outstanding_pixels += pixels
        done = None
        try:
            if self.warm:
                await self._send_job(pending)
            done = await pending.answer
        finally:
            del self._pending[job.id]
            self.outstanding_pixels -= pixels
            if pending.sent and done is None:
                self._send_nowait(protocol.pack_ids(protocol.CANCEL, [job.id]))
            pending.close()
        match done.failure:
            case None:
                return done
            case "expired":
                raise _expired(pending)
            case "memory":
                raise WorkerUnavailable(
                    "The device has not enough memory for this image at the moment.", retry_after=RESTART_S
                )
            case "failed":
                raise InternalError

    async def _send_job(self, pending: Pending) -> None:
        pending.sent = True
        with contextlib.suppress(zmq.Again):  # disconnected this very moment; it is sent again after that
            await self._socket.send_multipart(protocol.pack_job(pending.job), zmq.NOBLOCK, copy=False)

    def _send_nowait(self, frames: list[Any]) -> None:
        """Sends a small message if the worker is there; what it misses, it need not know after a restart."""
        if self._connected:
            sent = asyncio.ensure_future(self._socket.send_multipart(frames, zmq.NOBLOCK))
            sent.add_done_callback(lambda future: future.cancelled() or future.exception())

    async def _forever(self, step: Callable[[], Any]) -> None:
        while True:
            try:
                await step()
            except Exception:
                _log.exception("the connection to a worker stumbled")
                await asyncio.sleep(_TICK_S)

    async def _hear(self) -> None:
        kind, header = await self._socket.recv_multipart()
        self._heard_at = time.monotonic()
        if kind == protocol.STATE:
            await self._learn(protocol.unpack_state(header))
        elif kind == protocol.STARTED:
            for number in protocol.unpack_ids(header):
                if pending := self._pending.get(number):
                    pending.started_at = self._heard_at
        elif kind == protocol.DONE:
            self._conclude(protocol.unpack_done(header))

    def _conclude(self, done: Done) -> None:
        self.cost = done.cost or self.cost
        # Also where no caller waits for it any more: it was done.
        if done.first:
            self._on_batch(done)
        if (pending := self._pending.get(done.id)) and not pending.answer.done():
            pending.answer.set_result(done)

    async def _learn(self, state: State) -> None:
        if self.state is not None and self.state.boot != state.boot:
            self._forget_worker()
        self.state = state
        self.cost = state.cost or self.cost
        if state.casualties is not None:
            self._blame(state.casualties)
        if not state.warm:
            return
        self.was_warm = True
        self.precisions = tuple((card.name, card.dtype) for card in state.cards)
        unsent = [pending for pending in self._pending.values() if pending.to_be_sent]
        if again := sum(pending.lost for pending in unsent):
            _log.warning("%d jobs are sent again to a restarted worker", again)
            self._on_resend(again)
        for pending in unsent:
            if pending.to_be_sent:  # its caller may have left while the others were sent
                await self._send_job(pending)

    async def _watch(self) -> None:
        event = await recv_monitor_message(self._monitor)
        self._connected = event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        if self._connected:
            self._send_nowait([protocol.HELLO])
        else:
            self._forget_worker()

    def _forget_worker(self) -> None:
        """The worker is gone, and with it what it had."""
        self.state = None
        now = time.monotonic()
        for pending in self._pending.values():
            pending.worker_lost(now)

    def _blame(self, casualties: Casualties) -> None:
        """Lays a worker's end to the jobs that it had on the device, once."""
        if self._blamed_for == casualties.boot:
            return
        self._blamed_for = casualties.boot
        now = time.monotonic()
        for number in casualties.ids:
            if pending := self._pending.get(number):
                pending.aboard_at_death(now, casualties.requests)

    async def _tick(self) -> None:
        self._send_nowait([protocol.HELLO])
        now = time.monotonic()
        for pending in list(self._pending.values()):
            if pending.given_up_at > now:
                continue
            if self.warm and pending.started_at is None:
                pending.fail(_expired(pending))
            else:
                pending.fail(
                    WorkerUnavailable("The inference process does not answer.", retry_after=RESTART_S)
                )
        await asyncio.sleep(_TICK_S)


class Pool:
    """The links to all workers; each job goes to the one with the least outstanding work."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        on_resend: Callable[[int], None] = _ignore,
        on_batch: Callable[[Done], None] = _ignore,
    ) -> None:
        self.links = [Link(endpoint, on_resend, on_batch) for endpoint in endpoints]
        self._last_state: State | None = None

    def open(self) -> None:
        for link in self.links:
            link.open()

    async def close(self) -> None:
        for link in self.links:
            await link.close()

    @property
    def ready(self) -> bool:
        """Whether every worker is warm and answering."""
        return all(link.warm for link in self.links)

    @property
    def started(self) -> bool:
        """Whether every worker has been warm at least once."""
        return all(link.was_warm for link in self.links)

    @property
    def pixels_per_s(self) -> float:
        """The measured rate of all workers, for images of a million pixels; 0 where none was measured."""
        return sum(link.cost.pixels_per_s for link in self.links if link.cost is not None)

    @property
    def cost(self) -> Cost | None:
        """What requests cost where all workers share them; None where nothing was measured yet."""
        costs = [link.cost for link in self.links if link.cost is not None]
        if not costs:
            return None
        # They work at the same time: the mean cost, over their number.
        share = 1 / len(costs) ** 2
        return Cost(
            share * sum(cost.request_s for cost in costs), share * sum(cost.pixel_s for cost in costs)
        )

    @property
    def precisions(self) -> frozenset[tuple[tuple[str, str], ...]]:
        """The precisions of all models, as the devices have them: one element where all have the same."""
        return frozenset(link.precisions for link in self.links if link.precisions)

    def state(self) -> State:
        """What the workers have loaded; it is the same for all, but for its precision.

        Raises:
            Starting: none has been warm yet.
        """
        for link in self.links:
            if link.state is not None and link.state.warm:
                self._last_state = link.state
                return link.state
        if self._last_state is None:
            raise Starting("The models are still being loaded.", retry_after=RESTART_S)
        return self._last_state

    @property
    def compares_words(self) -> bool:
        """Whether words beyond the 40 can be compared with images; not before the models are loaded."""
        try:
            return any(card.text_encoder for card in self.state().cards)
        except Starting:
            return False

    async def ask(
        self, tasks: Sequence[Task], pixels: int, deadline: float, caller: str = "", bulk: bool = False
    ) -> Done:
        """See :meth:`Link.ask`. A worker that is warm is preferred to one that is not."""
        link = min(self.links, key=lambda link: (not link.warm, link.outstanding_pixels))
        return await link.ask(tasks, pixels, deadline, caller, bulk)


def _expired(pending: Pending) -> DeadlineExceeded:
    return DeadlineExceeded(f"The work waited {pending.timeout_s:.1f} s and could not start.")
