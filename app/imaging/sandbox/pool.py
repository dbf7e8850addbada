"""The decoder processes of one HTTP process: images go in, pixels come out, and a crash costs one image.

A thread per process talks to it, so that the event loop never copies a pixel. What waits for a free one
stands in a line that admission bounds.
"""

import asyncio
import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Final

from app.errors import DeadlineExceeded, InternalError, InvalidImage, ServiceError, WorkerUnavailable
from app.imaging.decode import Header
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted
from app.imaging.sandbox.process import COMMAND, Decoded, Decoder, DecoderLost, Request
from app.imaging.sandbox.protocol import Against
from app.imaging.sandbox.shared_pixels import Original
from app.logs import log_fields
from app.processes.backoff import restart_pause_s

_log = logging.getLogger("iqa.decoding")

_ATTEMPTS: Final = 2
"""The kernel may have ended a process for reasons that are not the image's."""
_END_S: Final = 10.0


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Timed:
    """What came of an image, the seconds that it took, and those that it waited for a free process."""

    result: Decoded
    seconds: float
    waited_s: float


@dataclass(eq=False)
class _Work:
    request: Request
    deadline: float
    on_header: Callable[[Header], None]
    asked: float = field(default_factory=time.monotonic)
    answer: "Future[Timed]" = field(default_factory=Future)
    abandoned: bool = False
    context: Context = field(default_factory=copy_context)  # of the request, for the log


class _Abandoned(Exception):
    """No request waits for this image any more."""


class Decoders:
    """The processes, and the threads that talk to them.

    Args:
        count: of processes.
        limits: of the images.
        timeout_s: longest that one image may take.
        on_restart: called from a thread each time that a process must be replaced.
        command: that starts a process, see :class:`app.imaging.sandbox.process.Decoder`.
    """

    def __init__(
        self,
        count: int,
        limits: Limits,
        timeout_s: float,
        *,
        on_restart: Callable[[], None] = _ignore,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._limits = limits
        self._timeout_s = timeout_s
        self._on_restart = on_restart
        self._command = command
        self._line: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._running: set[Decoder] = set()
        self._failing = 0
        # Daemons: an HTTP process must be able to end while a library hangs.
        self._threads = [
            threading.Thread(target=self._work, name=f"decode-{number}", daemon=True)
            for number in range(count)
        ]

    def open(self) -> None:
        """Starts the processes; images may be sent at once."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the processes, whatever they are doing; waiting requests fail, since the server shuts down."""
        with self._lock:
            self._closing.set()
            for decoder in self._running:
                decoder.terminate()
        for _ in self._threads:
            self._line.put(None)
        end = time.monotonic() + _END_S
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        self._refuse_waiting()

    @property
    def able(self) -> bool:
        """Whether images can be decoded: not every process fails to start."""
        return self._failing < len(self._threads)

    async def decode(
        self,
        data: bytes,
        wanted: Wanted,
        deadline: float,
        on_header: Callable[[Header], None] = _ignore,
        *,
        keep: bool = False,
    ) -> Timed:
        """Decodes an image file and scales it for the models.

        Args:
            data: of the file.
            wanted: whose input is wanted.
            deadline: on the clock of ``time.monotonic()``, by which it must have begun.
            on_header: called from a thread once the header is known, before any pixel is decoded, and once
                more where the process died after that; what it raises breaks off and is raised here.
            keep: whether its pixels at full size are wanted too, for others to be compared with.

        Raises:
            ServiceError: as :func:`app.imaging.decode.opened`; InvalidImage also where it takes too long, or
                ended two processes.
            DeadlineExceeded: it could not begin in time.
            WorkerUnavailable: the processes cannot be started.
        """
        return await self._ask(Request(data, self._limits, wanted, keep), deadline, on_header)

    async def compare(
        self,
        data: bytes,
        wanted: Wanted,
        reference: Original,
        compared: Wanted,
        deadline: float,
        on_header: Callable[[Header], None] = _ignore,
        *,
        resize: bool = False,
    ) -> Timed:
        """Decodes a distorted image, and compares it with its reference.

        Args:
            data: of the file.
            wanted: whose input is wanted of the image by itself.
            reference: may be closed once this has begun.
            compared: whose input is wanted of the image as it is compared.
            deadline: see :meth:`decode`.
            on_header: see :meth:`decode`.
            resize: whether an image of another size is brought to the reference's.

        Raises:
            ServiceError: as :meth:`decode`.
            SizeMismatch: the sizes differ, and `resize` is false.
        """
        against = Against(reference.size, resize, compared)
        # A copy: a cancelled request closes the reference, while a thread may be about to hand it on.
        request = Request(data, self._limits, wanted, against=against, reference=reference.copy())
        return await self._ask(request, deadline, on_header)

    async def _ask(self, request: Request, deadline: float, on_header: Callable[[Header], None]) -> Timed:
        if not self.able:
            raise _unavailable()
        work = _Work(request, deadline, on_header)
        self._line.put(work)
        if self._closing.is_set():  # then no thread may be there to take it
            self._refuse_waiting()
        try:
            return await asyncio.wrap_future(work.answer)
        finally:
            work.abandoned = True  # no request waits for it any more

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
            work = self._line.get()
            if work is None:
                break
            if work.answer.set_running_or_notify_cancel():
                decoder = work.context.run(self._do, decoder, work)
            del work  # and its file with it: the next one may be long in coming
        if decoder is not None:
            self._bury(decoder)

    def _do(self, decoder: Decoder, work: _Work) -> Decoder | None:
        """Has an image decoded and sets its answer; returns the process, or None if a new one must start."""
        began = time.monotonic()
        if began > work.deadline:
            work.answer.set_exception(
                DeadlineExceeded("The image was still waiting to be decoded when its time was up.")
            )
            return decoder

        def on_header(header: Header) -> None:
            if work.abandoned:
                raise _Abandoned
            work.on_header(header)

        running: Decoder | None = decoder
        if not decoder.alive:  # it ended while it had nothing to do: no image's fault
            self._bury(decoder)
            self._on_restart()
            running = None
        for attempt in range(1, _ATTEMPTS + 1):
            if running is None and (running := self._start()) is None:
                work.answer.set_exception(_unavailable())
                return None
            try:
                decoded = running.decode(work.request, on_header, self._timeout_s)
                ended = time.monotonic()
                work.answer.set_result(Timed(decoded, ended - began, began - work.asked))
                return running
            except DecoderLost as loss:
                self._bury(running)
                running = None
                if self._closing.is_set():
                    work.answer.set_exception(_unavailable())
                    return None
                self._on_restart()
                self._tell(work, f"a decoding process was lost: {loss}", attempt)
            except TimeoutError:
                self._bury(running)
                self._on_restart()
                self._tell(work, "decoding an image took too long", attempt)
                slow = f"Decoding this image took longer than {self._timeout_s:g} s."
                work.answer.set_exception(InvalidImage(slow))
                return None
            except (ServiceError, _Abandoned) as error:
                if isinstance(error, InternalError):
                    _log.error("decoding an image failed: %s", "".join(getattr(error, "__notes__", ())))
                work.answer.set_exception(error)
                return running
            except BaseException as error:  # a bug, which leaves the exchange in an unknown state
                self._bury(running)
                work.answer.set_exception(error)
                return None
        digest = self._tell(work, "an image ended the decoding process twice", _ATTEMPTS)
        work.answer.set_exception(
            InvalidImage("Decoding this image ended the process that decodes.", sha256=digest)
        )
        return None

    def _start(self) -> Decoder | None:
        try:
            decoder = Decoder(self._command, self._limits)
        except DecoderLost as loss:
            if not self._closing.is_set():
                _log.error("a decoding process does not start: %s", loss)
            return None
        with self._lock:
            self._running.add(decoder)
            if self._closing.is_set():
                decoder.terminate()
        return decoder

    def _bury(self, decoder: Decoder) -> None:
        with self._lock:
            self._running.discard(decoder)
        decoder.kill()

    def _refuse_waiting(self) -> None:
        """Fails the waiting requests, whose images will not be decoded."""
        while True:
            try:
                work = self._line.get_nowait()
            except queue.Empty:
                return
            if work is not None and work.answer.set_running_or_notify_cancel():
                work.answer.set_exception(_unavailable())

    def _tell(self, work: _Work, message: str, attempt: int) -> str:
        """Logs what an image did, and returns its digest: the log has only that and the length."""
        data = work.request.data
        digest = hashlib.sha256(data).hexdigest()
        log_fields(_log, logging.ERROR, message, sha256=digest, bytes=len(data), attempt=attempt)
        return digest


def _unavailable() -> WorkerUnavailable:
    return WorkerUnavailable("The processes that decode images are being restarted.", retry_after=1.0)
