"""Images in buckets: which may be read, and how their bytes come, by the clouds' own protocols.

Credentials are the service's, from the variables that the clouds' own programs read (AWS_ACCESS_KEY_ID,
GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_NAME, ...) or the machine's role; no caller gives any.
"""

import os
import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
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
        size: in bytes, where that is known.
    """

    bucket: str
    key: str
    size: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key, or the bucket where there is none."""
        return self.key.rstrip("/").rpartition("/")[2] or self.bucket

    def below(self, name: str) -> "StoredObject":
        """The object of that name in the folder that this one names."""
        return StoredObject(self.bucket, f"{self.key.rstrip('/')}/{name}".lstrip("/"))


def bucket_place(address: str) -> StoredObject | None:
    """What an address such as ``s3://photos/2024/a.jpg`` names; None for one of another kind."""
    match = _BUCKET.fullmatch(address)
    return None if match is None else StoredObject(match[1], match[2] or "")


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
        place = bucket_place(url)
        if place is None:
            return None
        climbs = any(part in ("", ".", "..") for part in place.key.split("/"))
        named = any(place.bucket == each and place.key.startswith(prefix) for each, prefix in self.prefixes)
        if climbs or not named:
            raise FetchNotAllowed("This server does not fetch from that bucket.")
        return place


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
            self._stores[bucket] = opened_bucket(bucket, self._timeout_s)
        return self._stores[bucket]


def opened_bucket(bucket: str, timeout_s: float, *, retries: int = 2) -> Any:
    """A store of obstore for a bucket such as ``s3://photos``; nothing is asked yet.

    Args:
        bucket: its address.
        timeout_s: for one request, and for all tries together.
        retries: of a request that failed in a way that may pass.

    Raises:
        ValueError, obstore.exceptions.BaseError: the variables of the cloud make no sense.
    """
    from obstore.store import from_url

    return from_url(
        bucket,
        client_options={
            "connect_timeout": f"{_CONNECT_S}s",
            "timeout": f"{timeout_s}s",
            # Stores of one's own, in the same network, seldom have certificates.
            "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true",
        },
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=timeout_s)},
    )
