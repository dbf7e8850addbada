"""How much work an HTTP process accepts: a budget in pixels to be scored; what exceeds it is refused."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.errors import Overloaded

_NEWEST: Final = 0.05  # weight of the newest request in the moving average of what requests cost
_FULL: Final = 1 / 16
"""Before a request's size is known it may be refused only where less than this part of the queue is free."""


class Admission:
    """The pixels that were accepted and are not answered yet.

    Args:
        budget_pixels: most of them. A single larger request is let in when nothing else is queued.
        patience_s: a queue that takes longer than this to work off is full too, whatever its pixels: what
            stood at its end might only expire there.
        rate: gives the measured pixels per second; 0 where it is not known.
    """

    def __init__(self, budget_pixels: int, patience_s: float, rate: Callable[[], float]) -> None:
        self._budget_pixels = budget_pixels
        self._patience_s = patience_s
        self._rate = rate
        self._usual_pixels = 0.0
        self.queued_pixels = 0

    def look(self) -> None:
        """Refuses a request of which nothing is known yet, if there is no room for one as they usually are.

        It costs next to nothing: under overload most requests end here, before their bodies are read.

        Raises:
            Overloaded: there is no room; it says when there will be.
        """
        if self.queued_pixels:
            capacity = self._capacity(self._patience_s)
            self._require(min(self._usual_pixels, capacity * _FULL), capacity)

    @contextmanager
    def admit(self, pixels: int, timeout_s: float = math.inf) -> Iterator[None]:
        """Holds room for a request while the block runs. It is to start in `timeout_s`.

        Raises:
            Overloaded: there is no room; it says when there will be.
        """
        self._usual_pixels += (pixels - self._usual_pixels) * (_NEWEST if self._usual_pixels else 1.0)
        if self.queued_pixels:
            self._require(pixels, self._capacity(min(self._patience_s, timeout_s)))
        self.queued_pixels += pixels
        try:
            yield
        finally:
            self.queued_pixels -= pixels

    def _capacity(self, patience_s: float) -> float:
        rate = self._rate()
        return min(self._budget_pixels, rate * patience_s) if rate else self._budget_pixels

    def _require(self, pixels: float, capacity: float) -> None:
        surplus = self.queued_pixels + pixels - capacity
        if surplus > 0:
            rate = self._rate()
            raise Overloaded(
                "More work is waiting than this server accepts at a time.",
                retry_after=surplus / rate if rate else 1.0,
            )
