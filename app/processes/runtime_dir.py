"""The folder of a running service, for this user alone: sockets between its processes, and their notes.

It is removed when the service ends. One that was killed could not do that; its folder is known by a lock that
no process holds, and the next service that starts removes it.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Final

_PREFIX: Final = "iqa-"
_LOCK: Final = "supervisor.lock"
_LONGEST_PATH: Final = 90  # of a socket the system's limit is 107 bytes, the file name included
_YOUNG_S: Final = 60.0
"""A lock that is younger and free may belong to a service that is about to take it."""


class PrivateFolder:
    """A new folder, locked for as long as this process lives.

    Attributes:
        path: of the folder.
    """

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        if len(str(folder)) > _LONGEST_PATH:
            folder.rmdir()
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))
        self.path = folder
        self._lock = _locked(folder)
        _remove_abandoned(folder.parent)

    def restore(self) -> bool:
        """Makes the folder again where it, or its lock, was deleted; whether that was so.

        Raises:
            OSError: it cannot be made, or what is there is not this user's.
        """
        with contextlib.suppress(FileNotFoundError):
            if (self.path / _LOCK).stat().st_ino == os.fstat(self._lock).st_ino:
                return False
        self.path.mkdir(mode=0o700, exist_ok=True)
        status = self.path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise PermissionError(errno.EPERM, "its place was taken")
        before, self._lock = self._lock, _locked(self.path)
        os.close(before)
        return True

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _locked(folder: Path) -> int:
    """A file descriptor of the folder's lock, which is held from now on."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove_abandoned(place: Path) -> None:
    """Removes the folders of this user's services that were killed."""
    for path in place.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # of another user, removed just now, or locked by its living owner
            if time.time() - path.stat().st_mtime < _YOUNG_S:
                continue
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)
            finally:
                os.close(lock)
