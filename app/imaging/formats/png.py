"""PNG files, still and animated."""

from typing import Final

from PIL import PngImagePlugin

from app.imaging.formats.image_format import ImageFormat

# Compressed texts and profiles are unpacked while the header is read. Pillow's own limit of a mebibyte each
# is too low for printers' profiles, and its 64 for all texts is higher than any file needs.
PngImagePlugin.MAX_TEXT_CHUNK = 8 * 2**20
PngImagePlugin.MAX_TEXT_MEMORY = 16 * 2**20

_MAX_CHUNKS: Final = 20_000  # files of 20 MB have 2,500 as libpng writes them, of 8 KiB each


def too_many_chunks(data: bytes) -> bool:
    """Whether a file has more than 20,000 chunks, up to the one that ends it.

    Pillow goes through each of them in Python, also behind the pixels.
    """
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data) or data[position + 4 : position + 8] == b"IEND":
            return False
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return True


PNG: Final = ImageFormat(
    name="PNG",
    pillow=("PNG",),
    mime="image/png",
    suffixes=(".png",),
    signatures=(b"\x89PNG\r\n\x1a\n",),
    too_many_pieces=too_many_chunks,
)
