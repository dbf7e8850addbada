"""What the connections of one HTTP process share: their limits, and who has to leave when room is short."""

from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from prometheus_client import Counter

from app.http.pacing import LoopTurns

LARGE_HEAD: Final = "large-head"
SLOW_HEAD: Final = "slow-head"
SLOW_BODY: Final = "slow-body"
STALLED_READER: Final = "stalled-reader"
TOO_MANY: Final = "too-many"
HEADS: Final = "heads"
PROGRESS: Final = "body_progress"
"""Of a request's state: the :class:`BodyProgress` of its body."""

_MEBI: Final = 2**20
_JUDGED_S: Final = 2.0
"""A body is judged over so long: one that arrives at once is never slow."""
_STEADY: Final = 64 * 1024.0
"""Bytes per second below which a body counts as slow where room is short; otherwise it has its time."""
_LAGGING_S: Final = 0.25
"""A body that has arrived for so long may have to make room for a new connection, if it is slow so far."""
_MOST_LOOKS: Final = 64


@dataclass(frozen=True)
class ConnectionLimits:
    """Of the connections of one HTTP process; times in seconds.

    Attributes:
        most: at a time.
        head_s: from connecting, or from a request's first byte, to the end of its head.
        body_s: from an answer to the end of its request's body, where it was given before that came. While
            there is no answer, the application sees to the body's time.
        answer_s: in which a client that is behind with reading must read some of its answer.
        heads: bytes of all heads that are held: those that arrive, and those of requests in work.
    """

    most: int
    head_s: float
    body_s: float
    answer_s: float = 30.0
    heads: int = 24 * _MEBI


class BodyProgress:
    """How a body arrives.

    Args:
        now: seconds, on a clock that never goes back; so are all times.

    Attributes:
        total: bytes so far.
        owner: who sends it, once that is known.
    """

    def __init__(self, now: float) -> None:
        self.total = 0
        self.owner: str | None = None
        self._last = self._since = self._begun = now
        self._arrived = self._excused = 0
        self._rate: float | None = None

    def came(self, count: int, now: float) -> None:
        self.total += count
        self._arrived += count
        self._last = now
        if (elapsed := now - self._since) >= _JUDGED_S:
            self._rate = self._arrived / elapsed
            self._since, self._arrived = now, 0

    def excuse(self, now: float) -> None:
        """Nothing could arrive until now: the service did not read."""
        self._last = self._since = self._begun = now
        self._arrived, self._rate = 0, None
        self._excused = self.total

    def slow(self, now: float) -> bool:
        """Whether it has stopped, or comes more slowly than a steady client sends."""
        return now - self._last >= _JUDGED_S or (self._rate is not None and self._rate < _STEADY)

    def mean_rate(self, now: float) -> float | None:
        """Bytes per second so far; None where it is too early to tell."""
        elapsed = now - self._begun
        return (self.total - self._excused) / elapsed if elapsed >= _LAGGING_S else None


class Guest(Protocol):
    """A connection, as the door sees it."""

    def leave(self) -> None:
        """Ends an idle connection."""

    def has_sent(self) -> bool:
        """Whether a request of an idle connection has arrived that was not read yet."""

    def leave_slow(self) -> None:
        """Ends a connection whose body is slow."""

    def held_up(self) -> bool:
        """Whether the service does not read what the client sends."""


class Door:
    """The limits, and the lists of those that may have to leave.

    Args:
        limits: of each connection, and of all.
        refused: counter of connections that were closed for a limit, by the label ``reason``.

    Attributes:
        idle: connections without a request to answer, the longest idle first.
        receiving: connections whose body is arriving.
        head_bytes: of all heads that are held.
        turns: in which they are parsed.
    """

    def __init__(self, limits: ConnectionLimits, refused: Counter) -> None:
        self.limits = limits
        self.idle: dict[Guest, None] = {}
        self.receiving: dict[Guest, BodyProgress] = {}
        self.head_bytes = 0
        self.turns = LoopTurns()
        self._refused = refused

    def count(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def make_room(self, now: float) -> bool:
        """Closes the connection that has been idle longest, or else one whose body is slow; whether it could.

        Otherwise a few silent clients could keep all others out for as long as the process waits for them, or
        for as long as they take turns.
        """
        longest = next((guest for guest in islice(self.idle, _MOST_LOOKS) if not guest.has_sent()), None)
        if longest is None:
            return self.end_slow(now) or self._end_slowest(now)
        del self.idle[longest]
        longest.leave()
        return True

    def end_slow(self, now: float) -> bool:
        """Closes a connection whose body is slow; whether one was found among those not looked at lately."""
        for guest, progress in list(islice(self.receiving.items(), _MOST_LOOKS)):
            if self._slow(guest, progress, now):
                self._end(guest)
                return True
            self.receiving[guest] = self.receiving.pop(guest)
        return False

    def _end_slowest(self, now: float) -> bool:
        """Closes the slowest so far among bodies not looked at lately, if it is slower than a steady one."""
        slowest, lowest = None, _STEADY
        for guest, progress in islice(self.receiving.items(), _MOST_LOOKS):
            if guest.held_up():
                progress.excuse(now)
            rate = progress.mean_rate(now)
            if rate is not None and rate < lowest:
                slowest, lowest = guest, rate
        if slowest is None:
            return False
        self._end(slowest)
        return True

    def release_bytes(self, wanted: int, now: float, owner: str | None = None) -> bool:
        """Closes connections with slow bodies that have brought so many bytes, largest first; whether any.

        Args:
            wanted: bytes.
            now: seconds.
            owner: whose bodies; None for anybody's.
        """
        slow = [
            (progress.total, guest)
            for guest, progress in self.receiving.items()
            if owner in (None, progress.owner) and self._slow(guest, progress, now)
        ]
        released = 0
        for total, guest in sorted(slow, key=lambda each: each[0], reverse=True):
            if released >= wanted:
                break
            released += total
            self._end(guest)
        return released > 0

    def _slow(self, guest: Guest, progress: BodyProgress, now: float) -> bool:
        if guest.held_up():
            progress.excuse(now)
        return progress.slow(now)

    def _end(self, guest: Guest) -> None:
        del self.receiving[guest]
        self.count(SLOW_BODY)
        guest.leave_slow()
