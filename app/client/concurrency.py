"""Many images of one call, as far as they concern each other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from app.client.retry import Clock, Pace, Patience


class PacedRun:
    """Lets requests begin when it is their turn, and knows those that are not yet done.

    Args:
        most: requests at a time.
        patience: of the run.
        clock: of the client.

    Attributes:
        most: requests at a time.
        pace: of the run.
    """

    def __init__(self, most: int, patience: Patience, clock: Clock) -> None:
        self.most = most
        self.pace = Pace(most, patience)
        self._clock = clock
        self._door = asyncio.Lock()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """The current task belongs to the run until it leaves."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits until one more request may be sent, which then is under way until this ends."""
        async with self._door:  # in order, so that retries come after first attempts
            while (wait := self.pace.wait(self._clock.now())) != 0:
                if wait is None:
                    self._changed.clear()
                    await self._changed.wait()
                else:
                    await self._clock.sleep(wait)
            self.pace.active += 1
        try:
            yield
        finally:
            self.pace.active -= 1
            self._changed.set()

    async def ended(self) -> None:
        """Cancels what is under way, and returns when it is gone."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
