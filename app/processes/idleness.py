"""How long a process has done nothing at all: what hangs is told from what is slow, or waits for its turn."""

import time
from typing import Final

from app.processes.linux import thread_states

_CLOCK_OF_PROCESS: Final = 2
"""Of the time that a process used; the other bits are its number, inverted (clock_getcpuclockid(3))."""
_WANTING: Final = frozenset("RD")
"""States of a thread that would go on if it could: runnable, or waiting for a disk."""


class Idleness:
    """That of the process in one place. Where the kernel does not tell, it is never idle."""

    def __init__(self) -> None:
        self._pid = 0
        self._spent_ns = -1
        self._since = 0.0

    def seconds(self, pid: int, now: float) -> float:
        """Seconds in which it has not used a processor, and no thread of it wanted to at any call.

        Args:
            pid: of the process that is there now.
            now: seconds, on a clock that never goes back.
        """
        spent_ns = _spent_ns(pid)
        if spent_ns is None or (pid, spent_ns) != (self._pid, self._spent_ns) or _wants(pid):
            self._since = now
        self._pid, self._spent_ns = pid, -1 if spent_ns is None else spent_ns
        return now - self._since


def _spent_ns(pid: int) -> int | None:
    try:
        return time.clock_gettime_ns(~pid << 3 | _CLOCK_OF_PROCESS)
    except OSError:
        return None


def _wants(pid: int) -> bool:
    """Whether a thread would go on if it could; also where that is not known."""
    try:
        states = thread_states(pid)
    except OSError:
        return True
    return any(not state or state in _WANTING for state in states)
