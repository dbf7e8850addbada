"""Which of the waiting requests form a batch together: policies, apart from the line that they stand in.

A policy is chosen by what the runtime makes of a batch (``models.runtime.backend.Capabilities``). If images
of mixed sizes share one padded tensor, padding costs what pixels cost, and requests are chosen by how little
padding they add to the oldest. Where each image is computed for itself, the oldest come first.

With padding, batches are formed in one pass, by what each request would add to the oldest alone. To choose
again after every addition, by what it would add to the batch so far, was measured on simulated photos, web
pictures and thumbnails: several times slower, for batches hardly better. The time is better spent on looking
further down the line.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class SizedItem:
    """One image as one model will see it.

    Attributes:
        slot: names the model; its items of a batch share one tensor.
        height: in pixels, scaled as the model wants it.
        width: likewise.
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
            was aboard when a worker died: it shares a batch with other suspects only, at most so many in all,
            itself included.
        caller: whose it is, as far as shares are concerned.
        bulk: whether it is part of a batch of its caller's, which can wait.
    """

    key: K
    items: tuple[SizedItem, ...]
    deadline: float
    company: int | None = None
    caller: str = ""
    bulk: bool = False

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
        policy: that chooses.
    """

    pixels: int
    count: int
    waste: float
    policy: "BatchPolicy" = field(default_factory=lambda: Padded())


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


class Place(Generic[K]):
    """Where a request stands in line, with what a policy asks about it again and again."""

    __slots__ = ("age", "frames", "pixels", "taken", "waiting")

    def __init__(self, waiting: Waiting[K], age: int) -> None:
        self.waiting = waiting
        self.age = age  # lower is older
        self.pixels = waiting.pixels
        self.frames = _frames(waiting.items)
        self.taken = False


class _Batch(Generic[K]):
    """A batch in the making; what an addition costs is told from its frames, not from all of its items."""

    def __init__(self, oldest: Place[K], budget: Budget) -> None:
        self.places = [oldest]
        self._budget = budget
        self._limit = company_of(oldest, budget)
        self._useful = oldest.pixels
        self._frames = {frame[0]: frame for frame in oldest.frames}
        self._padded = sum(count * tallest * widest for _, count, tallest, widest in oldest.frames)

    @property
    def full(self) -> bool:
        return len(self.places) >= self._limit

    def padding_with(self, place: Place[K]) -> int | None:
        """Pixels of padding if `place` were added; None where the budget has no room for it."""
        padded = self._padded_with(place)
        useful = self._useful + place.pixels
        if padded > self._budget.pixels or padded > (1 + self._budget.waste) * useful:
            return None
        return padded - useful

    def add(self, place: Place[K]) -> None:
        """Adds `place` if it fits."""
        if self._padded + place.pixels > self._budget.pixels:  # the quick answer for most, when nearly full
            return
        limit = min(self._limit, company_of(place, self._budget))
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

    def _padded_with(self, place: Place[K]) -> int:
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


def company_of(place: Place[K], budget: Budget) -> int:
    company = place.waiting.company
    return budget.count if company is None else min(company, budget.count)


class BatchPolicy(Protocol):
    """Chooses who is computed beside the oldest request."""

    def choose(self, oldest: Place[K], others: Sequence[Place[K]], budget: Budget) -> list[Place[K]]:
        """A batch within the budget; the oldest is always in it.

        Args:
            oldest: of a lane.
            others: behind it in the same lane, the oldest first.
            budget: of the batch.
        """


@dataclass(frozen=True, slots=True)
class Padded:
    """For runtimes that lay images of mixed sizes into one padded tensor: least padding comes first."""

    def choose(self, oldest: Place[K], others: Sequence[Place[K]], budget: Budget) -> list[Place[K]]:
        batch = _Batch(oldest, budget)
        # What would be too much beside the oldest alone does not come in later under cover of others' fit.
        fitting = [(padding, place) for place in others if (padding := batch.padding_with(place)) is not None]
        fitting.sort(key=itemgetter(0))  # stable: of equals, the older comes first
        for _, place in fitting:
            if batch.full:
                break
            batch.add(place)
        return batch.places


@dataclass(frozen=True, slots=True)
class SideBySide:
    """For runtimes that compute each image for itself: in the order of age, as far as the budget goes."""

    def choose(self, oldest: Place[K], others: Sequence[Place[K]], budget: Budget) -> list[Place[K]]:
        chosen, pixels, limit = [oldest], oldest.pixels, company_of(oldest, budget)
        for place in others:
            both = min(limit, company_of(place, budget))
            if len(chosen) >= limit:
                break
            if pixels + place.pixels <= budget.pixels and len(chosen) < both:
                chosen.append(place)
                pixels, limit = pixels + place.pixels, both
        return chosen
