"""Whether a process that takes long computes, hangs, or waits for a processor, which is not its file's fault.

On Linux the kernel tells. Elsewhere a process that takes long is taken to compute.
"""

import os
from pathlib import Path
from typing import Final

from app.processes.linux import stat_fields, thread_states

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_NEARLY_ALL: Final = 0.9
_WANTING: Final = frozenset("RDTt")
"""States of a thread that would compute if it could: runnable, waiting for a disk, stopped."""


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
        # The 12th and 13th after the name are the ticks in user and in kernel mode (proc(5)).
        fields = stat_fields(Path(f"/proc/{self._pid}"))
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0
