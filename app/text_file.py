"""Text files that operators write: read once, in whole, whatever they turn out to be."""

import stat
from pathlib import Path


class UnreadableText(Exception):
    """There is no text to be had; the message is one sentence that names the file."""


def read_text(path: Path, what: str, most_bytes: int) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Args:
        path: of the file.
        what: it is, as in "The file of policies".
        most_bytes: that it may have.

    Raises:
        UnreadableText: it is too large, is no regular file or no UTF-8, or cannot be read.
    """
    try:
        status = path.stat()
        # Opening a pipe waits for its writer, and it can be read only once.
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableText(f"{what} {path} is not a regular file.")
        if status.st_size > most_bytes:
            raise UnreadableText(f"{what} {path} has more than {most_bytes} bytes.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableText(f"{what} {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UnreadableText(f"{what} {path} is not UTF-8 text.") from error
