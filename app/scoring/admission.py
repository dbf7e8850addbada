"""How much work an HTTP process accepts: a budget in pixels to be scored; requests beyond it are rejected.

What a request costs is known when a decoder has read its header. Until then it holds room for what requests
usually cost; then it holds its own cost, before a pixel is decoded.

A queue that takes long to work off is full too, whatever its pixels. And each caller may hold only three
times what is free, so that one alone cannot fill the queue for all others.
"""

import math
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from app.cost import Cost
from app.errors import Overloaded

_NEWEST: Final = 0.05  # weight of the newest request in the moving average of what requests cost
_FULL: Final = 1 / 16
"""Before a request's size is known it may be rejected only where less than this part of the queue is free."""
_SHARE: Final = 3.0
"""How many times what is free a caller may hold: alone three quarters of the queue, each of two 3/7."""


def _ignore(_: int) -> None:
    pass


class Admission:
    """The pixels that were accepted and are not answered yet. Threads may use it at the same time.

    Args:
        budget_pixels: most of them. A single larger request is admitted when the queue is empty, and the one
            that was let in first may turn out to be larger than what is left.
        patience_s: a queue that takes longer than this to work off is full too, whatever its pixels: the last
            request in it might only expire there.
        cost: gives the measured cost of requests on the device; None where it is not known.
        on_change: called with the pixels whenever they have changed.

    Attributes:
        queued_pixels: accepted and not answered yet.
        usual_pixels: what requests cost lately; 0 where none has come.
    """

    def __init__(
        self,
        budget_pixels: int,
        patience_s: float,
        cost: Callable[[], Cost | None],
        on_change: Callable[[int], None] = _ignore,
    ) -> None:
        self._budget_pixels = budget_pixels
        self._patience_s = patience_s
        self._cost = cost
        self._on_change = on_change
        self.usual_pixels = 0.0
        self._lock = threading.Lock()
        self._rooms: dict[Room, None] = {}  # the oldest first
        self.queued_pixels = 0

    @property
    def queued_s(self) -> float:
        """Seconds of work for the device in what was accepted; 0 where the cost is not known."""
        cost = self._cost()
        return 0.0 if cost is None else cost.seconds(len(self._rooms), self.queued_pixels)

    def look(self, caller: Hashable = None) -> None:
        """Rejects a request of which nothing is known yet, if there is no room for one of usual cost.

        It costs next to nothing: under overload most requests end here, before their bodies are read.

        Args:
            caller: who asks; None for one that has no share of its own.

        Raises:
            Overloaded: there is no room; it says when there will be.
        """
        with self._lock:
            if self.queued_pixels:
                capacity = self._capacity(self._patience_s)
                self._require(min(self.usual_pixels, capacity * _FULL), capacity, self._patience_s, caller)

    @contextmanager
    def admit(
        self, most_pixels: int, timeout_s: float = math.inf, caller: Hashable = None
    ) -> Iterator["Room"]:
        """Holds room for a request while the block runs: the usual cost, until :meth:`Room.settle` is called.

        Where less is free than that, but not next to nothing, it holds what is free: it may be a small one.

        Args:
            most_pixels: that the request can cost; what it is taken for while nothing is known of others.
            timeout_s: in which it must start.
            caller: see :meth:`look`.

        Raises:
            Overloaded: there is no room; it says when there will be.
        """
        room = Room(self, min(self._patience_s, timeout_s), caller)
        with self._lock:
            expected = min(self.usual_pixels or most_pixels, most_pixels)
            if self.queued_pixels:
                capacity = self._capacity(room.patience_s)
                self._require(min(expected, capacity * _FULL), capacity, room.patience_s, caller)
                expected = min(expected, capacity - self.queued_pixels)
            self._rooms[room] = None
            self._move(room, math.floor(expected))
        try:
            yield room
        finally:
            with self._lock:
                room.open = False
                self._move(room, 0)
                del self._rooms[room]

    def settle(self, room: "Room", pixels: int) -> None:
        """See :meth:`Room.settle`."""
        with self._lock:
            if not room.open:
                return
            self.usual_pixels += (pixels - self.usual_pixels) * (_NEWEST if self.usual_pixels else 1.0)
            # The request that has waited longest is admitted whatever it costs. Otherwise requests that came
            # together might all turn out to cost more than was assumed, and block one another.
            if pixels > room.pixels and next(iter(self._rooms)) is not room:
                capacity = self._capacity(room.patience_s)
                self._require(pixels - room.pixels, capacity, room.patience_s, room.caller)
            self._move(room, pixels)

    def _move(self, room: "Room", pixels: int) -> None:
        self.queued_pixels += pixels - room.pixels
        room.pixels = pixels
        self._on_change(self.queued_pixels)

    def _capacity(self, patience_s: float) -> float:
        """Pixels that the queue may hold where it must be worked off in time."""
        cost = self._cost()
        if cost is None:
            return self._budget_pixels
        left_s = patience_s - cost.seconds(len(self._rooms), 0)
        return min(self._budget_pixels, max(0.0, left_s / cost.pixel_s))

    def _require(self, pixels: float, capacity: float, patience_s: float, caller: Hashable) -> None:
        surplus = self.queued_pixels + pixels - capacity
        if caller is not None and (own := sum(r.pixels for r in self._rooms if r.caller == caller)):
            # What it holds beyond its share; as long as others hold nothing, that is a quarter less.
            surplus = max(surplus, own + pixels - _SHARE * (capacity - self.queued_pixels))
        if surplus <= 0:
            return
        cost = self._cost()
        if cost is None:
            retry_after = 1.0
        else:
            # A queue whose time is up for its requests, not for its pixels, has no pixels to spare.
            late_s = cost.seconds(len(self._rooms), self.queued_pixels + pixels) - patience_s
            retry_after = max(min(surplus, self.queued_pixels) * cost.pixel_s, late_s)
        raise Overloaded("More work is waiting than this server accepts at a time.", retry_after=retry_after)


class Room:
    """What one request holds of the queue.

    Attributes:
        pixels: that it holds at the moment.
        patience_s: how long the queue may be for it.
        caller: whose it is.
        open: whether the request still holds it.
    """

    def __init__(self, admission: Admission, patience_s: float, caller: Hashable) -> None:
        self.pixels = 0
        self.patience_s = patience_s
        self.caller = caller
        self.open = True
        self._admission = admission

    def settle(self, pixels: int) -> None:
        """Holds exactly so many pixels from here on; nothing happens if the request is over.

        Less is always granted, more only where the others leave room, or have all come later.

        Raises:
            Overloaded: there is no room; it says when there will be.
        """
        self._admission.settle(self, pixels)
