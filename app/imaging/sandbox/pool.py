"""The decoder processes of one HTTP process: images go in, pixels come out, and a crash costs one image.

A thread per process talks to it, so that the event loop never copies a pixel. What waits for a free one
stands in a line (:mod:`app.imaging.sandbox.line`). The first that a process says of an image is its size; an
image that has to wait, now that its cost is known, is broken off there and goes back into the line.
"""

import asyncio
import hashlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from app.errors import DeadlineExceeded, InternalError, InvalidImage, ServiceError, WorkerUnavailable
from app.imaging.decode import Header
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted
from app.imaging.sandbox.lockdown import Lockdown
from app.imaging.sandbox.process import COMMAND, Decoder, DecoderLost, DecoderStarved, Request
from app.imaging.sandbox.protocol import Against
from app.imaging.sandbox.shared_pixels import Original
from app.imaging.sandbox.turns import Turns
from app.imaging.sandbox.work import Asker, Timed, Work
from app.logs import log_fields
from app.memory import Memory
from app.processes.backoff import restart_pause_s
from app.processes.idleness import Stops

_log = logging.getLogger("iqa.decoding")

_ATTEMPTS: Final = 2
"""The kernel may have ended a process for reasons that are not the image's."""
_END_S: Final = 10.0
_STARVED_S: Final = 5.0
_LOOK_S: Final = 1.0
_MOST_LOOKS: Final = 5
"""A process that is stopped at so many in a row is replaced; a slow one gets some time meanwhile."""
_ANYBODY: Final = Asker()


def _ignore(*_: object) -> None:
    pass


class _Abandoned(Exception):
    """No request waits for this image any more."""


class _Later(Exception):
    """The image is back in line, now that its size is known."""


class Decoders:
    """The processes, and the threads that talk to them.

    Args:
        count: of processes.
        limits: of the images.
        timeout_s: longest that one image may take, of a processor's time.
        memory: that images take while they are decoded; without it there is no limit.
        on_restart: called from a thread each time that a process must be replaced, also one that ends before
            it is ready.
        command: that starts a process, see :class:`app.imaging.sandbox.process.Decoder`.

    Attributes:
        lockdown: what the kernel enforces on the processes; None until the first one has started.
    """

    def __init__(
        self,
        count: int,
        limits: Limits,
        timeout_s: float,
        *,
        memory: Memory | None = None,
        on_restart: Callable[[], None] = _ignore,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.lockdown: Lockdown | None = None
        self._limits = limits
        self._timeout_s = timeout_s
        self._on_restart = on_restart
        self._command = command
        self._turns = Turns(count, memory or Memory(sys.maxsize, sys.maxsize))
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Decoder] = set()
        self._failing = 0
        # Daemons: an HTTP process must be able to end while a library hangs.
        self._threads = [
            threading.Thread(target=self._work, name=f"decode-{number}", daemon=True)
            for number in range(count)
        ]
        self._watching = threading.Thread(target=self._watch, name="watch-decoders", daemon=True)

    def open(self) -> None:
        """Starts the processes; images may be sent at once."""
        for thread in self._threads:
            thread.start()
        self._watching.start()

    def close(self) -> None:
        """Ends the processes, whatever they are doing; waiting requests fail, since the server shuts down."""
        with self._lock:
            self._closing.set()
            for decoder in self._running:
                decoder.terminate()
        self._turns.close()
        end = time.monotonic() + _END_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        self._refuse_waiting()

    @property
    def able(self) -> bool:
        """Whether images can be decoded: not every process fails to start."""
        return self._failing < len(self._threads)

    @property
    def queued_s(self) -> float:
        """Seconds of work in what waits or is decoded, over all processes."""
        return self._turns.queued_s / len(self._threads)

    @property
    def usual_s(self) -> float:
        """Seconds that images were expected to take lately."""
        return self._turns.usual_s

    async def decode(
        self,
        data: bytes,
        wanted: Wanted,
        deadline: float,
        on_header: Callable[[Header], None] = _ignore,
        *,
        asker: Asker = _ANYBODY,
        keep: bool = False,
    ) -> Timed:
        """Decodes an image file and scales it for the models.

        Args:
            data: of the file.
            wanted: whose input is wanted.
            deadline: on the clock of ``time.monotonic()``, by which it must have begun.
            on_header: called from a thread once the header is known, before any pixel is decoded; what it
                raises breaks off and is raised here.
            asker: who asks.
            keep: whether its pixels at full size are wanted too, for others to be compared with.

        Raises:
            ServiceError: as :func:`app.imaging.decode.opened`; InvalidImage also where it takes too long, or
                ended two processes.
            Overloaded: it would have to wait for too long.
            DeadlineExceeded: it was not done in time; after that nothing could begin that needs it.
            WorkerUnavailable: the processes cannot be started, or get no time of a processor.
        """
        request = Request(data, self._limits, wanted, keep)
        return await self._ask(Work(request, deadline, on_header, asker))

    async def compare(
        self,
        data: bytes,
        wanted: Wanted,
        reference: Original,
        compared: Wanted,
        deadline: float,
        on_header: Callable[[Header], None] = _ignore,
        *,
        asker: Asker = _ANYBODY,
        resize: bool = False,
        measures: Sequence[str] = (),
    ) -> Timed:
        """Decodes a distorted image, and compares it with its reference.

        Args:
            data: of the file.
            wanted: whose input is wanted of the image by itself.
            reference: may be closed once this has begun.
            compared: whose input is wanted of the image as it is compared.
            deadline: see :meth:`decode`.
            on_header: see :meth:`decode`.
            asker: see :meth:`decode`.
            resize: whether an image of another size is brought to the reference's.
            measures: names of the published measures that are wanted too.

        Raises:
            ServiceError: as :meth:`decode`.
            SizeMismatch: the sizes differ, and `resize` is false.
        """
        against = Against(reference.size, resize, compared, tuple(measures))
        # A copy: a cancelled request closes the reference, while a thread may be about to hand it on.
        request = Request(data, self._limits, wanted, against=against, reference=reference.copy())
        return await self._ask(Work(request, deadline, on_header, asker))

    async def _ask(self, work: Work) -> Timed:
        if not self.able:
            raise _unavailable()
        self._turns.enter(work)
        if self._closing.is_set():  # then no thread may be there to take it
            self._refuse_waiting()
        try:
            async with asyncio.timeout(work.deadline - time.monotonic()):
                return await asyncio.wrap_future(work.answer)
        except TimeoutError:
            raise DeadlineExceeded("The image was not decoded yet when its time was up.") from None
        finally:
            self._turns.leave(work)

    def _work(self) -> None:
        """A thread: keeps a process, and takes work for it."""
        decoder: Decoder | None = None
        failures, failing = 0, False
        while not self._closing.is_set():
            if decoder is None:
                decoder = self._start()
                if (decoder is None) != failing:
                    failing = not failing
                    with self._lock:
                        self._failing += 1 if failing else -1
                if decoder is None:
                    if not self.able:
                        self._refuse_waiting()
                    failures += 1
                    self._closing.wait(restart_pause_s(failures))
                    continue
                failures = 0
            work = self._turns.next()
            if work is None:
                break
            decoder = work.context.run(self._do, decoder, work)
            del work  # and its file with it: the next one may be long in coming
        if decoder is not None:
            self._bury(decoder)

    def _do(self, decoder: Decoder, work: Work) -> Decoder | None:
        """Has an image decoded and sets its answer, or puts it back in line.

        Returns:
            The process, or None if a new one must start.
        """
        began = time.monotonic()

        def on_header(header: Header) -> None:
            if work.abandoned:
                raise _Abandoned
            if not self._turns.settle(work, header):
                raise _Later

        running: Decoder | None = decoder
        halted = False
        if not decoder.alive:  # it ended while it had nothing to do: no image's fault
            self._bury(decoder)
            self._on_restart()
            running = None
        for attempt in range(1, _ATTEMPTS + 1):
            if running is None and (running := self._start()) is None:
                self._answer(work, began, _unavailable())
                return None
            try:
                decoded = running.decode(work.request, on_header, self._timeout_s, work.deadline)
                self._answer(work, began, Timed(decoded, time.monotonic() - began, began - work.asked))
                return self._unless_worn(running, work, attempt)
            except _Later:
                return running
            except DecoderLost as loss:
                self._bury(running)
                halted |= running.halted
                running = None
                if self._closing.is_set():
                    self._answer(work, began, _unavailable())
                    return None
                self._on_restart()
                self._tell(work, f"a decoding process was lost: {loss}", attempt)
            except (DecoderStarved, TimeoutError) as error:
                self._bury(running)
                self._on_restart()
                self._answer(work, began, self._too_slow(work, error, attempt))
                return None
            except (ServiceError, _Abandoned) as error:
                if isinstance(error, InternalError):
                    _log.error("decoding an image failed: %s", "".join(getattr(error, "__notes__", ())))
                self._answer(work, began, error)
                return self._unless_worn(running, work, attempt)
            except BaseException as error:  # a bug, which leaves the exchange in an unknown state
                self._bury(running)
                self._answer(work, began, error)
                return None
        if halted:
            self._answer(work, began, _unavailable())
            return None
        digest = self._tell(work, "an image ended the decoding process twice", _ATTEMPTS)
        lost = InvalidImage("Decoding this image ended the process that decodes.", sha256=digest)
        self._answer(work, began, lost)
        return None

    def _unless_worn(self, decoder: Decoder, work: Work, attempt: int) -> Decoder | None:
        """The process, or None: then it is buried, before images that are not at fault find no memory."""
        if not decoder.worn:
            return decoder
        self._tell(work, "an image left a decoding process with too little memory, which is replaced", attempt)
        self._bury(decoder)
        self._on_restart()
        return None

    def _answer(self, work: Work, began: float, outcome: Timed | BaseException) -> None:
        """Gives an image its outcome, if a request still waits for it."""
        decoded = isinstance(outcome, Timed)
        self._turns.end(work, time.monotonic() - began, decoded=decoded)
        if not work.answer.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Timed):
            work.answer.set_result(outcome)
        else:
            work.answer.set_exception(outcome)

    def _too_slow(self, work: Work, error: Exception, attempt: int) -> ServiceError:
        """Whose fault it is that an image was not decoded in time."""
        if isinstance(error, DecoderStarved):
            self._tell(work, "a decoding process got no time of a processor", attempt)
            return WorkerUnavailable(
                "The machine has no time to decode images at the moment.", retry_after=_STARVED_S
            )
        self._tell(work, "decoding an image took too long", attempt)
        return InvalidImage(f"Decoding this image took longer than {self._timeout_s:g} s.")

    def _start(self) -> Decoder | None:
        started: list[Decoder] = []

        def on_start(decoder: Decoder) -> None:
            started.append(decoder)
            with self._lock:
                self._running.add(decoder)
                if self._closing.is_set():
                    decoder.terminate()

        try:
            decoder = Decoder(self._command, self._limits, on_start)
        except DecoderLost as loss:
            with self._lock:
                self._running.difference_update(started)
            if not self._closing.is_set():
                self._on_restart()
                _log.error("a decoding process does not start: %s", loss)
            return None
        with self._lock:
            first, self.lockdown = self.lockdown is None, decoder.lockdown
        if first and decoder.lockdown.missing:
            _log.warning(
                "decoders run without %s, which this system does not offer",
                " and ".join(decoder.lockdown.missing),
            )
        return decoder

    def _bury(self, decoder: Decoder) -> None:
        with self._lock:
            self._running.discard(decoder)
        decoder.kill()

    def _watch(self) -> None:
        """A thread: ends processes that something has stopped, so that their threads replace them."""
        stops = Stops(_MOST_LOOKS)
        while not self._closing.wait(_LOOK_S):
            with self._lock:
                running = {decoder.pid: decoder for decoder in self._running}
            for pid in stops.look(running):
                stopped_s = _MOST_LOOKS * _LOOK_S
                _log.error("a decoding process has been stopped for %g s and is killed", stopped_s)
                running[pid].halted = True
                running[pid].terminate()

    def _refuse_waiting(self) -> None:
        """Fails the waiting requests, whose images will not be decoded."""
        for work in self._turns.clear():
            if work.answer.set_running_or_notify_cancel():
                work.answer.set_exception(_unavailable())

    def _tell(self, work: Work, message: str, attempt: int) -> str:
        """Logs what an image did, and returns its digest: the log has only that and the length."""
        data = work.request.data
        digest = hashlib.sha256(data).hexdigest()
        log_fields(_log, logging.ERROR, message, sha256=digest, bytes=len(data), attempt=attempt)
        return digest


def _unavailable() -> WorkerUnavailable:
    return WorkerUnavailable("The processes that decode images are being restarted.", retry_after=1.0)
