"""API keys: how they are made, how they are written down, and which of them are in use.

A line of a list is ``NAME:SHA256`` or ``NAME:SHA256:PIXELS_PER_SECOND``; ``#`` begins a comment. Complaints
name the line and never repeat it: it may hold the key itself where the hash belongs.

A list fails closed, line by line: valid lines are in force, faulty ones are not, and a list without a valid
line lets no request in.
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

_PREFIX: Final = "iqa_"  # so that a key that lies around can be recognized as one
_RANDOM_BYTES: Final = 32
_LARGEST_FILE: Final = 2**20
_LOOK_EVERY_S: Final = 0.5
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


@dataclass(frozen=True)
class KeyList:
    """The keys of a list.

    Attributes:
        keys: in force, of the valid lines.
        faults: one sentence for each line that is not in force, or for a list that has no key at all.
    """

    keys: tuple[ApiKey, ...] = ()
    faults: tuple[str, ...] = ()


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
    listed = _parse(text.splitlines(), f"{source}, line")
    if listed.faults:
        raise KeysError(listed.faults[0])
    return list(listed.keys)


def read_file(path: Path) -> str:
    """The text of a file of keys.

    Raises:
        KeysError: it cannot be read.
    """
    try:
        return text_file.read_text(path, "The file of API keys", _LARGEST_FILE)
    except text_file.UnreadableText as error:
        raise KeysError(str(error)) from error


def read_keys(path: Path | None, entries: str | None) -> KeyList:
    """The keys of a file and of entries that commas or newlines separate; none where both are None."""
    of_file = KeyList() if path is None else _of_file(path)
    of_entries = KeyList() if entries is None else _of_entries(entries)
    keys, faults = list(of_file.keys), [*of_file.faults, *of_entries.faults]
    taken = {part for key in keys for part in (key.name, key.digest)}
    added = [key for key in of_entries.keys if not taken & {key.name, key.digest}]
    if len(added) < len(of_entries.keys):
        faults.append("IQA_API_KEYS has a name or a key that the file of API keys has too.")
    keys += added
    if len(keys) > MOST_KEYS:
        faults.append(f"There are {len(keys)} API keys; only the first {MOST_KEYS} are in force.")
    return KeyList(tuple(keys[:MOST_KEYS]), tuple(faults))


def check_keys(path: Path | None, entries: str | None) -> None:
    """Returns where a service can start with these keys. Faulty lines beside valid ones do not prevent it.

    Raises:
        KeysError: keys are asked for, and no valid one is there.
    """
    listed = read_keys(path, entries)
    if (path is not None or entries is not None) and not listed.keys:
        raise KeysError(listed.faults[0])


class KeyRing:
    """The keys in force. A look-up checks their file for changes, at most twice a second.

    Args:
        path, entries: as for :func:`read_keys`.
        clock: in seconds.
    """

    def __init__(
        self, path: Path | None, entries: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._entries, self._clock = path, entries, clock
        self._next_look = clock() + _LOOK_EVERY_S
        # Taken before the file is read: what changes meanwhile is seen at the next look.
        self._seen = _signature(path)
        self._listed = read_keys(path, entries)
        self._doubtful = bool(self._listed.faults)
        self._complain()

    def current(self) -> KeyList:
        """The keys of now."""
        now = self._clock()
        if self._path is not None and now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            self._look()
        return self._listed

    def _look(self) -> None:
        signature = _signature(self._path)
        if signature == self._seen and not self._doubtful:
            return
        listed = read_keys(self._path, self._entries)
        if listed.faults and not self._doubtful:
            # It may be in the middle of being written, or unreadable for a moment: the next look decides.
            self._doubtful = True
            return
        # As long as there are faults the file is read again: one may vanish without a trace on the file.
        self._seen, self._doubtful = signature, bool(listed.faults)
        if listed == self._listed:
            return
        self._listed = listed
        self._complain()
        _log.info("the file of API keys has changed; %d keys are in force", len(listed.keys))

    def _complain(self) -> None:
        if faults := self._listed.faults:
            others = f" {len(faults) - 1} further faults." if len(faults) > 1 else ""
            _log.error("%s%s %d API keys are in force.", faults[0], others, len(self._listed.keys))


def _of_file(path: Path) -> KeyList:
    try:
        listed = _parse(read_file(path).splitlines(), f"The file of API keys {path}, line")
    except KeysError as error:
        return KeyList(faults=(str(error),))
    return (
        listed
        if listed.keys or listed.faults
        else KeyList(faults=(f"The file of API keys {path} holds none.",))
    )


def _of_entries(entries: str) -> KeyList:
    listed = _parse(_SEPARATOR.split(entries), "IQA_API_KEYS, entry")
    return (
        listed if listed.keys or listed.faults else KeyList(faults=("IQA_API_KEYS is set and holds no key.",))
    )


def _parse(lines: Sequence[str], where: str) -> KeyList:
    keys: list[ApiKey] = []
    faults: list[str] = []
    seen: set[str | bytes] = set()
    for number, line in enumerate(lines, 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        match = _LINE.fullmatch(content)
        if match is None:
            faults.append(
                f"{where} {number}, is neither NAME:SHA256 nor NAME:SHA256:PIXELS_PER_SECOND, with a name of "
                "letters, digits and ._@-, and 64 hexadecimal digits."
            )
            continue
        name, digest, rate = match.groups()
        key = ApiKey(name, bytes.fromhex(digest), None if rate is None else int(rate))
        if seen & {key.name, key.digest}:
            faults.append(f"{where} {number}, has the name or the key of an earlier one.")
            continue
        seen |= {key.name, key.digest}
        keys.append(key)
    return KeyList(tuple(keys), tuple(faults))


def _signature(path: Path | None) -> tuple[int, ...] | None:
    """What changes when the file is written or replaced; None while it is not there."""
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    if status is None:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
