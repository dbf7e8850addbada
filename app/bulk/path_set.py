"""A set of very many file names, of which only digests are kept: some twenty bytes each, however long."""

import hashlib
import os
from bisect import bisect_left
from pathlib import Path
from typing import Final

_DIGEST_BYTES: Final = 16
_RECENT: Final = 1 << 16
"""So many newcomers, or an eighth of the others if that is more, wait in a common set, which takes five times
as much for each; then they are sorted in among the others."""


class Names:
    """A set of names to which names can be added.

    Two names have the same digest once in 10**38 pairs: nothing that happens.
    """

    def __init__(self) -> None:
        self._settled = b""  # digests in order, one after the other
        self._recent: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._settled) // _DIGEST_BYTES + len(self._recent)

    def __contains__(self, path: Path) -> bool:
        return self._holds(_digest(path))

    def add(self, path: Path) -> bool:
        """Adds a name; False, and no change, if it is there already."""
        digest = _digest(path)
        if self._holds(digest):
            return False
        self._recent.add(digest)
        if len(self._recent) >= max(_RECENT, len(self._settled) // _DIGEST_BYTES // 8):
            self._settle()
        return True

    def _holds(self, digest: bytes) -> bool:
        if digest in self._recent:
            return True
        places = range(len(self._settled) // _DIGEST_BYTES)
        place = bisect_left(places, digest, key=self._digest_at)
        return place < len(places) and self._digest_at(place) == digest

    def _digest_at(self, place: int) -> bytes:
        return self._settled[_DIGEST_BYTES * place : _DIGEST_BYTES * (place + 1)]

    def _settle(self) -> None:
        import numpy as np  # for so many; --help does not wait for it

        digests = np.frombuffer(self._settled + b"".join(self._recent), f"S{_DIGEST_BYTES}")
        self._settled = np.sort(digests, kind="stable").tobytes()
        self._recent = set()


def _digest(path: Path) -> bytes:
    return hashlib.blake2b(os.fsencode(path), digest_size=_DIGEST_BYTES).digest()
