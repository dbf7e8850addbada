"""Which caller holds how many bytes of files, so that none of them can hold what all others need."""

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

from app.errors import Overloaded
from app.http.door import BodyProgress, Door
from app.scoring.uploads import Account, Intake

_SHARE: Final = 0.5
"""Of all bytes that may be held: the most that one caller holds in several requests."""
_TURNS: Final = 5
"""Of the event loop, in which a request that was ended gives back what it held."""
_COME_AGAIN_S: Final = 2.0


class Holdings:
    """The accounts of one HTTP process, by caller: the name of a key, or an address.

    Args:
        intake: what all of them hold.

    Attributes:
        door: whose slow connections give way; None where the application runs without one.
    """

    def __init__(self, intake: Intake) -> None:
        self.door: Door | None = None
        self._intake = intake
        self._callers: WeakKeyDictionary[Account, str] = WeakKeyDictionary()

    def enter(self, account: Account, caller: str, progress: BodyProgress | None) -> None:
        """From now on the account counts as the caller's, and so does the body that arrives for it."""
        self._callers[account] = caller
        if progress is not None:
            progress.owner = caller

    async def make_room(self, account: Account, count: int) -> None:
        """Returns where the caller's share lets an account take so many more bytes.

        Slow bodies give way: the caller's own where its share is used up, anybody's where all is.

        Raises:
            Overloaded: the caller's other requests hold its share.
        """
        share = int(self._intake.most_bytes * _SHARE)
        if self._intake.held_bytes + count <= share:
            return  # so no caller holds more
        if (over := self._over_all(account, count)) > 0:
            await self._release(over, None)
        if (over := self._over_share(account, count, share)) > 0:
            await self._release(over, self._callers[account])
            if self._over_share(account, count, share) > 0:
                raise Overloaded(
                    "Other requests of this client hold as many bytes of images as one client may.",
                    retry_after=_COME_AGAIN_S,
                )

    def _over_all(self, account: Account, count: int) -> int:
        others = self._intake.held_bytes - account.held_bytes
        return self._intake.held_bytes + count - self._intake.most_bytes if others else 0

    def _over_share(self, account: Account, count: int, share: int) -> int:
        caller = self._callers[account]
        others = sum(
            other.held_bytes
            for other, owner in self._callers.items()
            if owner == caller and other is not account
        )
        return others + account.held_bytes + count - share if others else 0

    async def _release(self, wanted: int, owner: str | None) -> None:
        if self.door is None or not self.door.release_bytes(wanted, asyncio.get_running_loop().time(), owner):
            return
        for _ in range(_TURNS):
            await asyncio.sleep(0)
