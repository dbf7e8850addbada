"""Buckets for programs that go through very many objects: listed as a stream, read ahead, written once."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from app.errors import FetchFailed
from app.fetching.buckets import StoredObject, opened_bucket, too_large

_TIMEOUT_S: Final = 120.0
_RETRIES: Final = 8
"""A run of a night outlasts a bucket that does not answer for a minute or two."""
_KEYS_OF_PAGE: Final = 1000
_AHEAD: Final = 16
"""Objects that are on their way: a request takes tens of milliseconds, of which the network is most."""
_AHEAD_BYTES: Final = 128 * 2**20
_UNKNOWN_BYTES: Final = 2**20
"""What an object counts for whose size is not known."""


class BucketFailure(Exception):
    """A bucket cannot be listed, read or written, so that nothing more can be done; one sentence."""


class Buckets:
    """Reads, lists and writes objects. Connections are kept per bucket; threads may share them.

    Raises:
        BucketFailure: the library that reads buckets is missing.
    """

    def __init__(self) -> None:
        if find_spec("obstore") is None:
            raise BucketFailure("Buckets are read by the extra `cloud`: pip install 'iqa-service[cloud]'.")
        self._lock = threading.Lock()
        self._stores: dict[str, Any] = {}

    def below(self, place: StoredObject) -> Iterator[StoredObject]:
        """The objects below a prefix, in the order of their keys; a page of the list is held at a time.

        A prefix is a folder: ``s3://photos/a`` has ``a/1.jpg`` below it, not ``ab.jpg``.

        Raises:
            BucketFailure: they cannot be listed.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            pages = obstore.list(
                self._store(place.bucket), place.key.rstrip("/") or None, chunk_size=_KEYS_OF_PAGE
            )
            for page in pages:
                for found in page:
                    yield StoredObject(place.bucket, found["path"], found["size"])
        except (BaseError, OSError, ValueError) as error:
            raise _failure(place, "listed", error) from error

    def find(self, place: StoredObject) -> StoredObject | None:
        """An object with its size; None where there is none of that key.

        Raises:
            BucketFailure: that cannot be told.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = obstore.head(self._store(place.bucket), place.key)
        except FileNotFoundError:
            return None
        except (BaseError, OSError, ValueError) as error:
            raise _failure(place, "read", error) from error
        return StoredObject(place.bucket, place.key, found["size"])

    def read(self, place: StoredObject, most: int | None = None) -> bytes:
        """The bytes of an object.

        Args:
            place: of the object.
            most: bytes that it may have; None for any number.

        Raises:
            FetchFailed: there is no such object, or it may not be read.
            BodyTooLarge: it has more bytes.
            BucketFailure: the bucket does not answer.
        """
        import obstore
        from obstore.exceptions import BaseError, PermissionDeniedError

        try:
            found = obstore.get(self._store(place.bucket), place.key)
            if most is not None and found.meta["size"] > most:
                raise too_large(most)
            return bytes(found.bytes())
        except FileNotFoundError as error:
            raise FetchFailed("There is no such object in the bucket.") from error
        except PermissionDeniedError as error:
            raise FetchFailed("The object may not be read.") from error
        except (BaseError, OSError, ValueError) as error:
            raise _failure(place, "read", error) from error

    def write(self, place: StoredObject, data: bytes, *, once: bool = False) -> bool:
        """Writes an object whole.

        Args:
            place: of the object.
            data: its bytes.
            once: whether an object that is there stays as it is.

        Returns:
            False where `once` kept it from being written, and what is there are other bytes.

        Raises:
            BucketFailure: it cannot be written.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            obstore.put(self._store(place.bucket), place.key, data, mode="create" if once else "overwrite")
        except AlreadyExistsError:
            # A request whose answer was lost is sent again, and finds what it has written itself.
            return self.read(place) == data
        except (BaseError, OSError, ValueError) as error:
            raise _failure(place, "written", error) from error
        return True

    def remove(self, place: StoredObject) -> None:
        """Removes an object; one that is not there is no failure.

        Raises:
            BucketFailure: it cannot be removed.
        """
        import obstore
        from obstore.exceptions import BaseError

        try:
            obstore.delete(self._store(place.bucket), place.key)
        except FileNotFoundError:
            pass
        except (BaseError, OSError, ValueError) as error:
            raise _failure(place, "removed", error) from error

    def _store(self, bucket: str) -> Any:
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = opened_bucket(bucket, _TIMEOUT_S, retries=_RETRIES)
            return self._stores[bucket]


class Brought:
    """An image whose bytes are there, or on their way.

    Args:
        place: by which it is known.
        coming: its bytes.
    """

    def __init__(self, place: Path | StoredObject, coming: "Future[bytes]") -> None:
        self.place = place
        self._coming: Future[bytes] | None = coming

    @classmethod
    def of(cls, place: Path | StoredObject, data: bytes) -> "Brought":
        """An image whose bytes are there."""
        coming: Future[bytes] = Future()
        coming.set_result(data)
        return cls(place, coming)

    def take(self) -> bytes:
        """Its bytes, which are not kept; to be called once.

        Raises:
            Exception: what :meth:`Buckets.read` raises.
        """
        coming, self._coming = self._coming, None
        assert coming is not None, "they were taken"
        return coming.result()

    def let_go(self) -> None:
        """Says that nobody will take them; what has not begun does not begin."""
        if self._coming is not None:
            self._coming.cancel()


def brought_ahead(
    places: Iterable[Path | StoredObject | Brought], most: int
) -> Generator[Path | StoredObject | Brought]:
    """The same in the same order; objects in buckets are on their way before their turn comes.

    Few are at a time: up to 16, and with 128 MB on their way no further one is begun.

    Args:
        places: of images; those that are files stay as they are.
        most: bytes that an object may have.
    """
    coming = iter(places)
    line: deque[tuple[Path | StoredObject | Brought, int]] = deque()
    buckets: Buckets | None = None
    pool = ThreadPoolExecutor(_AHEAD, "fetch")
    held, more = 0, True
    try:
        while True:
            while more and len(line) < _AHEAD and (held < _AHEAD_BYTES or not line):
                place = next(coming, None)
                if place is None:
                    more = False
                    break
                if not isinstance(place, StoredObject):
                    line.append((place, 0))
                    if len(line) == 1:
                        break  # it waits for nothing
                    continue
                buckets = buckets or Buckets()
                size = _UNKNOWN_BYTES if place.size is None else min(place.size, most)
                held += size
                line.append((Brought(place, pool.submit(buckets.read, place, most)), size))
            if not line:
                return
            place, size = line.popleft()
            held -= size
            yield place
    finally:
        # What was handed on is still read, although it may not have begun; only what nobody got is let go.
        for place, _ in line:
            if isinstance(place, Brought):
                place.let_go()
        pool.shutdown(wait=False)


def _failure(place: StoredObject, done: str, error: Exception) -> BucketFailure:
    reason = " ".join(str(error).partition("Debug source")[0].split())[:300]
    return BucketFailure(f"{place} cannot be {done}: {reason.rstrip('.')}.")
