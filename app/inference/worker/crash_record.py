"""What is on the device, written down where it outlives the process: a worker's successor reads it.

A message to the clients would not do. A process that dies of its batch at once may die before the message has
left it, and then its jobs would not be known as suspects. A written page stays in the system's cache,
whatever becomes of its writer.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

_log = logging.getLogger("iqa.worker")

_RESERVED_BYTES: Final = 64 * 1024
"""More than the jobs of a batch take."""

Key = tuple[bytes, int]
"""A job across clients: the connection's identity and the job's id there."""


@dataclass(frozen=True)
class Entry:
    """One batch.

    Attributes:
        boot: of the process that had it on the device.
        keys: its jobs, the clients' identities in hexadecimal; empty while the device is idle.
    """

    boot: str
    keys: tuple[tuple[str, int], ...]

    def ids_of(self, client: bytes) -> tuple[int, ...]:
        """The jobs that were one client's."""
        return tuple(number for owner, number in self.keys if owner == client.hex())


_ENTRY = TypeAdapter(Entry)


class Logbook:
    """The record of one worker's place, over its restarts.

    Args:
        path: of the file; it is made if it is not there.
        boot: names this process.

    Attributes:
        predecessor: what the process before this one had on the device when it ended; None if nothing.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self._boot = boot
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.predecessor = self._read()
        self._complained = False
        if hasattr(os, "posix_fallocate"):  # not on macOS
            try:
                # Room on the disk for what will be written; what is there stays.
                os.posix_fallocate(self._file, 0, _RESERVED_BYTES)
            except OSError as error:
                self._complain(error)

    def write(self, keys: Sequence[Key]) -> None:
        """Notes what is on the device from now on; the predecessor's entry is gone after that.

        Where the disk has no room, nothing is noted: an image that ends the worker is not found then.
        """
        entry = Entry(self._boot, tuple((client.hex(), number) for client, number in keys))
        page = _ENTRY.dump_json(entry)
        # The length stands in front: what is left of a longer entry behind this one is not read.
        try:
            os.pwrite(self._file, b"%d\n" % len(page) + page, 0)
        except OSError as error:
            # What stands there is about jobs that are not on the device any more.
            with suppress(OSError):
                os.ftruncate(self._file, 0)
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        """Once."""
        if not self._complained:
            self._complained = True
            _log.error("what is on the device cannot be noted: %s", error.strerror or error)

    def close(self) -> None:
        os.close(self._file)

    def _read(self) -> Entry | None:
        length, _, page = os.pread(self._file, os.fstat(self._file).st_size, 0).partition(b"\n")
        if not length.strip(b"\0"):
            return None
        try:
            entry = _ENTRY.validate_json(page[: int(length)])
        except (ValidationError, ValueError):  # the process was ended while it wrote
            _log.warning("what the device had when the last process ended cannot be read")
            return None
        return entry if entry.keys else None
