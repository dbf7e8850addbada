"""Files that appear whole or not at all, and are on disk before they have their name."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file to write; it gets its name at the end of the block, and none if the block fails.

    Raises:
        OSError: it cannot be written.
    """
    # Always the same name, so that whatever a killed program left there is written over by the next.
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def rename(file: Path, path: Path) -> None:
    """Gives a file its name, and waits until the name is on disk too where the system can say so."""
    file.replace(path)
    with contextlib.suppress(OSError):  # Windows does not open folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
