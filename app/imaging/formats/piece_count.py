"""Files that are made of more pieces than anybody writes: Pillow goes through each of them in Python.

Twenty megabytes of the shortest segments or chunks there are take it ten seconds, before the pixels or behind
them.
"""

from typing import Final

_MOST: Final = 20_000
"""Photographs have a few dozen. PNG files of 20 MB have 2,500 chunks as libpng writes them, of 8 KiB each."""
_SCAN: Final = 0xDA
_WITHOUT_LENGTH: Final = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})


def are_too_many(format: str, data: bytes) -> bool:
    """Whether a JPEG or PNG file (by Pillow's names) has more than 20,000 pieces."""
    if format == "JPEG":
        return _too_many_segments(data)
    return format == "PNG" and _too_many_chunks(data)


def _too_many_segments(data: bytes) -> bool:
    """Of the segments, and bytes to fill, before the pixels; those are nothing that Pillow looks at."""
    position = 2
    for _ in range(_MOST):
        head = data[position : position + 4]
        if len(head) < 4 or head[0] != 0xFF or head[1] == _SCAN:
            return False
        if head[1] == 0xFF:
            position += 1
        elif head[1] in _WITHOUT_LENGTH:
            position += 2
        else:
            position += 2 + max(2, int.from_bytes(head[2:], "big"))
    return True


def _too_many_chunks(data: bytes) -> bool:
    """Up to the one that ends the file: Pillow reads on behind the pixels."""
    position = 8
    for _ in range(_MOST):
        if position + 12 > len(data) or data[position + 4 : position + 8] == b"IEND":
            return False
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return True
