"""Names on their way from the driver to the cluster: few at a time, however many there are."""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow

_CHUNKS_WAITING: Final = 8


class Feed:
    """A bounded queue of chunks of names, as an actor of Ray; the driver puts, one task takes."""

    def __init__(self) -> None:
        self._chunks: deque[list[bytes]] = deque()
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, chunk: list[bytes]) -> None:
        """Adds a chunk, once there is room."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._chunks) < _CHUNKS_WAITING)
            self._chunks.append(chunk)
            self._changed.notify_all()

    async def close(self) -> None:
        """There will be no further chunk."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self) -> list[bytes] | None:
        """The next chunk; None when there will be none, however often that is asked."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._chunks or self._closed)
            chunk = self._chunks.popleft() if self._chunks else None
            self._changed.notify_all()
            return chunk


def fed(batch: "pyarrow.Table", feed: Any) -> "Iterator[pyarrow.Table]":
    """A row for each chunk of a feed: what Ray Data's first task does, until the feed is closed."""
    import pyarrow
    import ray

    while (chunk := ray.get(feed.take.remote())) is not None:
        yield pyarrow.table({"names": pyarrow.array([chunk], pyarrow.list_(pyarrow.binary()))})
