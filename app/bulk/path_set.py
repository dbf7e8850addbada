"""A set of very many paths in a temporary database, which SQLite moves to disk beyond some megabytes."""

import os
import sqlite3
import threading
from typing import Self


class PathSet:
    """A set of paths to which paths can be added; :meth:`close` frees its memory and disk space."""

    def __init__(self) -> None:
        # Paths are looked up in the threads that decode, too.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._database.execute("CREATE TABLE paths (path BLOB PRIMARY KEY) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM paths").fetchone()
        return int(count)

    def __contains__(self, path: object) -> bool:
        with self._lock:  # threads share the statement
            found = self._database.execute("SELECT 1 FROM paths WHERE path = ?", (os.fsencode(str(path)),))
            return found.fetchone() is not None

    def add(self, path: object) -> bool:
        """Adds a path; returns False if it is there already."""
        added = self._database.execute("INSERT OR IGNORE INTO paths VALUES (?)", (os.fsencode(str(path)),))
        return added.rowcount == 1

    def close(self) -> None:
        """Removes the database; a second call does nothing."""
        self._database.close()
