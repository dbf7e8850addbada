"""Files on their way to the device: decoded ahead by threads, scored by another in batches formed late.

Whenever the device is free it takes the oldest file that is decoded and those that fit best beside it, as in
the service. Meanwhile the caller that iterates over the results writes them down, and further files are
decoded, so that the device waits for neither.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from app.fetching.bucket_files import Brought
from app.inference.batching import Budget, Waiting
from app.inference.scheduling import Line
from app.inference.tasks import Result, items_of
from app.scoring.outcomes import FileName
from app.scoring.requests import Prepared

_BATCHES_AHEAD: Final = 2
"""So many full batches wait for the device; of more to choose from, the fit gets better by little."""
_AHEAD_EACH: Final = 2
"""Files that are begun for each decoding thread: the one that it has, and the one that comes next."""


@dataclass(frozen=True)
class PipelineOutcome:
    """What came of a file.

    Attributes:
        path: of the file.
        prepared: the image without its pixels, or why there is none.
        results: of its tasks; none where there is no image.
        batch_images: that were scored together.
    """

    path: FileName | Brought
    prepared: Prepared | str
    results: Sequence[Result | Exception] = ()
    batch_images: int = 0


class Pipeline:
    """The way of files through decoding and the device.

    Args:
        prepare: called from threads; an image ready to be scored, or why there is none. What it
            raises ends the run.
        run: called from one thread: the results of each image's tasks. It raises nothing that only concerns
            some of them.
        budget: of a batch.
        threads: that decode.
    """

    def __init__(
        self,
        prepare: Callable[[FileName | Brought], Prepared | str],
        run: Callable[[Sequence[Prepared]], list[list[Result | Exception]]],
        budget: Budget,
        threads: int,
    ) -> None:
        self._prepare = prepare
        self._run = run
        self._budget = budget
        self._threads = threads
        self._most = threads + _BATCHES_AHEAD * budget.count

    def go(self, paths: Iterable[FileName | Brought]) -> Generator[PipelineOutcome]:
        """What comes of files, in their order. However many there are, few are held at a time.

        Raises:
            Exception: what `run` raises, and what going through `paths` does.
        """
        coming = iter(paths)
        way = _Way(self._budget, self._run, _AHEAD_EACH * self._threads)
        scoring = threading.Thread(target=way.score, name="score", daemon=True)
        pool = ThreadPoolExecutor(self._threads, "decode")
        begun = handed = 0
        more = True
        scoring.start()
        try:
            while True:
                while more and begun - handed < self._most and way.has_room():
                    path = next(coming, None)
                    if path is None:
                        more = False
                        break
                    way.begin()
                    future = pool.submit(self._prepare, path)
                    future.add_done_callback(partial(way.arrive, begun, path))
                    begun += 1
                if handed == begun:
                    return
                outcome = way.next(handed, more and begun - handed < self._most)
                if outcome is not None:
                    handed += 1
                    yield outcome
        finally:
            way.close()
            pool.shutdown(cancel_futures=True)
            scoring.join()


class _Way:
    """What the threads share, behind one lock: files being decoded, the line, and outcomes by number."""

    def __init__(
        self,
        budget: Budget,
        run: Callable[[Sequence[Prepared]], list[list[Result | Exception]]],
        most_decoding: int,
    ) -> None:
        self._budget = budget
        self._run = run
        self._most_decoding = most_decoding
        self._changed = threading.Condition()
        self._line: Line[int] = Line()
        self._decoded: dict[int, tuple[FileName | Brought, Prepared]] = {}
        self._outcomes: dict[int, PipelineOutcome] = {}
        self._decoding = 0
        self._closed = False
        self._failure: BaseException | None = None

    def has_room(self) -> bool:
        """Whether another file may be begun: pixels that wait are bounded, not only their number."""
        with self._changed:
            return (
                self._decoding < self._most_decoding
                and self._line.pixels < _BATCHES_AHEAD * self._budget.pixels
            )

    def begin(self) -> None:
        with self._changed:
            self._decoding += 1

    def arrive(self, number: int, path: FileName | Brought, done: "Future[Prepared | str]") -> None:
        """Takes over a file that was decoded, or could not be."""
        if done.cancelled():
            return
        error = done.exception()
        with self._changed:
            self._decoding -= 1
            if error is not None:
                self._failure = error
            elif isinstance(prepared := done.result(), str):
                self._outcomes[number] = PipelineOutcome(path, prepared)
            else:
                self._decoded[number] = path, prepared
                self._line.add(Waiting(number, items_of(prepared.tasks), deadline=float("inf")))
            self._changed.notify_all()

    def next(self, number: int, hungry: bool) -> PipelineOutcome | None:
        """The outcome of that file once it is there; None where another file could be begun meanwhile.

        Args:
            number: of the file.
            hungry: whether there are further files.
        """
        with self._changed:
            while True:
                if self._failure is not None:
                    raise self._failure
                if number in self._outcomes:
                    return self._outcomes.pop(number)
                self._changed.wait()
                if hungry and number not in self._outcomes and self._failure is None:
                    return None

    def score(self) -> None:
        """The thread at the device."""
        try:
            while taken := self._take():
                results = self._run([prepared for _, _, prepared in taken])
                with self._changed:
                    for (number, path, prepared), found in zip(taken, results, strict=True):
                        self._outcomes[number] = PipelineOutcome(
                            path, replace(prepared, tasks=()), found, len(taken)
                        )
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self) -> list[tuple[int, FileName | Brought, Prepared]]:
        """The next batch; nothing once there will be none."""
        with self._changed:
            while not self._closed:
                if self._line:
                    numbers = [waiting.key for waiting in self._line.take(self._budget)]
                    self._changed.notify_all()
                    return [(number, *self._decoded.pop(number)) for number in numbers]
                self._changed.wait()
        return []
