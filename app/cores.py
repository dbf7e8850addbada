"""How many CPU cores there are to share."""

import os


def cores() -> int:
    """CPU cores that this process may use; not every system can tell those from all it has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
