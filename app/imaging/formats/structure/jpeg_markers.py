"""What the markers of a JPEG file (ITU-T T.81) say of its kind and of its scans."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TABLES: Final = frozenset({0xC4, 0xC8, 0xCC})
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - _TABLES | {0xF7}  # the last one is JPEG-LS
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
_ARITHMETIC: Final = frozenset({0xC9, 0xCA, 0xCB})
_DECODED: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
_DECODED_BITS: Final = 8
_SCAN: Final = 0xDA
_END: Final = 0xD9
_MARKER: Final = re.compile(rb"\xff[\x02-\xcf\xda-\xfe]|\xff\xd9")  # no stuffed byte, restart or fill byte
_COEFFICIENTS: Final = 64
_NEVER: Final = 255


@dataclass(frozen=True)
class Frame:
    """The header of a frame.

    Attributes:
        marker: that begins it; says how the picture is coded.
        bits: of a sample.
        components: their numbers.
    """

    marker: int
    bits: int
    components: tuple[int, ...]

    @property
    def progressive(self) -> bool:
        return self.marker in _PROGRESSIVE

    @property
    def arithmetic(self) -> bool:
        """Whether the coefficients are in arithmetic code, whose decoder reads zeros where the data ends."""
        return self.marker in _ARITHMETIC

    @property
    def kind_not_decoded(self) -> str:
        """A kind that no decoder here knows, in a few words, or ''."""
        if self.marker not in _DECODED:
            return "JPEG-LS" if self.marker == 0xF7 else "hierarchical or arithmetic-coded lossless JPEG"
        return "" if self.bits == _DECODED_BITS else f"JPEG with {self.bits} bits a sample"


def frame_of(data: bytes) -> Frame | None:
    """The header of the first frame of a file; None if the file ends before it."""
    return next((_frame(marker, segment) for marker, segment in _segments(data) if marker in _FRAMES), None)


def lacks_scans(data: bytes) -> bool:
    """Whether a component has no scan or, in a progressive file, a bit of a coefficient is in no scan.

    Sequential files with one scan, nearly all, are known by their headers; others are searched for markers.
    """
    frame: Frame | None = None
    lowest_bits: dict[int, NDArray[np.uint8]] = {}  # of each component's coefficients; those that were sent
    for marker, segment in _segments(data):
        if marker in _FRAMES and frame is None:
            frame = _frame(marker, segment)
            lowest_bits = {each: np.full(_COEFFICIENTS, _NEVER, np.uint8) for each in frame.components}
        elif marker == _SCAN and frame is not None and len(segment) >= 4:
            components, (first, last, bits) = segment[1:-3:2], segment[-3:]
            for component in components:
                if component in lowest_bits and frame.progressive:
                    lowest_bits[component][first : last + 1] = bits & 15
                elif component in lowest_bits:
                    lowest_bits[component][:] = 0
            if not frame.progressive and not _lacking(lowest_bits):
                return False
        elif marker == _END:
            break
    return _lacking(lowest_bits)


def _lacking(lowest_bits: dict[int, NDArray[np.uint8]]) -> bool:
    return any(each.any() for each in lowest_bits.values())


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment; coded data is skipped."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        at = found.end()
        length = int.from_bytes(data[at : at + 2], "big")
        marker = data[at - 1]
        if marker == _END:
            yield marker, b""
            continue
        yield marker, data[at + 2 : at + length]
        at += max(2, length)


def _frame(marker: int, segment: bytes) -> Frame:
    return Frame(marker, segment[0] if segment else 0, tuple(segment[6::3]))
