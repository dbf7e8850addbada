"""The journal of a run: a line of JSON per image, written as each is done, whatever becomes of the program.

Each line goes to the system at once and in one piece, so killing the program loses none that was counted; the
disk is waited for every few seconds, so losing power loses no more than those. A line that was torn, by power
or by a full disk, can only be among the last, and what comes after the first unreadable line is cut off
before the journal is gone on with.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from app.bulk.errors import OutputError
from models.files import replace_durably

try:
    import fcntl
except ModuleNotFoundError:  # Windows: there nothing keeps a second program away
    fcntl = None  # type: ignore[assignment]

_SYNC_EVERY_S: Final = 5.0

Fields = dict[str, Any]


class Journal:
    """A journal that is being written, by this program alone.

    Args:
        path: of the file; made if it is not there.

    Raises:
        OutputError: another program is writing it.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._synced = time.monotonic()
        try:
            _lock(self._file.fileno(), path)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, fields: Fields) -> None:
        """Writes a line.

        Raises:
            OSError: it cannot be written; of a part that was, nothing stays.
        """
        line = encoded(fields)
        end = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
            if time.monotonic() - self._synced > _SYNC_EVERY_S:
                self.sync()
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise

    def keep(self, wanted: Callable[[Fields], bool]) -> None:
        """Takes all lines out but those wanted, and what cannot be read at the end.

        Killed at any moment, it leaves either the old lines or the new ones.
        """
        unfinished = self.path.with_name(f".{self.path.name}.unfinished")
        new = unfinished.open("wb")
        with new:
            _lock(new.fileno(), self.path)
            for fields in read(self.path):
                if wanted(fields):
                    new.write(encoded(fields))
            new.flush()
            os.fsync(new.fileno())
            replace_durably(unfinished, self.path)
            # Before the lock on the new file is let go, this one takes over.
            replaced, self._file = self._file, self.path.open("ab", buffering=0)
            replaced.close()
        _lock(self._file.fileno(), self.path)

    def cut(self) -> None:
        """Cuts off what cannot be read at the end."""
        self._file.truncate(_readable(self.path))

    def sync(self) -> None:
        """Waits until all is on disk."""
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """A second time does nothing."""
        self._file.close()


def read(path: Path) -> Iterator[Fields]:
    """The lines of a journal up to the first that cannot be read."""
    for fields, _ in _lines(path):
        yield fields


def encoded(fields: Fields) -> bytes:
    """A line. Names that are not UTF-8 are kept: JSON can escape the bytes that Python has in their place."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _readable(path: Path) -> int:
    """How many bytes of a journal can be read."""
    end = 0
    for _, size in _lines(path):
        end += size
    return end


def _lines(path: Path) -> Iterator[tuple[Fields, int]]:
    with path.open("rb") as file:
        for line in file:
            try:
                fields = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                return
            if not isinstance(fields, dict) or not isinstance(fields.get("file"), str):
                return
            yield fields, len(line)


def _lock(descriptor: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"{path.name} is being written by another program.") from None
    except OSError:  # some network file systems know no locks
        return
