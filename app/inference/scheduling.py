"""Which waiting requests form the next batch: pure logic, told the time and the budget by its caller.

Late binding: nothing is decided before the device can take a batch. Then the batch is the oldest request and
those that fit best beside it. A model's images share one tensor, so an image smaller than its neighbours is
padded, and padding costs what pixels cost; the best fit is the request that adds least padding to the oldest.

The oldest is always taken, so at most as many batches are formed before a request as older requests wait,
whatever comes in behind.

Requests that were on the device when a worker died are suspects: they share batches with one another only, in
ever smaller company (the caller says which), so that the culprit ends up alone and no new request pays for
its fault. They keep their place in line all the same.

Batches are formed in one pass, by the padding that each request would add to the oldest alone. Choosing again
after every addition, by what it would add to the batch so far, was measured on simulated photos, web pictures
and thumbnails: several times slower, for batches hardly better. The time is better spent on looking further
down the line.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice
from operator import itemgetter
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LOOK_AHEAD: Final = 1024
"""How many requests behind the oldest are considered. So many thumbnails take about half a millisecond, in
which the device has nothing to do, and twice as many take twice as long. On simulated traffic each doubling
from 256 on let padding fall by a tenth to a third or, where padding was at its limit, batches grow by half.
Admission seldom lets more than this wait.
"""
_SLACK: Final = 64
"""Deadlines of requests that have left are dropped once they outnumber the others by so many."""


@dataclass(frozen=True, slots=True)
class SizedItem:
    """One image as one model will see it.

    Attributes:
        slot: names the model; its items of a batch share one tensor.
        height: in pixels, scaled as the model wants it.
        width: in pixels, scaled as the model wants it.
    """

    slot: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Waiting(Generic[K]):
    """A request in line.

    Attributes:
        key: names it, unique in the line.
        items: what it asks of the device; at least one.
        deadline: when it must have started, in seconds on the caller's clock.
        company: None where it may share a batch with any other such request. A number, at least 1, where it
            was on the device when a worker died: it shares a batch with other suspects only, at most so many
            in all, itself included.
    """

    key: K
    items: tuple[SizedItem, ...]
    deadline: float
    company: int | None = None

    @property
    def pixels(self) -> int:
        """What it costs the device when it needs no padding."""
        return sum(item.height * item.width for item in self.items)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may hold; a single request may exceed it, since it cannot be divided.

    Attributes:
        pixels: at most so many, padding included.
        count: at most so many requests.
        waste: at most so much padding for each pixel of an image; 0.25 lets a fifth of a tensor be padding.
    """

    pixels: int
    count: int
    waste: float


def padded_pixels(items: Iterable[SizedItem]) -> int:
    """What the device computes for a batch of `items`, where those of one slot share one padded tensor.

    Returns:
        For each slot the number of its items times the greatest height times the greatest width, summed.
    """
    return sum(count * tallest * widest for _, count, tallest, widest in _frames(items))


_Frame = tuple[str, int, int, int]
"""A slot's tensor: its name, how many images it holds, the tallest and the widest."""


def _frames(items: Iterable[SizedItem]) -> tuple[_Frame, ...]:
    frames: dict[str, _Frame] = {}
    for item in items:
        _, count, tallest, widest = frames.get(item.slot, (item.slot, 0, 0, 0))
        frames[item.slot] = (item.slot, count + 1, max(tallest, item.height), max(widest, item.width))
    return tuple(frames.values())


class _Place(Generic[K]):
    """Where a request stands, with what is asked about it again and again."""

    __slots__ = ("age", "frames", "pixels", "taken", "waiting")

    def __init__(self, waiting: Waiting[K], age: int) -> None:
        self.waiting = waiting
        self.age = age  # lower is older
        self.pixels = waiting.pixels
        self.frames = _frames(waiting.items)
        self.taken = False


class _Batch(Generic[K]):
    """A batch in the making; what an addition costs is told from its frames, not from all of its items."""

    def __init__(self, oldest: _Place[K], budget: Budget) -> None:
        self.places = [oldest]
        self._budget = budget
        self._limit = _company(oldest, budget)
        self._useful = oldest.pixels
        self._frames = {frame[0]: frame for frame in oldest.frames}
        self._padded = sum(count * tallest * widest for _, count, tallest, widest in oldest.frames)

    @property
    def full(self) -> bool:
        return len(self.places) >= self._limit

    def padding_with(self, place: _Place[K]) -> int | None:
        """Pixels of padding if `place` were added; None where the budget has no room for it."""
        padded = self._padded_with(place)
        useful = self._useful + place.pixels
        if padded > self._budget.pixels or padded > (1 + self._budget.waste) * useful:
            return None
        return padded - useful

    def add(self, place: _Place[K]) -> None:
        """Adds `place` if it fits."""
        if self._padded + place.pixels > self._budget.pixels:  # the quick answer for most, when nearly full
            return
        limit = min(self._limit, _company(place, self._budget))
        padding = self.padding_with(place)
        if padding is None or len(self.places) >= limit:
            return
        # Twenty equal photos leave room in the waste for a thumbnail, which is cheaper among its like.
        if padding - (self._padded - self._useful) > place.pixels:
            return
        for slot, count, tall, wide in place.frames:
            _, before, tallest, widest = self._frames.get(slot, (slot, 0, 0, 0))
            self._frames[slot] = (slot, before + count, max(tallest, tall), max(widest, wide))
        self.places.append(place)
        self._limit = limit
        self._useful += place.pixels
        self._padded = self._useful + padding

    def _padded_with(self, place: _Place[K]) -> int:
        padded = self._padded
        for slot, count, tall, wide in place.frames:
            frame = self._frames.get(slot)
            if frame is None:
                padded += count * tall * wide
            else:
                _, before, tallest, widest = frame
                # Conditional expressions: with max() forming a batch takes half as long again.
                padded += (before + count) * (tall if tall > tallest else tallest) * (
                    wide if wide > widest else widest
                ) - before * tallest * widest
        return padded


def _company(place: _Place[K], budget: Budget) -> int:
    company = place.waiting.company
    return budget.count if company is None else min(company, budget.count)


class Line(Generic[K]):
    """The requests that wait for one device, oldest first."""

    def __init__(self) -> None:
        # Ordered, because a dict walks past the gaps that removed requests left at its front.
        self._fresh: OrderedDict[K, _Place[K]] = OrderedDict()
        self._suspects: OrderedDict[K, _Place[K]] = OrderedDict()
        # A heap whose first entry waits; others may have left. Ages differ, so places are not compared.
        self._deadlines: list[tuple[float, int, _Place[K]]] = []
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
        place = _Place(waiting, self._arrived)
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
        batch = _Batch(oldest, budget)
        # A request that is too much beside the oldest alone does not join later beside better fitting ones.
        fitting = [(padding, place) for place in others if (padding := batch.padding_with(place)) is not None]
        fitting.sort(key=itemgetter(0))  # stable: of equals, the older comes first
        for _, place in fitting:
            if batch.full:
                break
            batch.add(place)
        self._remove(batch.places)
        return [place.waiting for place in batch.places]

    def _lane(self, place: _Place[K]) -> OrderedDict[K, _Place[K]]:
        return self._fresh if place.waiting.company is None else self._suspects

    def _remove(self, places: list[_Place[K]]) -> None:
        for place in places:
            del self._lane(place)[place.waiting.key]
            self._pixels -= place.pixels
            place.taken = True
        if len(self._deadlines) > 2 * len(self) + _SLACK:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].taken]
            heapify(self._deadlines)
        while self._deadlines and self._deadlines[0][2].taken:
            heappop(self._deadlines)
