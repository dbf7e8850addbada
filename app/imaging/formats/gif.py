"""GIF files, still and animated."""

from typing import Final

from PIL import Image

from app.imaging.formats.image_format import END_MISSING, ImageFormat

_HEADER: Final = 13  # signature, size of the screen, three bytes about it
_DESCRIPTOR: Final = 9  # of a frame: its place and size, and a byte about its palette
_MAX_STEPS: Final = 300_000
"""Blocks that are followed: some 75 MB in blocks of the usual length; no encoder writes much shorter ones."""


def count_gif_frames(data: bytes, maximum: int) -> int:
    """Counts frame descriptors up to the trailer, or up to where the file breaks off.

    Pillow parses every frame for that, which takes minutes for a file that holds only frames.
    """
    return _follow(data, maximum)[0]


def note_missing_trailer(image: Image.Image, data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """The image, and a warning if the file breaks off before its trailer."""
    return image, () if _follow(data, len(data))[1] else (END_MISSING,)


def _follow(data: bytes, maximum: int) -> tuple[int, bool]:
    """The number of frames, at most `maximum` + 1, and whether the file has its trailer (or is too long)."""
    position, frames, steps = _HEADER + _palette_bytes(data[10:11]), 0, 0
    while position < len(data) and frames <= maximum:
        if steps > _MAX_STEPS:
            return maximum + 1, True
        kind = data[position]
        steps += 1
        if kind == 0x2C:
            frames += 1
            position += 1 + _DESCRIPTOR + _palette_bytes(data[position + 9 : position + 10])
            position += 1  # the initial length of the codes
        elif kind == 0x21:
            position += 2  # with the kind of the extension
        elif kind == 0x3B:
            return max(1, frames), True
        else:  # Pillow too searches on behind a byte that it does not know
            position += 1
            continue
        # What follows comes in blocks, each with its length before it, up to an empty one.
        while position < len(data) and (length := data[position]) and steps <= _MAX_STEPS:
            position += 1 + length
            steps += 1
        position += 1
    return max(1, frames), False


def _palette_bytes(flags: bytes) -> int:
    """Length of the palette that such a byte announces."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


GIF: Final = ImageFormat(
    name="GIF",
    pillow=("GIF",),
    mime="image/gif",
    suffixes=(".gif",),
    bytes_per_pixel=20,
    signatures=(b"GIF87a", b"GIF89a"),
    count_frames=count_gif_frames,
    decode=note_missing_trailer,
)
