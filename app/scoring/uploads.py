"""The files of requests while their bytes are held: how many a process takes in at a time, and each of them.

The queue is bounded in pixels to score, but a body must be held before its pixels are known. Without a bound
of their own, many large bodies that arrive together would fill the memory.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.errors import Overloaded, PoisonInput
from app.memory import Hold, Memory

_COME_AGAIN_S: Final = 1.0


class Intake:
    """The bytes of bodies that have arrived in this process and are not decoded yet.

    Args:
        most_bytes: of all requests together. A larger request is let in where no other holds any.
        memory: that they count for too.
    """

    def __init__(self, most_bytes: int, memory: Memory) -> None:
        self.most_bytes = most_bytes
        self.memory = memory
        self.held_bytes = 0

    @contextmanager
    def account(self) -> Iterator["Account"]:
        """An account for a request; what it still holds is given back when the block ends."""
        account = Account(self)
        try:
            yield account
        finally:
            account.close()


class Account:
    """What one request holds.

    Attributes:
        held_bytes: at the moment.
    """

    def __init__(self, intake: Intake) -> None:
        self.held_bytes = 0
        self._intake = intake
        self._hold = Hold(intake.memory)

    def take(self, count: int) -> None:
        """Counts bytes that have arrived: a slow client holds little.

        Raises:
            Overloaded: the process holds too many.
        """
        intake = self._intake
        others = intake.held_bytes - self.held_bytes
        if others and intake.held_bytes + count > intake.most_bytes:
            raise Overloaded(
                "More bytes of images are waiting than this server holds at a time.",
                retry_after=_COME_AGAIN_S,
            )
        self._hold.add(count)
        self.held_bytes += count
        intake.held_bytes += count

    def give_back(self, count: int) -> None:
        """Releases the bytes, which are not needed any more."""
        count = min(count, self.held_bytes)  # closed in the meantime: then all was given back at once
        self.held_bytes -= count
        self._intake.held_bytes -= count
        self._hold.release(count)

    def close(self) -> None:
        self.give_back(self.held_bytes)


class Upload:
    """A file of a request.

    Attributes:
        data: its bytes; empty once they were released.
        size: how many they are or were.
        sha256: of them, in hexadecimal.
        filename: that the client gave, or None; never used as a path.
    """

    def __init__(self, data: bytes, sha256: str, account: Account, filename: str | None = None) -> None:
        self.data = data
        self.size = len(data)
        self.sha256 = sha256
        self.filename = filename
        self._account = account

    def release(self) -> None:
        """Lets go of the bytes, which are decoded or will not be."""
        if self.data:
            self.data = b""
            self._account.give_back(self.size)


class Arriving:
    """A file while it arrives, counted and hashed piece by piece.

    Args:
        account: of its request.
        filename: that the client gave.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, account: Account, filename: str | None = None) -> None:
        self.filename = filename
        # One growing buffer: a list of pieces costs some fifty bytes for each, however small it came.
        self._data = bytearray()
        self._hash = hashlib.sha256()
        self._account = account

    @property
    def size(self) -> int:
        return len(self._data)

    def add(self, piece: bytes) -> None:
        """Raises:
        Overloaded: see :meth:`Account.take`.
        """
        self._account.take(len(piece))
        self._data += piece
        self._hash.update(piece)

    def drop(self) -> None:
        """It is not wanted after all."""
        self._account.give_back(len(self._data))
        self._data = bytearray()

    def complete(self) -> Upload:
        """The file, all of which has arrived."""
        data, self._data = bytes(self._data), bytearray()
        return Upload(data, self._hash.hexdigest(), self._account, self.filename)


@contextmanager
def named_in_poison(*files: Upload) -> Iterator[None]:
    """Adds the digests of the files, for the log and the caller, if it turns out that one ends the worker."""
    try:
        yield
    except PoisonInput as error:
        error.fields["sha256"] = [file.sha256 for file in files]
        raise
