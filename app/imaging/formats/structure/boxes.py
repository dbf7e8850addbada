"""The boxes that AVIF, HEIC and JPEG XL containers consist of (ISO/IEC 14496-12)."""

from collections.abc import Iterator


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
