"""Files that appear whole or not at all, and are on disk before they have their name."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file to write; it gets its name at the end of the block, and none if the block fails.

    Until then it has the same name each time, so that whatever a killed program left there is written over by
    the next. Two programs that may write one file at once take turns by a lock of their own.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace_durably(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Puts `data` at `path` in one step; its folder is made where it is missing.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as file:
        file.write(data)


def replace_durably(temporary: Path, path: Path) -> None:
    """Gives a finished file its name, and waits until the name is on disk too where the system can say so.

    Raises:
        OSError: it cannot be renamed.
    """
    temporary.replace(path)
    with contextlib.suppress(OSError):  # Windows does not open folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
