"""The processes of the actors that a run on a local cluster has, found so that they can be killed."""

import contextlib
from pathlib import Path


def actors_below(driver: int) -> list[int]:
    """The ids of the processes that score for the driver with this id."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if b"ScoreChunks" in (folder / "cmdline").read_bytes() and driver in _ancestors(int(folder.name)):
                found.append(int(folder.name))
    return found


def _ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found
