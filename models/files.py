"""Finished files that have their name on disk, whatever happens to the machine in the next moment."""

import contextlib
import os
from pathlib import Path


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
