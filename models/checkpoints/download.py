"""A large file from a server, over as many connections as it takes: a partial file is kept and resumed.

A part is resumed only where the server vouches (by a strong ETag or a date) that it still has the same file.
What the whole must be is the caller's business.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import httpx

from models.files import write_atomically

_MAX_BYTES: Final = 2**30  # CLIP RN50 in float32 is some 410 MB
_ATTEMPTS: Final = 5  # connections that a single call may lose midway


class Progress(Protocol):
    """Told how far a download is; called at its start and after each piece."""

    def __call__(self, done: int, total: int) -> None:
        """Takes the bytes that are there, resumed ones included, and the bytes of the whole file."""


class Refused(Exception):
    """Why a download cannot continue; the message is a clause, not a sentence."""


@dataclass(frozen=True)
class Part:
    """A partial download, and beside it what it is a part of."""

    path: Path
    url: str

    @property
    def _origin(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def begin(self, validator: str | None, total: int) -> None:
        self.discard()
        origin = {"url": self.url, "validator": validator, "total": total}
        write_atomically(self._origin, json.dumps(origin).encode())

    def discard(self) -> None:
        # The bytes go first: left behind with another origin, they would be taken for a part of that.
        for path in (self.path, self._origin):
            path.unlink(missing_ok=True)

    def resumable(self) -> tuple[int, int, str] | None:
        """Bytes here, bytes in all and the validator; None where the part cannot be told to fit the file."""
        try:
            size = self.path.stat().st_size
            origin = json.loads(self._origin.read_bytes())
            total, validator = int(origin["total"]), origin["validator"]
            fits = origin["url"] == self.url and isinstance(validator, str) and 0 < size <= total
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return (size, total, validator) if fits else None


def complete(client: httpx.Client, part: Part, progress: Progress | None) -> None:
    """Streams until the part is whole, over as many connections as it takes and is allowed.

    Raises:
        Refused: the server does not say how large the file is, sends another amount, or keeps changing it.
        httpx.HTTPError: the connection failed, or broke without anything new having come.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        before = part.resumable()
        try:
            if _stream(client, part, progress):
                return
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout):
            after = part.resumable()
            if attempt == _ATTEMPTS or after is None or (before is not None and after[0] <= before[0]):
                raise
    raise Refused("the server kept changing the file")


def _stream(client: httpx.Client, part: Part, progress: Progress | None) -> bool:
    """One request for what is missing; False where what is here turned out to be no part of the file."""
    headers = {"Accept-Encoding": "identity"}  # ranges and lengths are those of the file itself
    here = part.resumable()
    if here is not None:
        size, total, validator = here
        if size == total:
            return True
        headers |= {"Range": f"bytes={size}-", "If-Range": validator}
    with client.stream("GET", part.url, headers=headers) as response:
        if here is not None and response.status_code in (206, 416):
            if response.headers.get("Content-Range", "").strip() != f"bytes {size}-{total - 1}/{total}":
                part.discard()
                return False
        else:
            response.raise_for_status()
            total = _size(response)
            part.begin(_validator(response), total)
        _append(response, part, total, progress)
    return True


def _size(response: httpx.Response) -> int:
    """Bytes of the file that a 200 announces."""
    length = response.headers.get("Content-Length", "")
    identity = response.headers.get("Content-Encoding", "identity") == "identity"
    # Without a length, the end of the connection could not be told from the end of the file.
    if response.status_code != 200 or not identity or not length.isdecimal():
        raise Refused("the server does not say how large the file is")
    if not 0 < int(length) <= _MAX_BYTES:
        raise Refused(f"a file of {length} bytes is not the checkpoint")
    return int(length)


def _validator(response: httpx.Response) -> str | None:
    """What tells this version of the file from others: a strong ETag, otherwise its date."""
    tag = response.headers.get("ETag", "")
    date: str | None = response.headers.get("Last-Modified")
    return tag if tag.startswith('"') else date


def _append(response: httpx.Response, part: Part, total: int, progress: Progress | None) -> None:
    tell = progress or (lambda done, total: None)
    with part.path.open("ab") as file:
        done = file.tell()
        tell(done, total)
        for chunk in response.iter_raw():
            done += len(chunk)
            if done > total:
                raise Refused("the server sent more than it announced")
            file.write(chunk)
            tell(done, total)
        file.flush()
        os.fsync(file.fileno())
    if done < total:
        raise httpx.RemoteProtocolError(f"{done} of {total} bytes came")
