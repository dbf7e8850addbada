"""Rejects new work while the service's memory is nearly used up, before the kernel ends its processes."""

import time
from collections.abc import Callable
from typing import Final

from app.errors import Overloaded, WorkerUnavailable
from app.imaging.limits import Limits
from app.imaging.sandbox.turns import work_bytes
from app.memory import Memory
from app.processes.cgroup import ControlGroup, GroupMemory
from app.settings import Settings

_TIGHT: Final = 0.85
_FULL: Final = 0.95
_LARGE: Final = 12_000_000
"""Pixels beyond which an image is large: more than cameras of phones usually give."""
_LOOK_EVERY_S: Final = 0.5
_COME_AGAIN_S: Final = 2.0


class MemoryGuard:
    """The memory of the control group, looked at twice a second at most.

    Args:
        group: of the service.
        limit: bytes; None for the group's own limit. Where there is neither, nothing is rejected.
        clock: in seconds.
    """

    def __init__(
        self, group: ControlGroup, limit: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._group, self._limit, self._clock = group, limit, clock
        self._next_look = 0.0
        self._memory: GroupMemory | None = None

    def require(self, *, comparison: bool) -> None:
        """Returns where a request may begin, of whose images nothing is known yet.

        Args:
            comparison: whether it is one: they hold two images at full size.

        Raises:
            Overloaded: 85 % are used, and it is a comparison.
            WorkerUnavailable: 95 % are used.
        """
        share = self._share()
        if share > _FULL:
            raise WorkerUnavailable("The memory of this server is used up.", retry_after=_COME_AGAIN_S)
        if comparison and share > _TIGHT:
            raise Overloaded(
                "The memory of this server is nearly used up; it takes no comparisons for the moment.",
                retry_after=_COME_AGAIN_S,
            )

    def require_for_image(self, pixels: int) -> None:
        """Returns where an image of so many pixels may be decoded.

        Raises:
            Overloaded: 85 % are used, and it is large.
        """
        if pixels > _LARGE and self._share() > _TIGHT:
            raise Overloaded(
                f"The memory of this server is nearly used up; it takes no images of more than {_LARGE} "
                "pixels for the moment.",
                retry_after=_COME_AGAIN_S,
            )

    def _share(self) -> float:
        if (now := self._clock()) >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            self._memory = self._group.memory(self._limit)
        return self._memory.share if self._memory is not None else 0.0


def memory_of(settings: Settings, limits: Limits) -> Memory:
    """The account of an HTTP process: its share, but at least what one image and one request need."""
    one_image = work_bytes(limits)
    one_request = 3 * limits.max_pixels + 2 * limits.max_bytes + 12 * settings.max_scored_pixels
    held = max(settings.work_bytes() // settings.http_processes - one_image, one_request)
    # Cached references are held too, and have a bound of their own.
    return Memory(held + settings.reference_cache_bytes // settings.http_processes, one_image)
