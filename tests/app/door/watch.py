"""What the processes of a service are and take, for those who try to harm it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Look:
    """All processes of a service at one moment: the most memory that each ever held, in bytes, by its id."""

    peaks: dict[int, int]

    @property
    def peak_bytes(self) -> int:
        return sum(self.peaks.values())


def look(pid: int) -> Look:
    """At the process `pid` and all that it started, and those that they did."""
    return Look({found: _status_bytes(found, "VmHWM") for found in _tree(pid)})


def open_files(pid: int) -> dict[int, int]:
    """How many files each process has open."""
    return {found: files_of(found) for found in _tree(pid)}


def files_of(pid: int) -> int:
    """How many files a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    # Since Linux 6.2 the size says it, also of a process that hides its memory. Before, only root may look.
    return folder.stat().st_size or len(list(folder.iterdir()))


def resident_bytes(pid: int) -> int:
    """Memory that all of them hold now."""
    return sum(_status_bytes(found, "VmRSS") for found in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    # A child is listed with the thread that started it.
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))


def _status_bytes(pid: int, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
