"""The number of CPU cores to share, and how threads wait for one another on them: OpenMP's and Python's.

torch divides an operation among threads that meet at its end. By default an early thread spins for
milliseconds before it sleeps, which is fast on cores of its own. But here decoding and HTTP want the same
cores: a spinning thread then keeps off the core just the thread that it waits for, and a batch takes ten
times as long (measured on two cores beside one busy process: mean 313 ms instead of 33, against 81 to 89 with
this). libgomp, which torch brings on Linux, reads its variables when it is loaded.
"""

import math
import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2, as the process sees its own

_SPIN_COUNT: Final = "1000"
"""Turns of the loop, some microseconds: longer than threads in step need, far shorter than a time slice."""

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread of Python that wants to run waits for one that does; :func:`sys.setswitchinterval`."""


def cores(quota: Path = _QUOTA) -> int:
    """CPU cores that this process may use, at least one: of those it may run on, as many as it is granted.

    Not every system can tell the first from all there are, or knows the second.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, _granted(quota) or there)


def _granted(quota: Path) -> int | None:
    """What a container's limit comes to, a part of a core counted as one; None where there is none."""
    try:
        microseconds, period = quota.read_text().split()
        return None if microseconds == "max" else max(1, math.ceil(int(microseconds) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def wait_briefly() -> None:
    """Has OpenMP's threads spin briefly, unless the environment sets how they wait.

    To be called before torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
