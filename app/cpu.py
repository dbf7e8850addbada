"""How many CPU cores there are to share."""

import math
import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2, as the process sees its own


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
