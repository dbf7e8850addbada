"""Files that appear whole or not at all, and are on disk before they have their name."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from models.files import replace_durably


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
        replace_durably(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
