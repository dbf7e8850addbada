"""BMP files."""

from typing import Final

from app.imaging.formats.image_format import LOSSLESS, ImageFormat, Unreadable

_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_WITH_COMPRESSION: Final = 40
_EMBEDDED: Final = {4: "JPEG", 5: "PNG"}


def is_bitmap(data: bytes) -> bool:
    """Whether the size of the second header tells a bitmap from a text: two letters are no signature."""
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _HEADER_SIZES


def check_embedded(data: bytes) -> bytes:
    """The file; raises Unreadable for one that holds a JPEG or PNG file, which only printers are sent."""
    embedded = _EMBEDDED.get(int.from_bytes(data[30:34], "little"))
    if embedded and int.from_bytes(data[14:18], "little") >= _WITH_COMPRESSION:
        raise Unreadable(
            "kind", f"BMP files that hold a {embedded} file are not read. Send the {embedded} file."
        )
    return data


BMP: Final = ImageFormat(
    name="BMP",
    pillow=("BMP", "DIB"),
    mime="image/bmp",
    suffixes=(".bmp", ".dib"),
    fidelity=LOSSLESS,
    bytes_per_pixel=20,
    recognize=is_bitmap,
    prepared=check_embedded,
)
