"""A caller's budget in pixels per second: a bucket that fills steadily and may be overdrawn."""

import threading
from typing import Final

BURST_S: Final = 10.0
"""A full bucket holds so many seconds' worth."""


class Bucket:
    """Fills at a steady rate up to ten seconds' worth, and is full at first.

    What a request costs is known only when the header of its image is. So a caller is let in while there is
    anything in the bucket, and pays then; an overdrawn bucket must fill again before the next request is let
    in. Over a long time no caller gets more than the rate. Threads may use it at the same time.

    Args:
        rate: pixels per second.
        now: seconds, on a clock that never goes back; so are all times.
    """

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._level = BURST_S * rate
        self._at = now
        self._lock = threading.Lock()

    def level(self, now: float) -> float:
        """Pixels; below zero while overdrawn."""
        return min(self._level + self.rate * max(0.0, now - self._at), BURST_S * self.rate)

    def wait_s(self, now: float) -> float:
        """Seconds until the next may be let in; zero while the level is above zero."""
        level = self.level(now)
        return 0.0 if level > 0 else (1 - level) / self.rate  # until a whole pixel is there

    def charge(self, pixels: int, now: float) -> None:
        """Takes what a request costs, whether it is there or not."""
        with self._lock:
            self._level, self._at = self.level(now) - pixels, max(now, self._at)

    def change_rate(self, rate: float, now: float) -> None:
        """What is in the bucket stays, as far as the new one can hold it."""
        with self._lock:
            level = self.level(now)
            self.rate = rate
            self._level, self._at = min(level, BURST_S * rate), max(now, self._at)
