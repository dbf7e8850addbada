"""The directories of a TIFF file (TIFF 6.0, BigTIFF): what each says of its picture, without decoding it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

REDUCED: Final = 1
"""The bit of NewSubfileType that marks a reduced copy of another picture."""
_MASK: Final = 4
_OLD_REDUCED: Final = 2

# Tags.
KIND, OLD_KIND, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
MAKE, SAMPLES, PLANAR, SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = (
    271, 277, 284, 330, 338, 339, 50706,
)  # fmt: skip

_FORMS: Final = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}
"""Types of entries whose values are whole numbers, as :mod:`struct` knows them."""
_MAX_VALUES: Final = 64
_MAX_ENTRIES: Final = 4096  # cameras write up to about a hundred
_MAX_DIRECTORIES: Final = 64  # that are looked at; a page has one


@dataclass(frozen=True)
class Directory:
    """A directory.

    Attributes:
        data: the file.
        at: where it begins in the file.
    """

    data: bytes
    at: int

    def values(self, tag: int) -> tuple[int, ...]:
        """The whole numbers under a tag, up to 64; empty where there are none."""
        entry = self._entries.get(tag)
        return () if entry is None else _values(self.data, entry)

    def value(self, tag: int, default: int = 0) -> int:
        """The first number under a tag."""
        return next(iter(self.values(tag)), default)

    @property
    def pixels(self) -> int:
        return self.value(WIDTH) * self.value(HEIGHT)

    @property
    def reduced(self) -> bool:
        """Whether its picture is a preview of another."""
        return bool(self.value(KIND) & REDUCED) or self.value(OLD_KIND) == _OLD_REDUCED

    @property
    def mask(self) -> bool:
        """Whether its picture says which parts of another are transparent."""
        return bool(self.value(KIND) & _MASK)

    @cached_property
    def _entries(self) -> dict[int, int]:
        """Where the entry of each tag begins."""
        layout = _layout(self.data)
        number = min(layout.read(self.data, layout.number, self.at), _MAX_ENTRIES)
        begin = self.at + struct.calcsize(layout.number)
        starts = (begin + layout.entry_bytes * index for index in range(number))
        return {layout.read(self.data, "H", start): start for start in reversed([*starts])}


@dataclass(frozen=True)
class Layout:
    """How the numbers of a file are written.

    Attributes:
        order: of bytes, as :mod:`struct` knows it.
        offset, number: forms of an offset, and of the number of entries.
        entry_bytes: length of an entry.
        first: where the offset of the first directory is.
    """

    order: str
    offset: str
    number: str
    entry_bytes: int
    first: int

    def read(self, data: bytes, form: str, at: int) -> int:
        """The number at that place, 0 outside the file."""
        if at + struct.calcsize(form) > len(data):
            return 0
        return int(struct.unpack_from(self.order + form, data, at)[0])

    def beginning_with(self, data: bytes, directory: Directory) -> bytes:
        """The file with that directory as its first one."""
        end = self.first + struct.calcsize(self.offset)
        return data[: self.first] + struct.pack(self.order + self.offset, directory.at) + data[end:]


def first_directories(data: bytes) -> list[Directory]:
    """The pages of a file in their order, each with those below it behind it; 64 at most."""
    layout = _layout(data)
    found: dict[int, Directory] = {}
    for page in _chain(data, layout, layout.read(data, layout.offset, layout.first)):
        found.setdefault(page.at, page)
        for below in page.values(SUB_DIRECTORIES):
            found.setdefault(below, Directory(data, below))
        if len(found) >= _MAX_DIRECTORIES:
            break
    return list(found.values())[:_MAX_DIRECTORIES]


def begin_with(data: bytes, directory: Directory) -> bytes:
    """The file with that directory as its first one."""
    return _layout(data).beginning_with(data, directory)


def _chain(data: bytes, layout: Layout, at: int) -> Iterator[Directory]:
    met: set[int] = set()
    while at and at not in met:
        met.add(at)
        number = layout.read(data, layout.number, at)
        if not number:
            return
        yield Directory(data, at)
        end = at + struct.calcsize(layout.number) + number * layout.entry_bytes
        at = layout.read(data, layout.offset, end)


def _values(data: bytes, entry: int) -> tuple[int, ...]:
    layout = _layout(data)
    form = _FORMS.get(layout.read(data, "H", entry + 2), "")
    count = min(layout.read(data, layout.offset, entry + 4), _MAX_VALUES)
    if not form or not count:
        return ()
    at = entry + 4 + struct.calcsize(layout.offset)
    size = struct.calcsize(form)
    if count * size > struct.calcsize(layout.offset):  # too long for the entry itself
        at = layout.read(data, layout.offset, at)
    return tuple(layout.read(data, form, at + size * index) for index in range(count))


def _layout(data: bytes) -> Layout:
    order = "<" if data[:2] == b"II" else ">"
    if 43 in (data[2], data[3]):
        return Layout(order, "Q", "Q", 20, 8)
    return Layout(order, "I", "H", 12, 4)
