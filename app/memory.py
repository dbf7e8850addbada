"""How much memory there is, and how much of it accepted work holds: bytes are taken before memory is, and
given back when it is gone."""

import os
import threading
import weakref
from typing import Final

from app.errors import Overloaded
from app.processes.cgroup import ControlGroup

_COME_AGAIN_S: Final = 1.0


def installed_bytes(group: ControlGroup) -> int:
    """The memory that this process may use: the machine's, or what its control group is granted of it."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    granted = group.limit_bytes()
    return there if granted is None else min(there, granted)


class Memory:
    """The account of a process. Threads may use it at the same time.

    There are two kinds of bytes. Held ones belong to requests: files, decoded references, pixels that wait
    for the device. They are refused where there is no room. Working ones belong to images that are being
    decoded, which wait until there is room. Neither takes the room of the other, so an image that is being
    decoded never fails a request, and what waits never stops decoding. One alone is always let in.

    Args:
        most_held: bytes of requests.
        most_working: bytes of images that are being decoded.

    Attributes:
        held_bytes: at the moment.
        working_bytes: at the moment.
        lock: of both.
    """

    def __init__(self, most_held: int, most_working: int) -> None:
        self.held_bytes = 0
        self.working_bytes = 0
        self._most_held = most_held
        self._most_working = most_working
        # Reentrant: the garbage collector may close a :class:`Hold` in the middle of it.
        self.lock = threading.RLock()

    def begin(self, count: int) -> bool:
        """Takes bytes for an image that is to be decoded, if there is room, or where no other is decoded."""
        with self.lock:
            if self.working_bytes and self.working_bytes + count > self._most_working:
                return False
            self.working_bytes += count
            return True

    def end(self, count: int) -> None:
        """Gives back what :meth:`begin` took."""
        with self.lock:
            self.working_bytes -= count

    def take(self, count: int) -> None:
        """Takes held bytes; :class:`Hold` calls it, with the lock, and gives them back.

        Raises:
            Overloaded: too many are held.
        """
        if self.held_bytes and self.held_bytes + count > self._most_held:
            raise Overloaded(
                "The images that wait take all the memory that this server grants them.",
                retry_after=_COME_AGAIN_S,
            )
        self.held_bytes += count


class Hold:
    """Bytes that a request, or an object that outlives it, holds. Threads may use it at the same time.

    Args:
        memory: that they are taken of.

    Attributes:
        count: of them.
    """

    def __init__(self, memory: Memory) -> None:
        self.count = 0
        self._memory = memory
        self._open = True

    def add(self, count: int) -> None:
        """Takes more; nothing once it is closed.

        Raises:
            Overloaded: too many are held.
        """
        with self._memory.lock:
            if self._open:
                self._memory.take(count)
                self.count += count

    def release(self, count: int) -> None:
        """Gives bytes back, never more than are held."""
        with self._memory.lock:
            count = min(count, self.count)
            self.count -= count
            self._memory.held_bytes -= count

    def close(self) -> None:
        """Gives all back, and takes no more."""
        with self._memory.lock:
            self._open = False
            self.release(self.count)

    def close_with(self, owner: object) -> None:
        """Closes it when `owner` is collected, which must not hold this object."""
        weakref.finalize(owner, self.close).atexit = False
