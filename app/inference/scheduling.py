"""Which waiting requests form the next batch: pure logic, told the time and the budget by its caller.

Late binding: nothing is decided before the device can take a batch. Then the batch is the oldest request of
the caller whose turn it is and those that a policy chooses beside it (:mod:`app.inference.batching`).

It is the turn of the caller that had fewest pixels computed (start-time fair queueing); what a caller sends
in bulk counts as another caller's, four times. The oldest of that caller is always taken, so for each caller
that waits, at most as many batches are formed before a request as its own caller's stood ahead of it.

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
_BULK: Final = 4
"""How many times its pixels a bulk request is counted."""
_MOST_LEVELS: Final = 1024
"""Callers whose level is remembered while none of their requests waits."""
_SLACK: Final = 64
"""Deadlines of requests that have left are dropped once they outnumber the others by so many."""


_Flow = tuple[str, bool]
"""What shares the device: a caller's single requests, or its bulk requests."""


class Line(Generic[K]):
    """The requests that wait for one device."""

    def __init__(self) -> None:
        # Ordered, because a dict walks past the gaps that those who were taken left at its front.
        self._fresh: OrderedDict[K, Place[K]] = OrderedDict()
        self._suspects: OrderedDict[K, Place[K]] = OrderedDict()
        self._flows: dict[_Flow, OrderedDict[K, Place[K]]] = {}  # the fresh ones
        self._levels: dict[_Flow, float] = {}
        self._level = 0.0  # of the flow whose turn was last, when it was
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
        if waiting.company is None:
            self._flows.setdefault(_flow_of(place), OrderedDict())[waiting.key] = place
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
            The oldest request of the caller whose turn it is, then those beside it, best fit first; empty
            only where none waits.
        """
        lanes = [lane for lane in (self._fresh, self._suspects) if lane]
        if not lanes:
            return []
        lane = min(lanes, key=lambda lane: next(iter(lane.values())).age)
        first = self._next() if lane is self._fresh else next(iter(lane.values()))
        others = [place for place in islice(lane.values(), 1 + LOOK_AHEAD) if place is not first]
        chosen = budget.policy.choose(first, others[:LOOK_AHEAD], budget)
        self._level = max(self._level, self._levels.get(_flow_of(first), 0.0))
        for place in chosen:
            flow = _flow_of(place)
            cost = place.pixels * (_BULK if place.waiting.bulk else 1)
            self._levels[flow] = max(self._levels.get(flow, 0.0), self._level) + cost
        self._remove(chosen)
        self._forget_levels()
        return [place.waiting for place in chosen]

    def _next(self) -> Place[K]:
        """The oldest request of the flow whose turn it is; of equal flows, of that whose oldest is older."""

        def rank(flow: _Flow) -> tuple[float, int]:
            level = max(self._levels.get(flow, 0.0), self._level)
            return level, next(iter(self._flows[flow].values())).age

        return next(iter(self._flows[min(self._flows, key=rank)].values()))

    def _forget_levels(self) -> None:
        if len(self._levels) <= _MOST_LEVELS:
            return
        self._levels = {
            flow: level for flow, level in self._levels.items() if level > self._level or flow in self._flows
        }
        idle = [flow for flow in self._levels if flow not in self._flows]
        for flow in idle[: max(0, len(self._levels) - _MOST_LEVELS)]:  # the oldest are let off
            del self._levels[flow]

    def _lane(self, place: Place[K]) -> OrderedDict[K, Place[K]]:
        return self._fresh if place.waiting.company is None else self._suspects

    def _remove(self, places: list[Place[K]]) -> None:
        for place in places:
            del self._lane(place)[place.waiting.key]
            if place.waiting.company is None:
                flow = _flow_of(place)
                del self._flows[flow][place.waiting.key]
                if not self._flows[flow]:
                    del self._flows[flow]
            self._pixels -= place.pixels
            place.taken = True
        if len(self._deadlines) > 2 * len(self) + _SLACK:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].taken]
            heapify(self._deadlines)
        while self._deadlines and self._deadlines[0][2].taken:
            heappop(self._deadlines)


def _flow_of(place: Place[K]) -> _Flow:
    return place.waiting.caller, place.waiting.bulk
