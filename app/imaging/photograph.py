"""Whether a picture is a photograph as a camera took it: no drawing, and no caption over or beside it."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.colored_caption import has_colored_caption
from app.imaging.drawn import looks_drawn

# Captions of memes are white with a black outline, or black and white on bars. Of 622 photographs of two
# collections that no limit was chosen by, none has a caption by these limits, and of those with a small stamp
# of date or name 1.6 % do; of the 1,866 memes that code made of them, 99.6 % do.
_WHITE: Final = 235
_BLACK: Final = 40
_EDGE: Final = 4
_ROWS: Final = 160
_COLUMNS: Final = 1024
_LEAST_CHANGES: Final = 10
_LEAST_WIDTH: Final = 0.35
_LEAST_HEIGHT: Final = 0.03


def is_photograph(pixels: NDArray[np.uint8], *, uniform: bool | None = None) -> bool:
    """Whether pixels are a photograph, or too few or too uniform to tell.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB.
        uniform: as :func:`looks_drawn` takes it.
    """
    return not (has_caption(pixels) or has_colored_caption(pixels) or looks_drawn(pixels, uniform=uniform))


def has_caption(pixels: NDArray[np.uint8]) -> bool:
    """Whether a line of large letters in black and white lies on the ``(H, W, 3)`` uint8 pixels.

    A row through such a line changes between black and white at least ten times, each within four pixels,
    over a third of the width. In a caption neighboring rows do so for 3 % of the height and more; stamps of
    date and time are narrower. Looks at 160 rows of 1,024 pixels at most.
    """
    height, width = pixels.shape[:2]
    tall, wide = math.ceil(height / _ROWS), math.ceil(width / _COLUMNS)
    red, green, blue = (np.ascontiguousarray(pixels[::tall, ::wide, channel]) for channel in range(3))
    white = np.minimum(np.minimum(red, green), blue) >= _WHITE
    black = np.maximum(np.maximum(red, green), blue) <= _BLACK
    rows, columns = white.shape
    places = np.flatnonzero(white | black)
    bright = white.ravel()[places]
    row = places // columns
    edges = (bright[1:] != bright[:-1]) & (np.diff(places) <= _EDGE) & (row[1:] == row[:-1])
    ends = places[1:][edges]
    first, behind = (np.searchsorted(ends, np.arange(rows) * columns + add) for add in (0, columns))
    changes = behind - first
    lettered = changes >= _LEAST_CHANGES
    lettered[lettered] = ends[behind[lettered] - 1] - ends[first[lettered]] >= _LEAST_WIDTH * columns
    gaps = np.flatnonzero(~np.concatenate([[False], lettered, [False]]))
    return bool(np.diff(gaps).max() - 1 >= _LEAST_HEIGHT * rows)
