"""Parts of an image at its native size: what shows blur and noise of a pixel's size.

A large image is scaled down before a model sees it, and faults of a pixel's size vanish. They show in the
parts with the most gradient energy: there a sharp image has detail of a pixel's size, and an enlarged one has
none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.decode import Size

SIDE: Final = 384
"""Of a tile, in pixels; smaller where an image is."""
MOST: Final = 3
"""Tiles of an image."""

_ROW_STEP: Final = 8  # of a tile, every eighth row is looked at


@dataclass(frozen=True)
class TileBox:
    """Where a tile lies, in pixels of the upright image."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Tile:
    """A part of an image.

    Attributes:
        place: where it lies.
        pixels: ``(height, width, 3)`` uint8 sRGB, as they were decoded.
    """

    place: TileBox
    pixels: NDArray[np.uint8]


def tile_sizes(size: Size) -> list[Size]:
    """The sizes of the tiles of an image of that size; at least one tile."""
    side = _tile_size(size)
    count = (size[0] // side[0]) * (size[1] // side[1])
    return [side] * min(MOST, count)


def with_most_detail(pixels: NDArray[np.uint8]) -> tuple[Tile, ...]:
    """The tiles with the most gradient energy, the one with the most first.

    Tiles lie beside one another in the middle of the image. The gradient is that of green between neighboring
    pixels, on every eighth row.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB at native size.
    """
    height, width = pixels.shape[:2]
    wide, tall = _tile_size((width, height))
    lefts = [width % wide // 2 + number * wide for number in range(width // wide)]
    tops = [height % tall // 2 + number * tall for number in range(height // tall)]
    energies = np.array([_energies(pixels[top : top + tall], lefts, wide) for top in tops])
    best = np.argsort(-energies, axis=None, kind="stable")[:MOST]  # of equals, the upper left one
    tiles = []
    for row, column in zip(*np.unravel_index(best, energies.shape), strict=True):
        place = TileBox(lefts[column], tops[row], wide, tall)
        part = pixels[place.top : place.top + tall, place.left : place.left + wide]
        tiles.append(Tile(place, np.ascontiguousarray(part)))
    return tuple(tiles)


def _tile_size(size: Size) -> Size:
    return min(SIDE, size[0]), min(SIDE, size[1])


def _energies(band: NDArray[np.uint8], lefts: Sequence[int], width: int) -> NDArray[np.float64]:
    """The gradient energy of each tile in a band of rows."""
    green = band[..., 1]
    # Sums of so few squares are whole numbers that float32 holds exactly.
    rows = green[: len(green) - 1 : _ROW_STEP].astype(np.float32)
    down = green[1::_ROW_STEP] - rows
    across = rows[:, 1:] - rows[:, :-1]
    columns = np.einsum("ij,ij->j", down, down).astype(np.float64)
    columns[:-1] += np.einsum("ij,ij->j", across, across)
    return np.array([columns[left : left + width].sum() for left in lefts])
