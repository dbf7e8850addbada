"""PNG files, still and animated."""

import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from PIL import Image, PngImagePlugin

from app.errors import InvalidImage
from app.imaging.formats.image_format import END_MISSING, LOSSLESS, ImageFormat
from models.color.description import CodePoints

# Compressed texts and profiles are unpacked while the header is read. Pillow's own limit of a mebibyte each
# is too low for printers' profiles, and its 64 for all texts is higher than any file needs.
PngImagePlugin.MAX_TEXT_CHUNK = 8 * 2**20
PngImagePlugin.MAX_TEXT_MEMORY = 16 * 2**20

_FURTHER: Final = 2  # the control of the second frame, which is not scored
_PIXELS: Final = frozenset({b"IDAT", b"fdAT"})
_PASSES: Final = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip
"""First column and row of each pass of an interlaced picture, and the steps (PNG specification, 8.1)."""
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIECE_BYTES: Final = 2**20
_MAX_CHUNKS: Final = 20_000  # files of 20 MB have 2,500 as libpng writes them, of 8 KiB each


def too_many_chunks(data: bytes) -> bool:
    """Whether a file has more than 20,000 chunks, up to the one that ends it.

    Pillow goes through each of them in Python, also behind the pixels.
    """
    return next(islice(_chunks(data), _MAX_CHUNKS, None), None) is not None


def count_png_frames(data: bytes, maximum: int) -> int:
    """The number of frames that an animation states; Pillow counts a hidden default image too."""
    for kind, begin, _ in _chunks(data):
        if kind == b"acTL":
            number = int.from_bytes(data[begin : begin + 4], "big")
            return number if 0 < number < 2**31 else 1  # beyond, Pillow too takes it for a still image
        if kind == b"IDAT":
            break
    return 1


def shown_picture(data: bytes) -> bytes:
    """The file; for an animation with a hidden default image, a still file of its first frame instead.

    The default image is for viewers without animations, and may be a note that says so.
    """
    before: list[bytes] = []  # header chunks, which all frames share
    frame: list[bytes] = []
    size, animated, pixels = b"", False, False
    for kind, begin, end in _chunks(data):
        content = data[begin:end]
        if kind == b"fdAT" and size:
            frame.append(_chunk(b"IDAT", content[4:]))  # without its number
        elif frame:
            break
        elif kind == b"acTL":
            animated = True
        elif kind == b"fcTL":
            if not pixels:
                return data  # the default image is the first frame
            size = content[4:12]
        elif kind == b"IDAT":
            if not animated:
                return data
            pixels = True
        elif not pixels and kind != b"IHDR":
            before.append(_chunk(kind, content))
    if not frame:
        return data
    header = _chunk(b"IHDR", size + data[24:29])
    return b"".join((data[:8], header, *before, *frame, _chunk(b"IEND", b"")))


def check_whole(image: Image.Image, data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """The image, and a warning if the file lacks the chunk that ends it.

    Raises:
        InvalidImage: a checksum of pixels is wrong, which Pillow does not look at.
    """
    controls = 0
    for kind, begin, end in _chunks(data):
        controls += kind == b"fcTL"
        if controls == _FURTHER:
            break
        if kind in _PIXELS and end + 4 <= len(data):
            checksum = zlib.crc32(memoryview(data)[begin - 4 : end])
            if checksum.to_bytes(4, "big") != data[end : end + 4]:
                raise InvalidImage("The PNG image is damaged: the checksum of its pixels is wrong.")
    ended = any(kind == b"IEND" and end + 4 <= len(data) for kind, _, end in _chunks(data))
    return image, () if ended else (END_MISSING,)


def check_rows(image: Image.Image, data: bytes) -> None:
    """Rejects an image whose stream of pixels ends too early, of which Pillow leaves the missing rows black.

    Raises:
        InvalidImage: rows are missing.
    """
    if _ends_black(image) and _lacks_pixels(data):
        raise InvalidImage("The PNG image is truncated: rows of its pixels are missing.")


def _ends_black(image: Image.Image) -> bool:
    """Whether one of the last two rows has zeros only; one of them is sent last, interlaced or not."""
    last = image.crop((0, max(0, image.height - 2), image.width, image.height))
    return any(not any(last.crop((0, row, last.width, row + 1)).tobytes()) for row in range(last.height))


def _lacks_pixels(data: bytes) -> bool:
    """Whether the stream of the (first) picture holds fewer bytes than its rows have."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    bits, color, interlaced = data[24], data[25], data[28]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    missing = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            missing += rows * (1 + -(-columns * bits * _SAMPLES[color] // 8))
    unpacker = zlib.decompressobj()
    for kind, begin, end in _chunks(data):
        piece = data[begin:end] if kind == b"IDAT" else b""
        while piece and missing > 0 and not unpacker.eof:
            missing -= len(unpacker.decompress(piece, _PIECE_BYTES))
            piece = unpacker.unconsumed_tail
    return missing > 0


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk, and where its content begins and ends, up to the chunk that ends the file."""
    at, kind = 8, b""
    while at + 12 <= len(data) and kind != b"IEND":
        kind, begin = data[at + 4 : at + 8], at + 8
        at = begin + int.from_bytes(data[at : at + 4], "big") + 4
        yield kind, begin, at - 4


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + checksum.to_bytes(4, "big")


def read_cicp(data: bytes) -> CodePoints | None:
    """The code points of the chunk ``cICP``, which stands before the pixels; None without one."""
    for kind, begin, end in _chunks(data):
        if kind == b"IDAT":
            break
        if kind == b"cICP" and end - begin == 4 and end <= len(data):
            primaries, transfer, matrix, full_range = data[begin:end]
            return CodePoints("cICP", primaries, transfer, matrix, bool(full_range))
    return None


PNG: Final = ImageFormat(
    name="PNG",
    pillow=("PNG",),
    mime="image/png",
    suffixes=(".png",),
    fidelity=LOSSLESS,
    bytes_per_pixel=26,
    signatures=(b"\x89PNG\r\n\x1a\n",),
    too_many_pieces=too_many_chunks,
    count_frames=count_png_frames,
    prepared=shown_picture,
    decode=check_whole,
    check_pixels=check_rows,
    code_points=read_cicp,
)
