"""TIFF files, with BigTIFF, of one page and of several."""

import struct
from typing import Final

from PIL import Image

from app.imaging.formats.image_format import ImageFormat, Unreadable

# What libtiff reads beyond these is of last century's scanners and of radiance maps: hardly ever sent, and
# hardly ever tested.
_COMPRESSIONS: Final = frozenset({
    "raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "tiff_deflate",
    "packbits", "lzma", "zstd", "webp",
})  # fmt: skip


def count_tiff_pages(data: bytes, maximum: int) -> int:
    """Counts directories to the end of their chain, to where it leaves the file, or to where it goes round.

    Pillow parses every directory for that, which takes minutes for a file that holds only directories.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in (data[2], data[3])
    offset, number, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    frames, at = 0, _read(data, order + offset, 8 if big else 4)
    met: set[int] = set()
    while at and at not in met and frames <= maximum:
        met.add(at)
        entries = _read(data, order + number, at)
        if not entries:
            break
        frames += 1
        at = _read(data, order + offset, at + struct.calcsize(number) + entries * entry)
    return max(1, frames)


def _read(data: bytes, form: str, at: int) -> int:
    """The number at that place, 0 outside the file."""
    if at + struct.calcsize(form) > len(data):
        return 0
    return int(struct.unpack_from(form, data, at)[0])


def check_compression(image: Image.Image) -> None:
    """Rejects the compressions that are not decoded here."""
    if image.info.get("compression") not in _COMPRESSIONS:
        raise Unreadable("compression", "TIFF files of this compression are not read; LZW and Deflate are.")


TIFF: Final = ImageFormat(
    name="TIFF",
    pillow=("TIFF",),
    mime="image/tiff",
    suffixes=(".tif", ".tiff"),
    signatures=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    count_frames=count_tiff_pages,
    check=check_compression,
)
