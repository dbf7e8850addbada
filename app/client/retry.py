"""When to retry: pure rules, with the time and the dice as arguments.

Scoring has no effect but its answer, so every transient failure may be retried: a full queue or a spent
budget (429), a service that starts, drains or restarts its worker (503), a connection that could not be made
or broke, an answer that did not come, a body that came too slowly (408), work that could not start in the
service's time (504; it cost the service nothing). ``Retry-After`` is waited for in full; what asks for more
than the patience that is left is not waited for at all.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from app.client.errors import ClientError, Problem

_FIRST_S: Final = 0.25
_LONGEST_S: Final = 10.0
_LEAST_S: Final = 0.05  # full jitter may choose nothing at all, and that would be no pause
_SPREAD: Final = 0.25
"""Of what Retry-After says is added at random, at most a second: so that requests that were rejected together
are not retried together."""

_GROWTH: Final = 1 / 32
"""By how much each answer raises the number of requests under way that was too much before: a rejected
request waits for a second or more, so rejections should be rare."""

_TOO_MUCH: Final = frozenset({429, 504})


@dataclass(frozen=True)
class Clock:
    """Time and chance. Tests have their own.

    Attributes:
        now: seconds, from anywhere.
        sleep: waits so many seconds.
        dice: a number in [0, 1).
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    dice: Callable[[], float] = random.random


@dataclass(frozen=True)
class Patience:
    """How often, and for how long.

    Attributes:
        attempts: at most, the first included.
        seconds: after which no further attempt is begun.

    Raises:
        ValueError: there would be no attempt at all, or patience without end.
    """

    attempts: int
    seconds: float

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 <= self.seconds < float("inf"):
            raise ValueError("attempts must be at least 1, and patience_s a number of seconds, 0 or more.")


def pause(error: ClientError, failures: int, dice: float) -> float:
    """Seconds to wait after the latest of so many failures in a row.

    What the service says and a little more; otherwise chosen at random below a bound that doubles each time
    ("full jitter": AWS Architecture Blog, Exponential Backoff And Jitter, 2015).
    """
    if isinstance(error, Problem) and error.retry_after is not None:
        return error.retry_after + dice * min(1.0, _SPREAD * error.retry_after) + _LEAST_S
    return max(_LEAST_S, dice * min(_LONGEST_S, _FIRST_S * 2.0 ** min(failures - 1, 16)))


class Attempts:
    """Those of one call.

    Args:
        patience: with it.
        now: when it begins, in seconds.
    """

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._end = now + patience.seconds
        self._failures = 0

    def after(self, error: ClientError, now: float, dice: float) -> float | None:
        """Seconds until the next attempt, or None where the failure is final."""
        self._failures += 1
        if not error.passing or self._failures >= self._patience.attempts:
            return None
        wait = pause(error, self._failures, dice)
        return None if now + wait > self._end else wait


class Pace:
    """How many requests of a long run may be under way at a time, and from when.

    What the service says of itself applies to all requests. A request that finds the queue full is retried
    after its Retry-After; meanwhile there are as many under way as were accepted, and one more now and then
    to see whether there is room again. After any other transient failure none is sent until the pause is
    over. Then half as many are sent where they were too much; otherwise a single request probes the service,
    and all follow it.

    Args:
        most: requests at a time.
        patience: its attempts are for each image, its seconds for the run: without any answer.

    Attributes:
        active: requests under way.
        answers: so far.
    """

    def __init__(self, most: int, patience: Patience) -> None:
        self.active = self.answers = 0
        self._most = most
        self._patience = patience
        self._limit = self._enough = float(most)
        self._pause_set = self._pause_end = float("-inf")
        self._failures = 0
        self._troubled_since: float | None = None

    def wait(self, now: float) -> float | None:
        """Seconds until a further request may be sent; None: when another one has ended."""
        if now < self._pause_end:
            return self._pause_end - now
        return 0.0 if self.active < max(1, int(self._limit)) else None

    def answered(self) -> None:
        """The service answered, if only that the image is damaged."""
        self.answers += 1
        self._failures = 0
        self._troubled_since = None
        self._limit = min(float(self._most), self._limit + (1 if self._limit < self._enough else _GROWTH))

    def failed(self, error: ClientError, began: float, now: float, dice: float) -> float | None:
        """After the transient failure of a request that was sent at `began` and is still counted as active.

        Returns:
            Seconds that this one waits, beside what all wait; None where the run is over.
        """
        if began < self._pause_set:
            return 0.0  # it went out before what is known already, and waits with the others
        if self.active > 1 and isinstance(error, Problem) and error.slug == "overloaded":
            self._limit = self._enough = float(self.active - 1)
            wait = pause(error, 1, dice)
            return wait if wait <= self._patience.seconds else None
        self._failures += 1
        if self._troubled_since is None:
            self._troubled_since = now
        wait = pause(error, self._failures, dice)
        if now + wait > self._troubled_since + self._patience.seconds:
            return None
        self._pause_set, self._pause_end = now, now + wait
        if isinstance(error, Problem) and error.status in _TOO_MUCH:
            self._limit = self._enough = max(1.0, self._limit / 2)
        else:
            self._limit = 1.0
        return 0.0


def is_refusal(error: ClientError) -> bool:
    """Whether the service is there, and will not take more at present."""
    return isinstance(error, Problem) and error.status in (429, 503)
