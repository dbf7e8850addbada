"""The part file: the rows of an unfinished file of scores, in an SQLite database beside it.

Each row is a transaction of its own, so killing the program loses none. The database is synced every few
seconds, so a power cut loses at most the rows of those.
"""

import contextlib
import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from app.bulk.errors import OutputError
from app.bulk.file_formats import encoded, with_names_of_today
from app.bulk.rows import Row

_PART: Final = ".part.sqlite"
_SYNC_EVERY_S: Final = 5.0
_INSERT: Final = "INSERT INTO rows VALUES (?, ?)"
_OF_THE_DISK: Final = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
}


class PartFile:
    """A part file, locked against other programs until :meth:`close`.

    Args:
        path: Path of the database; it is created if it is missing.
        before: Rows that a new database begins with.

    Raises:
        OutputError: another program has it open, or it is not such a database.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, before: Iterable[Row] = ()) -> None:
        self._path = path
        with contextlib.ExitStack() as undo, self._failures():
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
            undo.callback(self._database.close)
            # Exclusive before WAL: then the lock is held throughout, and the log needs no shared memory.
            for setting in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
                self._database.execute(f"PRAGMA {setting}")
            self._database.execute("PRAGMA wal_autocheckpoint=0")  # sync does it
            if not self._database.execute("SELECT 1 FROM sqlite_schema").fetchone():
                self._database.execute("BEGIN")
                self._database.execute("CREATE TABLE rows (failed INTEGER NOT NULL, line BLOB NOT NULL)")
                self._database.executemany(_INSERT, map(_record, before))
                self._database.execute("COMMIT")
            self._rename()
            self._sync()
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order in which they were appended."""
        return map(json.loads, self.lines())

    def lines(self) -> Iterator[bytes]:
        """The rows as lines of JSON."""
        with self._failures():
            for (line,) in self._database.execute("SELECT line FROM rows ORDER BY rowid"):
                yield line

    def append(self, row: Row) -> None:
        """Appends a row.

        Raises:
            OSError: it cannot be written; the rows before it are kept.
        """
        with self._failures():
            self._database.execute(_INSERT, _record(row))
            if time.monotonic() - self._synced > _SYNC_EVERY_S:
                self._sync()

    def drop_failures(self) -> None:
        """Removes the rows of files that could not be scored.

        Raises:
            OSError: it cannot be written; all rows are kept.
        """
        with self._failures():
            self._database.execute("DELETE FROM rows WHERE failed")

    def close(self) -> None:
        """Syncs and unlocks it; a second call does nothing."""
        self._database.close()

    def _rename(self) -> None:
        """Gives the rows of an earlier version the names of today."""
        self._database.create_function("of_today", 1, with_names_of_today, deterministic=True)
        self._database.execute("UPDATE rows SET line = of_today(line) WHERE line <> of_today(line)")

    def _sync(self) -> None:
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._synced = time.monotonic()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_BUSY:
                raise OutputError(f"{self._path.name} is being written by another program.") from None
            if code not in _OF_THE_DISK:
                raise OutputError(f"{self._path.name} cannot be read: {error}.") from error
            # SQLite does not pass on the reason. Writing beyond the end of its log meets the same one.
            with log_of(self._path).open("ab") as log:
                log.write(bytes(1 << 20))
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error


def part_of(path: Path) -> Path:
    """Where the part file of a file lies that is being made."""
    return path.with_name(path.name + _PART)


def remove_part(path: Path) -> None:
    """Removes the part file of a file, if there is one.

    Raises:
        OSError: it cannot be removed.
    """
    part = part_of(path)
    for each in (part, log_of(part)):
        each.unlink(missing_ok=True)


def log_of(path: Path) -> Path:
    """The write-ahead log of a database, which a killed program leaves beside it."""
    return path.with_name(path.name + "-wal")


def _record(row: Row) -> tuple[bool, bytes]:
    return row.get("problem") is not None, encoded(row)
