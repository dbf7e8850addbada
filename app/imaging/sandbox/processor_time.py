"""Whether a process that takes long computes, hangs, or waits for a processor, which is not its file's fault.

On Linux the kernel tells. Elsewhere a process that takes long is taken to compute.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from app.processes.linux import stat_fields, thread_states

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_NEARLY_ALL: Final = 0.9
_WANTING: Final = frozenset("RDTt")
"""States of a thread that would compute if it could: runnable, waiting for a disk, stopped."""
_STOPPED: Final = frozenset("Tt")


class Usage:
    """The processor's time that a process takes from now on.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before_s = self._total_s()

    def spent_s(self) -> float:
        """Seconds so far."""
        return self._total_s() - self._before_s

    def starved(self, granted_s: float) -> bool:
        """Whether it wants to compute now, and has not had so many seconds yet."""
        if self.spent_s() >= _NEARLY_ALL * granted_s:
            return False
        try:
            states = thread_states(self._pid)
        except OSError:
            return False
        return any(state in _WANTING for state in states)

    def _total_s(self) -> float:
        return spent_by(self._pid) / _TICKS_PER_S


class Stops:
    """Which processes are stopped, as by SIGSTOP or a debugger: they would wait for ever, and so do others.

    Args:
        looks: in a row at which a process must be found so, without having computed in between.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._found: dict[int, tuple[int, int]] = {}  # ticks, and looks, by process

    def look(self, pids: Iterable[int]) -> list[int]:
        """Those of the processes that have been stopped for long."""
        found = {}
        for pid in pids:
            if _is_stopped(pid):
                spent = spent_by(pid)
                ticks, looks = self._found.get(pid, (spent, 0))
                found[pid] = spent, 1 + looks * (ticks == spent)
        self._found = found
        return [pid for pid, (_, looks) in found.items() if looks >= self._looks]


def _is_stopped(pid: int) -> bool:
    try:
        states = thread_states(pid)
    except OSError:
        return False
    return bool(states) and all(state in _STOPPED for state in states)


def spent_by(pid: int) -> int:
    """The ticks of a processor's time that a process has used; 0 where that is not known."""
    # The 12th and 13th after the name are the ticks in user and in kernel mode (proc(5)).
    fields = stat_fields(Path(f"/proc/{pid}"))
    return int(fields[11]) + int(fields[12]) if fields else 0
