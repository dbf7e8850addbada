"""AVIF and HEIC files: both are boxes (ISO/IEC 14496-12), and so are videos.

Read here is what their libraries do not tell: which of them a file is, what size it claims where they call a
large one damage, and whether it was turned while it was read.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

from PIL import features

from app.imaging.formats.image_format import ImageFormat

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MAX_BRANDS_BYTES: Final = 256  # a file type box is a few dozen bytes long

# Boxes of ISO/IEC 23008-12, the last two with their length before the name; a byte follows.
_SIZE: Final = b"ispe"
_TURN: Final = b"\0\0\0\x09irot"
_MIRROR: Final = b"\0\0\0\x09imir"


def is_container(data: bytes) -> bool:
    """Whether the file is of this kind at all."""
    return data[4:8] == b"ftyp"


def is_avif(data: bytes) -> bool:
    """Whether a container is an AVIF file; one that is both counts as AVIF."""
    return bool(_brands(data) & _AVIF_BRANDS)


def is_heic(data: bytes) -> bool:
    """Whether a container is a HEIC file."""
    return bool(_brands(data) & _HEIC_BRANDS) and not is_avif(data)


def claimed_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each picture in the container, in pixels."""
    described = _description(data)
    at = described.find(_SIZE)
    while at >= 0:
        # A version and flags, then both.
        yield (
            int.from_bytes(described[at + 8 : at + 12], "big"),
            int.from_bytes(described[at + 12 : at + 16], "big"),
        )
        at = described.find(_SIZE, at + 1)


def is_turned_by_container(data: bytes) -> bool:
    """Whether a box turns the picture (by another angle than none) or mirrors it."""
    described = _description(data)
    at = described.find(_TURN)
    while at >= 0 and described[at : at + 9] == _TURN + b"\0":
        at = described.find(_TURN, at + 1)
    return at >= 0 or _MIRROR in described


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name of each outermost box, where its length begins, and where it ends (maybe beyond the file)."""
    at = 0
    while at + 8 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if length == 1:  # too long for four bytes
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        end = at + length if length else len(data)
        yield name, at, end
        if end < at + 8:
            break
        at = end


def _brands(data: bytes) -> frozenset[bytes]:
    """The brands in the first box; none in a file of another kind."""
    if not is_container(data):
        return frozenset()
    box = data[8 : min(int.from_bytes(data[:4], "big"), _MAX_BRANDS_BYTES)]
    # At 4 stands a version, and no brand.
    return frozenset(box[start : start + 4] for start in range(0, len(box), 4) if start != 4)


def _description(data: bytes) -> bytes:
    """The box ``meta``, which says what is in the others."""
    return next((data[start:end] for name, start, end in boxes(data) if name == b"meta"), b"")


@cache
def _load_heif() -> bool:
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return False
    # The image itself and nothing that lies beside it; libheif's own limits stay as they are. One thread:
    # images are decoded beside one another already.
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True


AVIF: Final = ImageFormat(
    name="AVIF",
    pillow=("AVIF",),
    mime="image/avif",
    suffixes=(".avif",),
    recognize=is_avif,
    has_decoder=lambda: bool(features.check("avif")),
    claimed_sizes=claimed_sizes,
)

HEIC: Final = ImageFormat(
    name="HEIC",
    pillow=("HEIF",),
    mime="image/heic",
    suffixes=(".heic", ".heif"),
    recognize=is_heic,
    has_decoder=_load_heif,
    extra="heic",
    claimed_sizes=claimed_sizes,
    is_turned=is_turned_by_container,  # by libheif, on the container's word; the EXIF block does not count
)
