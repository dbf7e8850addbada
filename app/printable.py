"""Names of files as they can be printed."""

import os
from pathlib import Path


def shown(path: object) -> str:
    """A file's name as it can be printed: on one line, and without what a terminal would obey."""
    text = os.fsdecode(path) if isinstance(path, bytes | Path) else str(path)
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )
