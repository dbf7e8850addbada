"""API keys: how they are made, how they are written down, and which of them are in use.

A line of a list is ``NAME:SHA256`` or ``NAME:SHA256:PIXELS_PER_SECOND``; ``#`` begins a comment. Complaints
name the line and never repeat it: it may hold the key itself where the hash belongs.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import text_file

MOST_KEYS: Final = 1000
"""Every one of them is compared with whatever key comes."""

_log = logging.getLogger("iqa.keys")

_PREFIX: Final = "iqa_"  # so that a key that lies around can be recognised as one
_RANDOM_BYTES: Final = 32
_LARGEST_FILE: Final = 2**20
_LOOK_EVERY_S: Final = 1.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LINE: Final = re.compile(rf"({_NAME.pattern})\s*:\s*([0-9A-Fa-f]{{64}})(?:\s*:\s*([1-9][0-9]{{0,14}}))?")
_SEPARATOR: Final = re.compile(r"[,\r\n]+")


class KeysError(Exception):
    """Keys that cannot be used; the message is one sentence for the person who set them."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key. Itself it is known to its caller alone.

    Attributes:
        name: of the caller, for the log.
        digest: SHA-256 of the key.
        pixels_per_s: that the caller may have scored; None is without a limit.
    """

    name: str
    digest: bytes
    pixels_per_s: int | None = None

    def line(self) -> str:
        """The key as it stands in a list."""
        parts = [self.name, self.digest.hex()]
        return ":".join(parts if self.pixels_per_s is None else [*parts, str(self.pixels_per_s)])


def new_key() -> str:
    """A key that cannot be guessed: 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: bytes) -> bytes:
    """What is stored of a key.

    SHA-256 and none of the slow hashes that passwords need: 256 random bits cannot be found by trying,
    however fast one tries, and with a slow hash anybody could keep the server busy by sending wrong keys.
    """
    return hashlib.sha256(key).digest()


def is_name(text: str) -> bool:
    """Whether a caller can be called so."""
    return _NAME.fullmatch(text) is not None


def find(keys: Sequence[ApiKey], presented: bytes) -> ApiKey | None:
    """The key that was presented, or None. Takes the same time wherever it stands, and whether it does."""
    digest = digest_of(presented)
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def parse_keys(text: str, source: str) -> list[ApiKey]:
    """The keys of a file's text, of which there may be none.

    Raises:
        KeysError: a line is invalid; the message calls the text `source`.
    """
    return _parse(text.splitlines(), f"{source}, line")


def read_file(path: Path) -> str:
    """The text of a file of keys.

    Raises:
        KeysError: it cannot be read.
    """
    try:
        return text_file.read_text(path, "The file of API keys", _LARGEST_FILE)
    except text_file.UnreadableText as error:
        raise KeysError(str(error)) from error


def load_keys(path: Path | None, entries: str | None) -> tuple[ApiKey, ...]:
    """The keys of a file and of a text of entries that commas or newlines separate; none where both are None.

    Raises:
        KeysError: one of them cannot be read, is invalid, or holds no key.
    """
    keys: list[ApiKey] = []
    if path is not None:
        keys += parse_keys(read_file(path), f"The file of API keys {path}")
        if not keys:
            raise KeysError(f"The file of API keys {path} holds none.")
    if entries is not None:
        listed = _parse(_SEPARATOR.split(entries), "IQA_API_KEYS, entry")
        if not listed:
            raise KeysError("IQA_API_KEYS is set and holds no key.")
        keys += listed
    for what in ({key.name for key in keys}, {key.digest for key in keys}):
        if len(what) < len(keys):
            raise KeysError("IQA_API_KEYS has a name or a key that the file of API keys has too.")
    if len(keys) > MOST_KEYS:
        raise KeysError(f"There are {len(keys)} API keys; at most {MOST_KEYS} are taken.")
    return tuple(keys)


class KeyRing:
    """The keys in use. A look-up checks their file for changes, at most once a second.

    Args:
        path, entries: as for :func:`load_keys`.
        clock: in seconds.

    Raises:
        KeysError: as :func:`load_keys`.
    """

    def __init__(
        self, path: Path | None, entries: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._entries, self._clock = path, entries, clock
        self._next_look = clock() + _LOOK_EVERY_S
        # Taken before the file is read: what changes meanwhile is seen at the next look.
        self._seen = _signature(path)
        self._keys = load_keys(path, entries)
        self._complaint: str | None = None

    def current(self) -> tuple[ApiKey, ...]:
        """The keys of now, or of before where the file cannot be used any more; none if none are set."""
        now = self._clock()
        if self._path is not None and now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            if (signature := _signature(self._path)) != self._seen:
                self._reload(signature)
        return self._keys

    def _reload(self, signature: tuple[int, ...] | None) -> None:
        try:
            self._keys = load_keys(self._path, self._entries)
        except KeysError as error:
            # The file is read again at every look, since a fault may vanish without a trace on the file.
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error("%s The API keys of before stay in use.", error)
            return
        self._seen, self._complaint = signature, None
        _log.info("the file of API keys has changed; %d keys are in use", len(self._keys))


def _parse(lines: Sequence[str], where: str) -> list[ApiKey]:
    keys: list[ApiKey] = []
    seen: set[str | bytes] = set()
    for number, line in enumerate(lines, 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        match = _LINE.fullmatch(content)
        if match is None:
            raise KeysError(
                f"{where} {number}, is neither NAME:SHA256 nor NAME:SHA256:PIXELS_PER_SECOND, with a name of "
                "letters, digits and ._@-, and 64 hexadecimal digits."
            )
        name, digest, rate = match.groups()
        key = ApiKey(name, bytes.fromhex(digest), None if rate is None else int(rate))
        if seen & {key.name, key.digest}:
            raise KeysError(f"{where} {number}, has the name or the key of an earlier one.")
        seen |= {key.name, key.digest}
        keys.append(key)
    return keys


def _signature(path: Path | None) -> tuple[int, ...] | None:
    """What changes when the file is written or replaced; None while it is not there."""
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    if status is None:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
