"""Whether an HTTP process is worth keeping: its service was ready lately, or still has time to become so."""

import math
import time
from collections.abc import Callable
from typing import Final

from app.errors import WorkerUnavailable
from app.inference.pending import RESTART_S
from app.settings import Settings

_STUCK_S: Final = 30.0
"""The supervisor replaces a process whose event loop stands still for half of that."""


class Liveness:
    """Remembers when the service was ready last.

    Args:
        able: whether workers and decoders are there; draining does not count.
        settings: of the process.
        clock: in seconds.
    """

    def __init__(
        self, able: Callable[[], bool], settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._able = able
        self._clock = clock
        self._limit_s = settings.unready_exit_s or math.inf
        self._turned_at: float | None = None
        # Until it was ready once, the models may be loading.
        self._well_until = clock() + settings.start_timeout_s + self._limit_s

    def look(self) -> bool:
        """Whether the service is able to work now; the event loop calls it every second or so, for as long as
        it turns."""
        self._turned_at = self._clock()
        return self._remembered()

    def require(self) -> None:
        """Returns where the process is worth keeping.

        Raises:
            WorkerUnavailable: the service has not been ready for too long, or the event loop does not turn.
        """
        now = self._clock()
        stuck = self._turned_at is not None and now - self._turned_at > _STUCK_S
        if stuck or (not self._remembered() and now > self._well_until):
            raise WorkerUnavailable(
                "The service has not been ready for too long and must be restarted.", retry_after=RESTART_S
            )

    def _remembered(self) -> bool:
        if able := self._able():
            self._well_until = self._clock() + self._limit_s
        return able
