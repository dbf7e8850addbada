"""Which of the images that wait is decoded next: pure logic, told the time by its caller.

- Callers share the decoders fairly: the one whose images took least time is next (start-time fair queueing).
  A caller's interactive requests and its bulk requests count as two, and bulk ones weigh a quarter.
- A caller's images go shortest first, with aging: one that has waited ten times the difference goes first.
- Large images never take the last decoder while small ones come, so that a small one never waits for them.
- While others wait, a caller that has half of the decoders gets no more of them.

An image begins as one of unknown cost, which is small: opening it tells its size. What turns out to be large
then goes back into the line.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SMALL_S: Final = 0.15
"""What is decoded in so many seconds is small."""
_QUIET_S: Final = 2.0
"""After so long without small images large ones may take every decoder."""
_AGEING: Final = 0.1
"""Seconds of cost that a second of waiting makes up for."""
_BULK: Final = 4.0
"""How many times its cost a bulk image is counted."""
_MOST_IDLE: Final = 1024
"""Callers without images whose level is remembered."""

_FlowKey = tuple[Hashable, bool]


@dataclass(eq=False)
class Turn(Generic[T]):
    """An image in line.

    Attributes:
        item: what waits.
        caller: who asks.
        bulk: whether it is part of a batch.
        since: when it came, in seconds on the caller's clock.
        cost_s: what it is expected to take.
        urgent: whether it goes before all others of its caller, since others wait for what it holds.
    """

    item: T
    caller: Hashable
    bulk: bool
    since: float
    cost_s: float
    urgent: bool = False
    left: bool = field(default=True, init=False)  # not in line (any more)

    @property
    def large(self) -> bool:
        return self.cost_s > SMALL_S

    @property
    def rank(self) -> float:
        """Lower is earlier. That it ages needs no clock: all age alike."""
        return -math.inf if self.urgent else self.cost_s + _AGEING * self.since


class _Lane(Generic[T]):
    """A caller's images of one size class, in the order of rank."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Turn[T]]] = []
        self._pushed = 0
        self.count = 0
        self.cost_s = 0.0

    def push(self, turn: Turn[T]) -> None:
        self._pushed += 1
        heappush(self._heap, (turn.rank, self._pushed, turn))
        turn.left = False
        self.count += 1
        self.cost_s += turn.cost_s

    def first(self) -> Turn[T] | None:
        return self._heap[0][2] if self._heap else None

    def remove(self, turn: Turn[T]) -> None:
        turn.left = True
        self.count -= 1
        self.cost_s = self.cost_s - turn.cost_s if self.count else 0.0
        # At once: what waits holds its file.
        if self._heap[0][2] is turn:
            heappop(self._heap)
        else:
            self._heap = [entry for entry in self._heap if entry[2] is not turn]
            heapify(self._heap)

    def ahead_s(self, turn: Turn[T]) -> float:
        """What those cost that go before it."""
        return sum(each.cost_s for rank, _, each in self._heap if rank < turn.rank and each is not turn)

    def turns(self) -> list[Turn[T]]:
        return [turn for _, _, turn in self._heap]


class _Flow(Generic[T]):
    """What one caller has in line of one class, and how much service it had."""

    def __init__(self, bulk: bool) -> None:
        self.factor = _BULK if bulk else 1.0
        self.level = 0.0
        self.lanes: tuple[_Lane[T], _Lane[T]] = (_Lane(), _Lane())  # small, large

    @property
    def count(self) -> int:
        return self.lanes[0].count + self.lanes[1].count

    def first(self, large_too: bool) -> Turn[T] | None:
        turns = [turn for lane in self.lanes[: 1 + large_too] if (turn := lane.first()) is not None]
        return min(turns, key=lambda turn: turn.rank) if turns else None


class DecodeLine(Generic[T]):
    """The images that wait for a number of decoders.

    Args:
        decoders: how many there are.
    """

    def __init__(self, decoders: int) -> None:
        self._decoders = decoders
        self._flows: dict[_FlowKey, _Flow[T]] = {}
        self._level = 0.0  # of the flow that was served last, when it was
        self._small_at = -math.inf
        self._running: dict[Turn[T], None] = {}

    def __len__(self) -> int:
        return sum(flow.count for flow in self._flows.values())

    @property
    def cost_s(self) -> float:
        """What all that wait or are decoded take together, on one decoder."""
        waiting = sum(lane.cost_s for flow in self._flows.values() for lane in flow.lanes)
        return waiting + sum(turn.cost_s for turn in self._running)

    def put(self, turn: Turn[T]) -> None:
        """Puts an image in line; also one that was taken out before and was not decoded."""
        self._running.pop(turn, None)
        key = turn.caller, turn.bulk
        flow = self._flows.get(key)
        if flow is None:
            self._forget_idle()
            flow = self._flows[key] = _Flow(turn.bulk)
        flow.lanes[turn.large].push(turn)

    def remove(self, turn: Turn[T]) -> bool:
        """Takes an image out that is not wanted any more; whether it was in line."""
        if turn.left:
            return False
        self._flows[turn.caller, turn.bulk].lanes[turn.large].remove(turn)
        return True

    def take(self, now: float, fits: Callable[[Turn[T]], bool] = lambda _: True) -> Turn[T] | None:
        """The image to be decoded next, if one may be; call :meth:`done` or :meth:`put` afterwards.

        Args:
            now: on the clock of :attr:`Turn.since`.
            fits: whether there is memory for it; if so it is taken.
        """
        for large_too in (True, False) if self._large_running < self.large_slots(now) else (False,):
            best = self._best(large_too)
            if best is None:
                return None
            if fits(best):
                return self._start(best)
            # Its room comes when a large one ends. Where none is being decoded, the small ones must end, and
            # others would only prolong that.
            if not best.large or not self._large_running:
                return None
        return None

    def take_this(self, turn: Turn[T], now: float, fits: Callable[[Turn[T]], bool] = lambda _: True) -> bool:
        """Takes an image that has just been opened by a decoder and put in line, if it may go at once.

        A small one may: it would not be worth opening it again.
        """
        if not turn.large:
            self._small_at = now
        elif self._large_running >= self.large_slots(now) or self._best(large_too=True) is not turn:
            return False
        return fits(turn) and self._start(turn) is turn

    def done(self, turn: Turn[T], seconds: float) -> None:
        """An image that was taken has been decoded, or has failed, after so many seconds."""
        if turn in self._running:
            del self._running[turn]
            if flow := self._flows.get((turn.caller, turn.bulk)):
                flow.level += (seconds - turn.cost_s) * flow.factor

    def large_slots(self, now: float) -> int:
        """How many large images may be decoded at a time."""
        return self._decoders if now - self._small_at > _QUIET_S else max(1, self._decoders - 1)

    def wait_s(self, turn: Turn[T], now: float) -> float:
        """How long an image would wait that came now, about."""
        large = turn.large
        own = self._flows.get((turn.caller, turn.bulk))
        ahead = own.lanes[large].ahead_s(turn) if own else 0.0
        factor = _BULK if turn.bulk else 1.0
        # The others get as much in the meantime, by their weights, as far as they have work.
        others = sum(
            min(flow.lanes[large].cost_s, (ahead + turn.cost_s) * factor / flow.factor)
            for flow in self._flows.values()
            if flow is not own
        )
        running = sum(each.cost_s for each in self._running if each.large == large and each is not turn) / 2
        return (ahead + others + running) / (self.large_slots(now) if large else self._decoders)

    def clear(self) -> list[Turn[T]]:
        """Takes all out that wait."""
        turns = [turn for flow in self._flows.values() for lane in flow.lanes for turn in lane.turns()]
        for turn in turns:
            self.remove(turn)
        return turns

    @property
    def _large_running(self) -> int:
        return sum(turn.large for turn in self._running)

    def _best(self, large_too: bool) -> Turn[T] | None:
        share = max(1, self._decoders // 2)
        best: Turn[T] | None = None
        best_key = (True, math.inf, math.inf)
        for (caller, _), flow in self._flows.items():
            turn = flow.first(large_too)
            if turn is None:
                continue
            has = sum(each.caller == caller for each in self._running)
            key = (has >= share, max(flow.level, self._level), turn.since)
            if best is None or key < best_key:
                best, best_key = turn, key
        return best

    def _start(self, turn: Turn[T]) -> Turn[T]:
        flow = self._flows[turn.caller, turn.bulk]
        flow.lanes[turn.large].remove(turn)
        self._level = max(flow.level, self._level)
        flow.level = self._level + turn.cost_s * flow.factor
        self._running[turn] = None
        return turn

    def _forget_idle(self) -> None:
        if len(self._flows) < _MOST_IDLE:
            return
        self._flows = {
            key: flow for key, flow in self._flows.items() if flow.count or flow.level > self._level
        }
        if len(self._flows) >= _MOST_IDLE:  # all owe something; the oldest are let off
            idle = [key for key, flow in self._flows.items() if not flow.count]
            for key in idle[: _MOST_IDLE // 2]:
                del self._flows[key]
