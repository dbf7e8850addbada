"""Which waiting requests form the next batch: pure logic, told the time and the budget by its caller.

Late binding: nothing is decided before the device can take a batch. Then the batch is the oldest request and
those that fit beside it, first the ones of its own size (they share one tensor without padding), then by age.
The oldest is always taken, so whoever waits is reached after at most as many batches as were ahead of it.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Waiting(Generic[K]):
    """A request in line.

    Attributes:
        key: names it, unique in the line.
        pixels: what it costs the device.
        shape: of its input; requests of one shape are cheapest together.
        deadline: when it must have started, in seconds on the caller's clock.
    """

    key: K
    pixels: int
    shape: Hashable
    deadline: float


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may hold; a single request may exceed the pixels, since it cannot be divided."""

    pixels: int
    count: int


class Line(Generic[K]):
    """The requests that wait for one device, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[K, Waiting[K]] = {}  # in the order of arrival

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: object) -> bool:
        return key in self._waiting

    @property
    def pixels(self) -> int:
        """What all that wait cost together."""
        return sum(waiting.pixels for waiting in self._waiting.values())

    @property
    def next_deadline(self) -> float | None:
        """When the next request expires, or None where none waits."""
        return min((waiting.deadline for waiting in self._waiting.values()), default=None)

    def add(self, waiting: Waiting[K]) -> bool:
        """Puts a request at the end; False, and no change, if its key stands in line already."""
        if waiting.key in self._waiting:
            return False
        self._waiting[waiting.key] = waiting
        return True

    def cancel(self, key: K) -> bool:
        """Takes a request out of the line; whether it stood there."""
        return self._waiting.pop(key, None) is not None

    def expire(self, now: float) -> list[Waiting[K]]:
        """Takes those out whose deadline is not after `now`, oldest first."""
        expired = [waiting for waiting in self._waiting.values() if waiting.deadline <= now]
        for waiting in expired:
            del self._waiting[waiting.key]
        return expired

    def take(self, budget: Budget) -> list[Waiting[K]]:
        """Takes the next batch out; empty only where none waits. Call :meth:`expire` first."""
        if not self._waiting:
            return []
        oldest, *others = self._waiting.values()
        batch, pixels = [oldest], oldest.pixels
        # sorted() is stable, so within either group the order stays that of arrival.
        for waiting in sorted(others, key=lambda other: other.shape != oldest.shape):
            if len(batch) == budget.count:
                break
            if pixels + waiting.pixels <= budget.pixels:
                batch.append(waiting)
                pixels += waiting.pixels
        for waiting in batch:
            del self._waiting[waiting.key]
        return batch
