"""File descriptors: how many may be open, how many of them connections, and what has arrived by one."""

import contextlib
import resource
import select
from typing import Final

_WANTED: Final = 8192
_MOST_CONNECTIONS: Final = 4096
"""By default. Each may hold some 300 KB of a body that is not read yet; half of _WANTED leaves room for those
that are accepted at once, before the first of them can be closed."""
_OWN: Final = 256
"""What the process opens beside them: pipes and sockets of workers and decoders, files, the log."""
_LEFT: Final = getattr(select, "POLLRDHUP", select.POLLHUP)  # the first is Linux's


def raise_limit(connections: int | None) -> int:
    """Lets this process open more descriptors, as far as it may and needs; the limit that holds then.

    Many systems start processes with 1024, for the sake of programs that use select(2).

    Args:
        connections: maximum number at a time; None for the usual.
    """
    needed = _WANTED if connections is None else max(_WANTED, connections * 4 // 3 + _OWN + 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of its own below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return needed if soft == resource.RLIM_INFINITY else soft


def most_connections(wanted: int | None, limit: int) -> int:
    """Connections that an HTTP process may have open at a time.

    Args:
        wanted: by the settings; None for what suits `limit`. More than `limit` allows cannot be had.
        limit: descriptors of the process.
    """
    room = max(16, (limit - _OWN) * 3 // 4)
    return min(room, _MOST_CONNECTIONS if wanted is None else wanted)


def has_unread(descriptor: int) -> bool:
    """Whether something can be read from a socket whose peer has not closed it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | _LEFT)
    return any(event & select.POLLIN and not event & _LEFT for _, event in poll.poll(0))
