"""Which clients may use the service, and how much: keys, and a budget for each that has one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.auth.api_keys import ApiKey, KeyRing, find
from app.auth.token_bucket import Bucket
from app.errors import RateLimited, Unauthorized
from app.settings import Settings


@dataclass(frozen=True)
class Caller:
    """The client that sent a request.

    Attributes:
        name: of the key; None where there are no keys.
        bucket: the budget, if there is one.
        clock: in seconds.
    """

    name: str | None
    bucket: Bucket | None = None
    clock: Callable[[], float] = time.monotonic

    def charge(self, pixels: int) -> None:
        """Takes pixels from the budget, which may be overdrawn."""
        if self.bucket is not None:
            self.bucket.charge(pixels, self.clock())

    def require_budget(self) -> None:
        """Returns where the caller may ask for something to be scored.

        Raises:
            RateLimited: the budget is spent.
        """
        if self.bucket is None:
            return
        wait_s = self.bucket.wait_s(self.clock())
        if wait_s > 0:
            raise RateLimited("The budget of this key is spent for the moment.", retry_after=wait_s)


class Bill:
    """What a request costs its caller, in pixels: those decoded or, where they are more, those scored.

    Each image is charged at its header, before a pixel of it is decoded. Threads may use it at the same time.

    Args:
        caller: who pays.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._charged = 0

    def decoding(self, pixels: int) -> None:
        """Charges an image that is to be decoded.

        Raises:
            RateLimited: the budget is spent, and this is the first image of the request.
        """
        if not self._charged:
            self._caller.require_budget()
        self._take(pixels)

    def scoring(self, pixels: int) -> None:
        """Charges what is scored of all the request's images, as far as it is more than was decoded."""
        self._take(max(0, pixels - self._charged))

    def _take(self, pixels: int) -> None:
        self._charged += pixels
        self._caller.charge(pixels)


_MOST_PRESENTED: Final = 2  # one in each header that takes them

EVERYBODY: Final = Caller(None)
"""The caller where there are no keys."""


class Access:
    """The lock of one HTTP process, open where no keys are set.

    Args:
        settings: of the process.
        clock: in seconds.

    Attributes:
        locked: whether keys are asked for; also while none is in force.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = KeyRing(settings.api_keys_file, settings.api_keys, clock)
        self._clock = clock
        # The kernel deals connections out to the processes, so each grants its share of a budget.
        self._share = 1 / settings.http_processes
        self._callers: dict[str, tuple[ApiKey, Caller]] = {}
        self.locked = settings.api_keys_file is not None or settings.api_keys is not None

    def faults(self) -> int:
        """Number of faults in the lists of keys: lines that are not in force, a list without a key."""
        return len(self._ring.current().faults)

    def caller(self, presented: Sequence[bytes]) -> Caller:
        """The client that sent a request with these keys. The first one names it; none of them may be wrong.

        Raises:
            Unauthorized: there is none, or one is wrong.
        """
        if not self.locked:
            return EVERYBODY
        if not presented:
            raise Unauthorized("The request carries no API key.")
        different = list(dict.fromkeys(presented))
        if len(different) > _MOST_PRESENTED:
            raise Unauthorized("The request carries too many API keys.", wrong_key=True)
        keys = self._ring.current().keys
        found = [find(keys, key) for key in different]
        known = [key for key in found if key is not None]
        if len(known) < len(found):
            raise Unauthorized("The API key is not one of those that are let in.", wrong_key=True)
        return self._caller_of(known[0], keys)

    def _caller_of(self, key: ApiKey, keys: Sequence[ApiKey]) -> Caller:
        """The same for as long as the key is in use, its level with it."""
        before = self._callers.get(key.name)
        if before is not None and before[0] is key:
            return before[1]
        # It is new, or all were read again: removed keys are forgotten, the others keep their levels.
        names = {key.name for key in keys}
        self._callers = {name: entry for name, entry in self._callers.items() if name in names}
        caller = Caller(key.name, self._bucket(key, before and before[1].bucket), self._clock)
        self._callers[key.name] = key, caller
        return caller

    def _bucket(self, key: ApiKey, before: Bucket | None) -> Bucket | None:
        if key.pixels_per_s is None:
            return None
        rate = key.pixels_per_s * self._share
        if before is None:
            return Bucket(rate, self._clock())
        before.change_rate(rate, self._clock())
        return before
