"""The control group (version 2) of the service, as the kernel tells: its memory, and whom that ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOUNT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class GroupMemory:
    """Bytes: what cannot be reclaimed, and the limit."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """Part of the limit that is used."""
        return self.used / self.limit


class ControlGroup:
    """The control group of this process. Where there is none, nothing is known of it.

    Args:
        folder: of its files; None finds it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = _own_folder() if folder is None else folder

    def limit_bytes(self) -> int | None:
        """The memory that the group is granted; None where there is no limit, or it cannot be told."""
        try:
            text = self._read("memory.max").strip()
            return None if text == "max" else int(text)
        except (OSError, ValueError):
            return None

    def memory(self, limit: int | None = None) -> GroupMemory | None:
        """The memory of the group's processes; None where there is no limit, or it cannot be told.

        Args:
            limit: bytes, in place of the group's own.
        """
        most = limit or self.limit_bytes()
        if most is None:
            return None
        try:
            # As Kubernetes counts: files that were read once and are kept for the next time are no burden.
            kept = self._entry("memory.stat", "inactive_file")
            return GroupMemory(int(self._read("memory.current")) - kept, most)
        except (OSError, ValueError):
            return None

    def out_of_memory_kills(self) -> int:
        """Processes of the group that the kernel has ended for want of memory; 0 where it cannot be told."""
        try:
            return self._entry("memory.events", "oom_kill")
        except (OSError, ValueError):
            return 0

    def _entry(self, file: str, name: str) -> int:
        for line in self._read(file).splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0

    def _read(self, file: str) -> str:
        return (self._folder / file).read_text(encoding="ascii")


def _own_folder() -> Path:
    """A container sees its group at the mount; elsewhere it is below that."""
    try:
        path = next(line[3:] for line in _OWN.read_text(encoding="ascii").splitlines() if line[:3] == "0::")
    except (OSError, StopIteration):
        return _MOUNT
    below = _MOUNT / path.lstrip("/")
    return below if below.is_dir() else _MOUNT
