"""BMP files."""

from typing import Final

from app.imaging.formats.image_format import LOSSLESS, ImageFormat

_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def is_bitmap(data: bytes) -> bool:
    """Whether the size of the second header tells a bitmap from a text: two letters are no signature."""
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _HEADER_SIZES


BMP: Final = ImageFormat(
    name="BMP",
    pillow=("BMP", "DIB"),
    mime="image/bmp",
    suffixes=(".bmp", ".dib"),
    fidelity=LOSSLESS,
    bytes_per_pixel=20,
    recognize=is_bitmap,
)
