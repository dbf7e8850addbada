"""JPEG files, and multi-picture files (MPO): JPEG files with more pictures behind the first."""

from typing import Final

from app.errors import InvalidImage
from app.imaging.formats.image_format import ImageFormat, Unreadable
from app.imaging.formats.jpeg_decoding import decode_jpeg
from app.imaging.formats.structure.jpeg_markers import frame_of

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


def check_kind(data: bytes) -> bytes:
    """The file; raises Unreadable for a kind of JPEG file that is not decoded here.

    Raises:
        InvalidImage: it was sent as text. The lengths of segments alone have zero bytes in every JPEG file.
    """
    if 0 not in data:
        raise InvalidImage(
            "The JPEG image lacks all zero bytes, which are lost where a file is sent as text. Send it as "
            "binary data, with curl by --data-binary instead of -d."
        )
    frame = frame_of(data)
    if frame is not None and frame.kind_not_decoded:
        raise Unreadable(
            "kind", f"Files of this kind ({frame.kind_not_decoded}) are not read. Send a JPEG file of 8 bits."
        )
    return data


JPEG: Final = ImageFormat(
    name="JPEG",
    pillow=("JPEG", MULTI_PICTURE),
    mime="image/jpeg",
    suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    bytes_per_pixel=18,
    reduced_bytes_per_pixel=8,  # progressive files without subsampling
    signatures=(b"\xff\xd8\xff",),
    too_many_pieces=too_many_segments,
    prepared=check_kind,
    decode=decode_jpeg,
)
