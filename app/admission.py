"""How much work an HTTP process accepts: a budget in pixels to be scored; what exceeds it is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import Overloaded


class Admission:
    """The pixels that were accepted and are not answered yet.

    Args:
        budget_pixels: most of them. A single larger request is let in when nothing else is queued.
        patience_s: a queue that takes longer than this to work off is full too, whatever its pixels: what
            stood at its end would only expire there.
        rate: gives the measured pixels per second; 0 where it is not known.
    """

    def __init__(self, budget_pixels: int, patience_s: float, rate: Callable[[], float]) -> None:
        self._budget_pixels = budget_pixels
        self._patience_s = patience_s
        self._rate = rate
        self.queued_pixels = 0

    @contextmanager
    def admit(self, pixels: int) -> Iterator[None]:
        """Holds room for a request while the block runs.

        Raises:
            Overloaded: there is no room; it says when there will be.
        """
        rate = self._rate()
        capacity = min(self._budget_pixels, rate * self._patience_s) if rate else self._budget_pixels
        if self.queued_pixels and self.queued_pixels + pixels > capacity:
            surplus = self.queued_pixels + pixels - capacity
            raise Overloaded(
                "More work is waiting than this server accepts at a time.",
                retry_after=surplus / rate if rate else 1.0,
            )
        self.queued_pixels += pixels
        try:
            yield
        finally:
            self.queued_pixels -= pixels
