"""AVIF and HEIC files from outside: both are boxes (ISO/IEC 14496-12), and so are videos.

Read here is what their libraries do not tell: which of them a file is, what size it claims where they call a
large one damage, and whether it was turned while it was read.
"""

from collections.abc import Iterator
from typing import Final, Literal

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MOST_BRANDS_BYTES: Final = 256  # a file type box is a few dozen bytes long

# Boxes of ISO/IEC 23008-12, the last two with their length before the name; a byte follows.
_SIZE: Final = b"ispe"
_TURN: Final = b"\0\0\0\x09irot"
_MIRROR: Final = b"\0\0\0\x09imir"


def is_container(data: bytes) -> bool:
    """Whether the file is of this kind at all."""
    return data[4:8] == b"ftyp"


def kind(data: bytes) -> Literal["AVIF", "HEIF"] | None:
    """Which of the two a container is, by the brands in its first box; None for another medium."""
    box = data[8 : min(int.from_bytes(data[:4], "big"), _MOST_BRANDS_BYTES)]
    # At 4 stands a version, and no brand.
    brands = {box[start : start + 4] for start in range(0, len(box), 4) if start != 4}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIC_BRANDS else None


def claimed_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each picture in the container."""
    described = _description(data)
    at = described.find(_SIZE)
    while at >= 0:
        # A version and flags, then both.
        yield (
            int.from_bytes(described[at + 8 : at + 12], "big"),
            int.from_bytes(described[at + 12 : at + 16], "big"),
        )
        at = described.find(_SIZE, at + 1)


def is_turned(data: bytes) -> bool:
    """Whether a box turns the picture (by another angle than none) or mirrors it."""
    described = _description(data)
    at = described.find(_TURN)
    while at >= 0 and described[at : at + 9] == _TURN + b"\0":
        at = described.find(_TURN, at + 1)
    return at >= 0 or _MIRROR in described


def _description(data: bytes) -> bytes:
    """The box ``meta``, which says what is in the others."""
    at = 0
    while at + 8 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if length == 1:  # too long for four bytes
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        end = at + length if length else len(data)
        if name == b"meta":
            return data[at:end]
        if end < at + 8:
            break
        at = end
    return b""
