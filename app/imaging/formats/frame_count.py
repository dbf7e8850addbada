"""How many frames or pages a file has, where Pillow would take long to count them.

Pillow parses every frame of a GIF file and every directory of a TIFF file for that: minutes, for files made
of nothing else. Here their chains are followed without looking at what hangs on them, and no further than to
the first one too many.
"""

import struct
from typing import Final

_GIF_HEADER: Final = 13  # signature, size of the screen, three bytes about it
_GIF_DESCRIPTOR: Final = 9  # of a frame: its place and size, and a byte about its palette
_MOST_STEPS: Final = 300_000
"""Through a GIF file: some 75 MB in blocks of the usual length; no encoder writes much shorter ones."""


def count(format: str, data: bytes, most: int) -> int | None:
    """Frames of a file; what is over `most` may come out as ``most + 1``.

    Args:
        format: Pillow's name of it.
        data: of the file.
        most: that are of interest.

    Returns:
        The number, at least 1; None for a format that Pillow itself counts by its header.
    """
    if format == "GIF":
        return _count_gif(data, most)
    if format == "TIFF":
        return _count_tiff(data, most)
    return None


def _count_gif(data: bytes, most: int) -> int:
    """Frame descriptors up to the trailer, or to where the file breaks off."""
    position, frames, steps = _GIF_HEADER + _palette_bytes(data[10:11]), 0, 0
    while position < len(data) and frames <= most:
        if steps > _MOST_STEPS:
            return most + 1
        kind = data[position]
        steps += 1
        if kind == 0x2C:
            frames += 1
            position += 1 + _GIF_DESCRIPTOR + _palette_bytes(data[position + 9 : position + 10])
            position += 1  # how long the codes are at first
        elif kind == 0x21:
            position += 2  # and what it extends
        elif kind == 0x3B:
            break
        else:  # Pillow too looks on behind what it does not know
            position += 1
            continue
        # What follows comes in blocks, each with its length before it, up to an empty one.
        while position < len(data) and (length := data[position]) and steps <= _MOST_STEPS:
            position += 1 + length
            steps += 1
        position += 1
    return max(1, frames)


def _palette_bytes(flags: bytes) -> int:
    """Length of the palette that such a byte announces."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _count_tiff(data: bytes, most: int) -> int:
    """Directories, up to the end of their chain, to where it leaves the file, or to where it goes round."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in (data[2], data[3])
    offset, number, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    frames, at = 0, _read(data, order + offset, 8 if big else 4)
    met: set[int] = set()
    while at and at not in met and frames <= most:
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
