"""Which waiting requests form the next batch: pure logic, told the time and the budget by its caller.

Late binding: nothing is decided before the device can take a batch. Then the batch is the oldest request and
those that a policy chooses beside it (:mod:`app.inference.batching`).

The oldest is always taken, so before a request at most as many batches are formed as requests stood ahead of
it, whatever comes in behind.

Requests that were in flight when a worker died are suspects: they share batches with one another only, in
ever smaller company (the caller says which), so that the culprit ends up alone and no newcomer pays for it.
They keep their place in line all the same.
"""

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Final, Generic

from app.inference.batching import Budget, K, Place, Waiting

LOOK_AHEAD: Final = 1024
"""How many requests behind the oldest are considered. So many thumbnails take about half a millisecond, in
which the device has nothing to do, and twice as many take twice as long. On simulated traffic each doubling
from 256 on let padding fall by a tenth to a third or, where padding was at its limit, batches grow by half.
Admission seldom lets more than this wait.
"""
_SLACK: Final = 64
"""Deadlines of requests that have left are dropped once they outnumber the others by so many."""


class Line(Generic[K]):
    """The requests that wait for one device, oldest first."""

    def __init__(self) -> None:
        # Ordered, because a dict walks past the gaps that those who were taken left at its front.
        self._fresh: OrderedDict[K, Place[K]] = OrderedDict()
        self._suspects: OrderedDict[K, Place[K]] = OrderedDict()
        # A heap whose first entry waits; others may have left. Ages differ, so places are not compared.
        self._deadlines: list[tuple[float, int, Place[K]]] = []
        self._arrived = 0
        self._pixels = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._suspects)

    def __contains__(self, key: object) -> bool:
        return key in self._fresh or key in self._suspects

    @property
    def pixels(self) -> int:
        """What all that wait cost together, without padding."""
        return self._pixels

    @property
    def next_deadline(self) -> float | None:
        """When the next request expires, or None where none waits."""
        return self._deadlines[0][0] if self._deadlines else None

    def add(self, waiting: Waiting[K]) -> bool:
        """Puts a request at the end; False, and no change, if its key stands in line already."""
        if waiting.key in self:
            return False
        self._arrived += 1
        place = Place(waiting, self._arrived)
        self._lane(place)[waiting.key] = place
        self._pixels += place.pixels
        heappush(self._deadlines, (waiting.deadline, place.age, place))
        return True

    def cancel(self, key: K) -> bool:
        """Takes a request out of the line; whether it stood there."""
        place = self._fresh.get(key) or self._suspects.get(key)
        if place is None:
            return False
        self._remove([place])
        return True

    def expire(self, now: float) -> list[Waiting[K]]:
        """Takes those out whose deadline is not after `now`, oldest first."""
        expired = []
        while self._deadlines and self._deadlines[0][0] <= now:
            place = self._deadlines[0][2]
            expired.append(place)
            self._remove([place])
        return [place.waiting for place in sorted(expired, key=lambda place: place.age)]

    def take(self, budget: Budget) -> list[Waiting[K]]:
        """Takes the next batch out. Call :meth:`expire` first.

        Returns:
            The oldest request, then those beside it, best fit first; empty only where none waits.
        """
        lanes = [lane for lane in (self._fresh, self._suspects) if lane]
        if not lanes:
            return []
        lane = min(lanes, key=lambda lane: next(iter(lane.values())).age)
        oldest, *others = islice(lane.values(), 1 + LOOK_AHEAD)
        chosen = budget.policy.choose(oldest, others, budget)
        self._remove(chosen)
        return [place.waiting for place in chosen]

    def _lane(self, place: Place[K]) -> OrderedDict[K, Place[K]]:
        return self._fresh if place.waiting.company is None else self._suspects

    def _remove(self, places: list[Place[K]]) -> None:
        for place in places:
            del self._lane(place)[place.waiting.key]
            self._pixels -= place.pixels
            place.taken = True
        if len(self._deadlines) > 2 * len(self) + _SLACK:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].taken]
            heapify(self._deadlines)
        while self._deadlines and self._deadlines[0][2].taken:
            heappop(self._deadlines)
