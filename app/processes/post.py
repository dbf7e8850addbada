"""A place that is always to be filled by a process, and how the supervisor knows that the process is well."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.processes.backoff import restart_pause_s
from app.processes.child import Child

_HEALTHY_S: Final = 1.0
"""A process that was ready for so long is restarted at once when it dies; quick deaths have a pause after."""


@dataclass(frozen=True)
class ProcessLimits:
    """How long a process may keep the supervisor waiting, in seconds.

    Attributes:
        silence_s: between two reports, once it is ready; it reports about once a second.
        starting_silence_s: the same before that: importing a library can hold up all threads for seconds.
        start_s: from its start until it is ready.
        idle_silence_s: between two reports, while it does nothing at all: it is stopped, or its threads wait
            for each other. What is slow on a busy machine has more time.
    """

    silence_s: float
    starting_silence_s: float
    start_s: float
    idle_silence_s: float = 5.0


@dataclass(eq=False)
class Post:
    """One such place. Times are of ``time.monotonic()``.

    Attributes:
        name: for the log.
        start: starts a process; told how often it was restarted.
        limits: with the process.
        child: the process; None between two of them.
        code: that the last one ended with.
        ready: whether the process has said so.
        well: whether it is ready, and has not said since that its service is not.
    """

    name: str
    start: Callable[[int], Awaitable[Child]]
    limits: ProcessLimits
    child: Child | None = None
    code: int = 0
    ready: bool = False
    well: bool = False
    ready_at: float = 0.0
    restarts: int = 0
    quick_deaths: int = 0
    _started_at: float = 0.0
    _heard_at: float = 0.0
    _well_at: float = field(default_factory=time.monotonic)

    def began(self, child: Child, now: float) -> None:
        """A process fills the post."""
        self.child, self.code = child, 0
        self._started_at = self._heard_at = now

    def heard(self, report: Mapping[str, Any], now: float) -> None:
        """The process has reported something, which shows that it lives."""
        if report["event"] == "ready":
            self.ready, self.ready_at = True, now
        self._heard_at = now
        self.well = self.ready and report.get("ready", True)
        if self.well:
            self._well_at = now

    def died(self, now: float) -> float:
        """Counts a death; the seconds to wait before the process is started again."""
        healthy = self.ready and now - self.ready_at >= _HEALTHY_S
        self.quick_deaths = 0 if healthy else self.quick_deaths + 1
        self.child = None
        self.ready = self.well = False
        self.restarts += 1
        if healthy:
            return 0.0
        return restart_pause_s(self.quick_deaths)

    def overdue(self, now: float, idle_s: float = 0.0) -> str | None:
        """What the process has failed to do in time, or None.

        Args:
            now: the time.
            idle_s: how long it has done nothing at all.
        """
        if self.child is None:
            return None
        silence_s = self.limits.silence_s if self.ready else self.limits.starting_silence_s
        silent_s = now - self._heard_at
        if silent_s > silence_s:
            return f"has been silent for {silence_s:g} s"
        # From its last report on, which took time of a processor; looks are a second apart or two.
        if silent_s > (idle_silence_s := self.limits.idle_silence_s) and 2 * idle_s > idle_silence_s:
            return f"has been silent for {idle_silence_s:g} s and does nothing"
        if not self.ready and now - self._started_at > self.limits.start_s:
            return f"is not ready {self.limits.start_s:g} s after its start"
        return None

    def unwell_s(self, now: float) -> float:
        """Seconds for which it has not been well."""
        return 0.0 if self.well else now - self._well_at

    def excuse(self, seconds: float) -> None:
        """The supervisor was not running for so long: nothing could be heard."""
        self._started_at += seconds
        self._heard_at += seconds
        self._well_at += seconds
