"""What RFC 2046 and RFC 7578 allow of a multipart body beyond its plainest form.

Names of files in the forms that clients send, parts in base64, and text before the first boundary.
"""

import binascii
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from typing import Final

from app.errors import MalformedRequest

_LONGEST_FILENAME: Final = 255
_PLAIN: Final = frozenset({b"", b"binary", b"8bit", b"7bit"})
_MOST_PREAMBLE_BYTES: Final = 64 * 1024
_WHITESPACE: Final = b" \t\r\n"


def filename_of(disposition: bytes, plain: bytes | None) -> str | None:
    """What the client calls the file, for it to be known again; without what would break a line of a log.

    ``filename*`` (RFC 5987) counts before ``filename``, in which encoded words (RFC 2047) are decoded.

    Args:
        disposition: value of the header ``Content-Disposition``.
        plain: value of its parameter ``filename``.
    """
    name = _extended(disposition) if b"filename*" in disposition.lower() else None
    if name is None and plain is not None:
        name = _words_decoded(plain.decode("utf-8", "replace"))
    if name is None:
        return None
    shown = name[:_LONGEST_FILENAME]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in shown)


def _extended(disposition: bytes) -> str | None:
    header = Message()
    header["Content-Disposition"] = " ".join(disposition.decode("latin-1").split())
    for name, value in header.get_params(header="Content-Disposition", failobj=[]):
        if name.lower() == "filename" and isinstance(value, tuple):
            charset, _, text = value
            try:
                return str(text).encode("latin-1").decode(charset or "utf-8", "replace")
            except (LookupError, UnicodeError):  # an unknown charset
                return None
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


class Preamble:
    """Leaves out what stands before the first boundary of a body (RFC 2046, 5.1.1).

    Args:
        boundary: of the body, without its two hyphens.
    """

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"\r\n--" + boundary
        self._held: bytes | None = b"\r\n"  # as if a line ended before the body

    def strip(self, data: bytes) -> bytes:
        """What of the data lies behind the preamble.

        Raises:
            MalformedRequest: no boundary comes within 64 KiB.
        """
        if self._held is None:
            return data
        self._held += data
        at = self._held.find(self._mark)
        if at < 0:
            if len(self._held) > _MOST_PREAMBLE_BYTES:
                raise MalformedRequest("The multipart body does not begin with its boundary.")
            return b""
        rest, self._held = self._held[at + 2 :], None
        return rest
