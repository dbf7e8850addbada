"""Images in buckets: which may be read, and how their bytes come, by the clouds' own protocols.

Credentials are the service's, from the variables that the clouds' own programs read (AWS_ACCESS_KEY_ID,
GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME, ...) or the machine's role; no caller gives any.
"""

import os
import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, Final, Self

from app.errors import BodyTooLarge, FetchFailed, FetchNotAllowed

_BUCKET: Final = re.compile(r"((?:s3|gs|az)://[a-z0-9][a-z0-9._-]{1,62})(?:/(.*))?", re.DOTALL)
_PIECE_BYTES: Final = 64 * 1024
_CONNECT_S: Final = 5


def too_large(most: int) -> BodyTooLarge:
    """What to say of an image with more than so many bytes."""
    return BodyTooLarge(f"A file may have {most} bytes.", limit_bytes=most)


@dataclass(frozen=True)
class StoredObject:
    """An object in a bucket.

    Attributes:
        bucket: such as ``s3://photos``.
        key: within it.
    """

    bucket: str
    key: str


@dataclass(frozen=True)
class AllowedBuckets:
    """Buckets that may be read.

    Attributes:
        prefixes: pairs of a bucket and what the keys of its objects have to begin with.
    """

    prefixes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Of entries such as ``s3://photos``, ``gs://photos/public/``.

        Raises:
            ValueError: an entry names no bucket, or the library that reads them is missing; the message is
                for the person who wrote it.
        """
        found = []
        for entry in entries:
            match = _BUCKET.fullmatch(entry.strip())
            if match is None:
                raise ValueError(
                    f"{entry!r} is no bucket such as s3://photos, gs://photos or az://photos/public/"
                )
            found.append((match[1], match[2] or ""))
        if found and find_spec("obstore") is None:
            raise ValueError("buckets are read by the extra cloud: pip install 'iqa-service[cloud]'")
        return cls(tuple(found))

    def __bool__(self) -> bool:
        return bool(self.prefixes)

    def find(self, url: str) -> StoredObject | None:
        """The object that an address names; None if it is an address of another kind.

        Raises:
            FetchNotAllowed: its bucket was not named.
        """
        match = _BUCKET.fullmatch(url)
        if match is None:
            return None
        bucket, key = match[1], match[2] or ""
        climbs = any(part in ("", ".", "..") for part in key.split("/"))
        named = any(bucket == each and key.startswith(prefix) for each, prefix in self.prefixes)
        if climbs or not named:
            raise FetchNotAllowed("This server does not fetch from that bucket.")
        return StoredObject(bucket, key)


class BucketReader:
    """Reads objects; connections are kept per bucket.

    Args:
        timeout_s: for one object.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._stores: dict[str, Any] = {}

    async def read(self, place: StoredObject, most: int) -> AsyncGenerator[bytes]:
        """The bytes of an object as they come.

        Raises:
            BodyTooLarge: it has more than `most`.
            FetchFailed: there is none, it may not be read, or the bucket's service does not answer.
        """
        from obstore.exceptions import BaseError

        try:
            found = await self._store(place.bucket).get_async(place.key)
            if found.meta["size"] > most:
                raise too_large(most)
            async for piece in found.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)
        except FileNotFoundError as error:
            raise FetchFailed("There is no such object in the bucket.") from error
        except (BaseError, OSError, ValueError) as error:
            raise FetchFailed("The bucket cannot be read.") from error

    def _store(self, bucket: str) -> Any:
        if bucket not in self._stores:
            from obstore.store import from_url

            self._stores[bucket] = from_url(
                bucket,
                client_options={
                    "connect_timeout": f"{_CONNECT_S}s",
                    "timeout": f"{self._timeout_s}s",
                    # Stores of one's own, in the same network, seldom have certificates.
                    "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true",
                },
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=self._timeout_s)},
            )
        return self._stores[bucket]
