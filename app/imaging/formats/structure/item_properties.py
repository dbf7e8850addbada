"""The properties of the main picture of an AVIF or HEIC file (ISO/IEC 23008-12).

Other pictures of the container, thumbnails and gain maps, have properties of their own, so a property is
looked up by the number of the picture.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from app.imaging.formats.structure.boxes import boxes
from models.color.description import CodePoints

_MAX_PROPERTIES: Final = 2**15  # more cannot be named
_MAX_PICTURES: Final = 2**16


def main_item_properties(meta: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each property of the main picture, in the order in which they apply.

    Args:
        meta: the box ``meta`` with its header, maybe damaged.
    """
    children = dict(_children(meta, 12))
    number = int.from_bytes(children.get(b"pitm", b"")[4:], "big")
    lists = dict(_children(children.get(b"iprp", b"")))
    properties = list(_children(lists.get(b"ipco", b"")))
    for index in _associated(lists.get(b"ipma", b""), number):
        if 1 <= index <= len(properties):
            yield properties[index - 1]


def read_nclx(meta: bytes) -> CodePoints | None:
    """The code points of the main picture's box ``colr``; None without one."""
    for name, content in main_item_properties(meta):
        if name == b"colr" and content[:4] == b"nclx" and len(content) >= 10:
            primaries, transfer, matrix = (int.from_bytes(content[at : at + 2], "big") for at in (4, 6, 8))
            return CodePoints("nclx", primaries, transfer, matrix)
    return None


def _children(content: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    for name, at, end in islice(boxes(content[start:]), _MAX_PROPERTIES):
        header = 16 if content[start + at : start + at + 4] == b"\0\0\0\1" else 8
        yield name, content[start + at + header : start + end]


def _associated(table: bytes, item: int) -> Iterator[int]:
    """Numbers of the item's properties, from the content of the box ``ipma``; the first property is 1."""
    id_bytes = 4 if table[:1] > b"\0" else 2
    index_bytes = 2 if table[3:4] and table[3] & 1 else 1
    essential = 1 << (8 * index_bytes - 1)
    at = 8
    for _ in range(min(int.from_bytes(table[4:8], "big"), _MAX_PICTURES)):
        if at >= len(table):
            return
        number = int.from_bytes(table[at : at + id_bytes], "big")
        count = int.from_bytes(table[at + id_bytes : at + id_bytes + 1], "big")
        at += id_bytes + 1
        if number == item:
            for place in range(at, at + count * index_bytes, index_bytes):
                yield int.from_bytes(table[place : place + index_bytes], "big") & ~essential
        at += count * index_bytes
