"""How long a process has done nothing at all: what hangs is told from what is slow, or waits for its turn."""

import time
from collections.abc import Iterable
from typing import Final

from app.processes.linux import thread_states

_CLOCK_OF_PROCESS: Final = 2
"""Of the time that a process used; the other bits are its number, inverted (clock_getcpuclockid(3))."""
_STOPPED: Final = frozenset("Tt")
_WANTING: Final = frozenset("RD")
"""States of a thread that would go on if it could: runnable, or waiting for a disk."""


class Idleness:
    """That of the process in one place. Where the kernel does not tell, it is never idle."""

    def __init__(self) -> None:
        self._pid = 0
        self._spent = -1
        self._since = 0.0

    def seconds(self, pid: int, now: float) -> float:
        """Seconds in which it has not used a processor, and no thread of it wanted to at any call.

        Args:
            pid: of the process that is there now.
            now: seconds, on a clock that never goes back.
        """
        spent = spent_ns(pid)
        if spent is None or (pid, spent) != (self._pid, self._spent) or _wants(pid):
            self._since = now
        self._pid, self._spent = pid, -1 if spent is None else spent
        return now - self._since


class Stops:
    """Which processes are stopped, as by SIGSTOP or a debugger; whatever asks them would wait for ever.

    Args:
        looks: in a row at which a process must be found so, without having run in between.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._found: dict[int, tuple[int | None, int]] = {}  # time spent, and looks, by process

    def look(self, pids: Iterable[int]) -> list[int]:
        """Those of the processes that have been stopped for long. Where the kernel does not tell, none."""
        found = {}
        for pid in pids:
            if _is_stopped(pid):
                spent = spent_ns(pid)
                before, looks = self._found.get(pid, (spent, 0))
                found[pid] = spent, 1 + looks * (before == spent)
        self._found = found
        return [pid for pid, (_, looks) in found.items() if looks >= self._looks]


def spent_ns(pid: int) -> int | None:
    """The time on processors that a process has used; None where that is not known."""
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


def _is_stopped(pid: int) -> bool:
    try:
        states = thread_states(pid)
    except OSError:
        return False
    return bool(states) and all(state in _STOPPED for state in states)
