"""The results that are remembered, and the work that several callers wait for.

An answer depends only on the bytes of the files, the weights, the preprocessing and the question: not on its
batch, its time or its caller. So the same question has the same answer until the weights change, and a caller
that repeats it while the work is in progress can wait for that.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from cachetools import LRUCache

from app.errors import DeadlineExceeded

_T = TypeVar("_T")

CachedOutcome = Literal["hit", "miss", "joined"]

_ENTRY_BYTES: Final = 1024
"""What an entry takes beside its value: the key, and its place in the table."""


@dataclass
class _Flight(Generic[_T]):
    """Work in progress, and how many wait for it."""

    task: "asyncio.Task[_T]"
    deadline: float
    waiting: int = 0


class Cache(Generic[_T]):
    """Values by key, the least recently used of which go when there are too many bytes of them.

    Args:
        most_bytes: of all values; 0 turns it off: the work is done for each caller.
        size: bytes of a value.
    """

    def __init__(self, most_bytes: int, size: Callable[[_T], int]) -> None:
        self._most_bytes = most_bytes
        self._values: LRUCache[Hashable, _T] = LRUCache(most_bytes, lambda value: size(value) + _ENTRY_BYTES)
        self._flights: dict[Hashable, _Flight[_T]] = {}

    def __len__(self) -> int:
        return len(self._values)

    @property
    def held_bytes(self) -> int:
        """Of the values at the moment."""
        return int(self._values.currsize)

    async def get(
        self, key: Hashable, deadline: float, work: Callable[[], Coroutine[Any, Any, _T]]
    ) -> tuple[_T, CachedOutcome]:
        """The value of a key: remembered, of the work in progress on it, or of `work`.

        The work belongs to all callers that wait for it: it continues when the first caller leaves, and is
        cancelled when the last one does. An exception reaches all of them, and is not remembered.

        Args:
            key: says everything that the value depends on.
            deadline: by which the work must have started, on the clock of ``time.monotonic()``. Work that may
                start later than that is not joined, and if joined work started too late for its first caller,
                a caller with time left restarts it.
            work: makes the value.
        """
        if not self._most_bytes:
            return await work(), "miss"
        while True:
            if key in self._values:
                return self._values[key], "hit"
            flight = self._flights.get(key)
            if flight is None or flight.deadline > deadline:
                return await self._wait(key, self._begin(key, deadline, work)), "miss"
            try:
                return await self._wait(key, flight), "joined"
            except DeadlineExceeded:
                if time.monotonic() >= deadline:
                    raise

    def _begin(
        self, key: Hashable, deadline: float, work: Callable[[], Coroutine[Any, Any, _T]]
    ) -> _Flight[_T]:
        flight = _Flight(asyncio.create_task(work()), deadline)
        # Of two that work on the same, later callers join the one that must start first.
        self._flights[key] = flight
        flight.task.add_done_callback(lambda task: self._land(key, flight, task))
        return flight

    async def _wait(self, key: Hashable, flight: _Flight[_T]) -> _T:
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._remove(key, flight)  # at once: no caller may join cancelled work
                flight.task.cancel()

    def _land(self, key: Hashable, flight: _Flight[_T], task: "asyncio.Task[_T]") -> None:
        self._remove(key, flight)
        if not task.cancelled() and task.exception() is None:
            with contextlib.suppress(ValueError):  # it alone is over the bound
                self._values.setdefault(key, task.result())  # what came first stays

    def _remove(self, key: Hashable, flight: _Flight[_T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
