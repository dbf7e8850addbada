"""JPEG files, and multi-picture files (MPO): JPEG files with more pictures behind the first."""

from typing import Final

from app.imaging.formats.image_format import ImageFormat

MULTI_PICTURE: Final = "MPO"
"""Pillow's name of multi-picture files, to which its JPEG reader hands them over by itself."""

_MAX_SEGMENTS: Final = (
    20_000  # photographs have a few dozen; Pillow takes ten seconds for 20 MB of the shortest
)
_SCAN: Final = 0xDA
_WITHOUT_LENGTH: Final = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})


def too_many_segments(data: bytes) -> bool:
    """Whether more than 20,000 segments and fill bytes lie before the pixels.

    Pillow goes through each of them in Python; it does not look at the pixels.
    """
    position = 2
    for _ in range(_MAX_SEGMENTS):
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


JPEG: Final = ImageFormat(
    name="JPEG",
    pillow=("JPEG", MULTI_PICTURE),
    mime="image/jpeg",
    suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    signatures=(b"\xff\xd8\xff",),
    too_many_pieces=too_many_segments,
)
