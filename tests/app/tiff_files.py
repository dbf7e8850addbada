"""TIFF files as no encoder at hand writes them, with previews and directories below others."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FORMS = {"B": 1, "H": 3, "I": 4}

Entries = dict[int, tuple[str, Sequence[int]]]
"""Form and values of the entries of a directory by tag."""


def tiff_picture(
    pixels: NDArray[np.generic], kind: int = 0, **others: Sequence[int]
) -> tuple[Entries, bytes]:
    """The entries of a picture, and its only strip.

    Args:
        pixels: ``(H, W, 3)`` or ``(H, W)``.
        kind: NewSubfileType.
        others: further entries of 16 bits, by ``t`` and the number of their tag.
    """
    bands = 1 if pixels.ndim == 2 else 3
    entries: Entries = {
        254: ("I", [kind]),
        256: ("I", [pixels.shape[1]]),
        257: ("I", [pixels.shape[0]]),
        258: ("H", [8 * pixels.itemsize] * bands),
        259: ("H", [1]),
        262: ("H", [1 if bands == 1 else 2]),
        277: ("H", [bands]),
        278: ("I", [pixels.shape[0]]),
        339: ("H", [{"u": 1, "i": 2, "f": 3, "c": 6}[pixels.dtype.kind]] * bands),
    }
    return entries | {int(tag[1:]): ("H", values) for tag, values in others.items()}, pixels.tobytes()


def tiff_file(
    pages: Sequence[tuple[Entries, bytes]], below: Sequence[tuple[Entries, bytes]] = (), *, order: str = "<"
) -> bytes:
    """A TIFF file of these pages; `below` are pictures under the first one (SubIFDs)."""
    data = (b"II*\0" if order == "<" else b"MM\0*") + bytes(4)

    def write(picture: tuple[Entries, bytes], more: Entries) -> tuple[int, int]:
        """Where the directory begins, and where its offset of the next one is."""
        nonlocal data
        entries, strip = picture
        entries = entries | {273: ("I", [len(data)]), 279: ("I", [len(strip)])} | more
        data += strip + bytes(len(strip) % 2)
        written = b""
        for tag, (form, values) in sorted(entries.items()):
            packed = struct.pack(f"{order}{len(values)}{form}", *values)
            if len(packed) > 4:
                at, data = len(data), data + packed + bytes(len(packed) % 2)
                packed = struct.pack(order + "I", at)
            written += struct.pack(order + "HHI", tag, _FORMS[form], len(values)) + packed.ljust(4, b"\0")
        begin = len(data)
        data += struct.pack(order + "H", len(entries)) + written + bytes(4)
        return begin, len(data) - 4

    offsets = [write(picture, {})[0] for picture in below]
    link = 4
    for number, page in enumerate(pages):
        more: Entries = {330: ("I", offsets)} if offsets and not number else {}
        begin, following = write(page, more)
        data = data[:link] + struct.pack(order + "I", begin) + data[link + 4 :]
        link = following
    return data
