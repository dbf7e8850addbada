"""What RFC 2046 and RFC 7578 allow of a multipart body beyond its plainest form.

Names of files in the forms that clients send, parts in base64, text before the first boundary, and folded
headers.
"""

import binascii
import re
from collections.abc import Callable
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from typing import Final

from app.errors import MalformedRequest

_LONGEST_FILENAME: Final = 255
_PLAIN: Final = frozenset({b"", b"binary", b"8bit", b"7bit"})
_MOST_PREAMBLE_BYTES: Final = 64 * 1024
_MOST_PADDING_BYTES: Final = 256
_MOST_HEADER_BYTES: Final = 64 * 1024
_FOLD: Final = re.compile(rb"\r\n[ \t]+")
_ESCAPED: Final = re.compile("%(22|0D|0A)", re.IGNORECASE)
_WHITESPACE: Final = b" \t\r\n"


def filename_of(disposition: bytes, plain: bytes | None) -> str | None:
    """What the client calls the file, for it to be known again; without what would break a line of a log.

    ``filename*`` (RFC 5987, and RFC 2231 in several pieces) counts before ``filename``, in which encoded
    words (RFC 2047) and the three escapes of browsers (HTML, multipart/form-data) are decoded.

    Args:
        disposition: value of the header ``Content-Disposition``.
        plain: value of its parameter ``filename``.
    """
    name = _extended(disposition) if b"filename*" in disposition.lower() else None
    if name is None and plain is not None:
        name = _words_decoded(_text(plain))
        name = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
    if name is None:
        return None
    shown = name[:_LONGEST_FILENAME]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)


def _text(raw: bytes) -> str:
    """A name in UTF-8, as browsers send it, or else in Latin-1 as Windows extends it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _extended(disposition: bytes) -> str | None:
    header = Message()
    header["Content-Disposition"] = " ".join(disposition.decode("latin-1").split())
    pieces = b"filename*0" in disposition.lower()
    for name, value in header.get_params(header="Content-Disposition", failobj=[]):
        if name.lower() != "filename":
            continue
        if isinstance(value, tuple) and value[0]:  # otherwise it names no charset, and is none
            try:
                return str(value[2]).encode("latin-1").decode(value[0], "replace")
            except (LookupError, UnicodeError):  # an unknown charset
                return None
        if isinstance(value, str) and pieces and f'filename="{value}"' not in header["Content-Disposition"]:
            return _text(value.encode("latin-1"))
    return None


def _words_decoded(name: str) -> str:
    if not (name.startswith("=?") and name.endswith("?=")):
        return name
    try:
        return str(make_header(decode_header(name)))
    except (HeaderParseError, LookupError, ValueError):
        return name


class TransferDecoder:
    """Undoes the ``Content-Transfer-Encoding`` of a part.

    Args:
        encoding: value of the header, b'' without one.

    Raises:
        MalformedRequest: the encoding is neither base64 nor none.
    """

    def __init__(self, encoding: bytes) -> None:
        name = encoding.strip().lower()
        if name not in _PLAIN and name != b"base64":
            shown = name.decode("ascii", "replace")[:40]
            raise MalformedRequest(
                f"The Content-Transfer-Encoding {shown!r} of a part is not read; send binary or base64."
            )
        self._is_base64 = name == b"base64"
        self._rest = b""

    def decode(self, data: bytes) -> bytes:
        """The bytes of the file, as far as they are complete.

        Raises:
            MalformedRequest: the data are not base64.
        """
        if not self._is_base64:
            return data
        self._rest += data.translate(None, _WHITESPACE)
        whole = len(self._rest) // 4 * 4
        ready, self._rest = self._rest[:whole], self._rest[whole:]
        try:
            return binascii.a2b_base64(ready, strict_mode=True)
        except binascii.Error as error:
            raise MalformedRequest("A part that is announced as base64 is not.") from error

    def end(self) -> None:
        """Checks that nothing is left.

        Raises:
            MalformedRequest: the data break off.
        """
        if self._rest:
            raise MalformedRequest("A part in base64 breaks off.")


class Framing:
    """Makes of a body what the parser takes.

    Leaves out what stands before the first boundary (RFC 2046, 5.1.1) and the blanks behind a boundary, and
    joins the lines of folded headers (RFC 5322, 2.2.3). All else goes through as it is.

    Args:
        boundary: of the body, without its two hyphens.
    """

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"\r\n--" + boundary
        self._first = re.compile(re.escape(self._mark) + rb"(?:--|[ \t]*\r\n)")
        self._held = b"\r\n"  # as if a line ended before the body
        self._read: Callable[[], bytes | None] | None = self._preamble

    def feed(self, data: bytes) -> bytes:
        """What the parser is given of the data; a few bytes may be held back until more come.

        Raises:
            MalformedRequest: no boundary comes within 64 KiB.
        """
        if self._read is None:  # behind the last boundary, or given up
            return data
        self._held += data
        ready = []
        while self._read is not None and (piece := self._read()) is not None:
            ready.append(piece)
        if self._read is None:
            ready.append(self._held)
            self._held = b""
        return b"".join(ready)

    def _take(self, count: int) -> bytes:
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _preamble(self) -> bytes | None:
        found = self._first.search(self._held)
        if found is None:
            if len(self._held) > _MOST_PREAMBLE_BYTES:
                raise MalformedRequest("The multipart body does not begin with its boundary.")
            return None
        self._held = self._held[found.start() + 2 :]
        self._read = self._boundary
        return b""

    def _boundary(self) -> bytes | None:
        """The line of a boundary, without blanks."""
        begin = len(self._mark) - 2
        if len(self._held) < begin + 2:
            return None
        end = self._held.find(b"\r\n", begin)
        is_last = self._held.startswith(b"--", begin)
        if not is_last and end < 0 and len(self._held) <= begin + _MOST_PADDING_BYTES:
            return None
        if is_last or end < 0 or self._held[begin:end].strip(b" \t"):
            self._read = None  # the last one, or none: the parser says so
            return b""
        line = self._take(end + 2)[:begin]
        self._read = self._headers
        return line + b"\r\n"

    def _headers(self) -> bytes | None:
        """The headers of a part, with the end of the last one's line."""
        if self._held.startswith(b"\r\n"):
            self._read = self._content
            return b""
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            if len(self._held) <= _MOST_HEADER_BYTES:
                return None
            self._read = None
            return b""
        self._read = self._content
        return _FOLD.sub(b" ", self._take(end)) + self._take(2)

    def _content(self) -> bytes | None:
        at = self._held.find(self._mark)
        if at >= 0:
            self._read = self._boundary
            return self._take(at + 2)
        kept = len(self._mark) - 1
        return self._take(len(self._held) - kept) if len(self._held) > kept else None
