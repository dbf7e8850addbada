"""Whether a line of colored letters lies on a picture, with or without an outline: the caption of a meme.

Letters have one color: most of their pixels are within a few levels of it, whatever the codec. They have
sharp borders, and many of them across each of several neighboring rows. Nine measures of the most frequent
saturated colors at sharp borders are weighed by a logistic regression.

``python -m tests.benchmarks.captions`` learns and measures. Of 622 held-out photographs none is taken for one
with a caption; of 274 held-out ones with captions in twelve colors, outlined and not, in PNG, JPEG, WebP and
AVIF, 99.3 % are recognized.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

_Plane = NDArray[np.bool_]
_Planes = NDArray[np.int16]

_ROWS: Final = 80
_COLUMNS: Final = 1024
_COLORED: Final = 90  # between the largest and the smallest channel, of 255
_CONTRAST: Final = 80  # across a border, in one channel
_BORDER: Final = 4  # pixels; saturated color is blurred by half the resolution that many codecs give it
_INK: Final = 24  # from the color of the letters
_EXACT: Final = 10
_AROUND: Final = 70
_CANDIDATES: Final = 2
_LEAST_PIXELS: Final = 100
_LEAST_CHANGES: Final = 8
_LEAST_WIDTH: Final = 0.3
_LEAST_ROWS: Final = 3

# Mean, standard deviation and weight of each measure, in the order of `_measures_of`.
_MEASURES: Final = np.array([
    (-2.3126, 0.6002, -0.2658),  # height of the line
    (0.6352, 0.2776, 1.1568),  # pixels of that color, of those around it
    (0.5386, 0.2927, 0.9370),  # pixels of exactly that color
    (0.1960, 0.1002, -0.6900),  # share of the line
    (0.0564, 0.5269, 0.5750),  # width of strokes
    (0.7608, 0.4422, -0.5077),  # how much it varies
    (1.8325, 0.5570, 0.3463),  # saturation
    (0.5174, 0.2922, 0.3119),  # of all pixels of that color, those in the line
    (3.0915, 0.5098, 2.0278),  # borders across a row
])  # fmt: skip
_THRESHOLD: Final = -1.02  # 3 of the 1,776 photographs that were learned from are above it, 2 with writing


def has_colored_caption(pixels: NDArray[np.uint8]) -> bool:
    """Whether a line of large letters in one saturated color lies on the ``(H, W, 3)`` uint8 pixels.

    Looks at 80 rows of 1,024 pixels at most.
    """
    mean, deviation, weight = _MEASURES.T
    return any(((measures - mean) / deviation) @ weight > _THRESHOLD for measures in caption_measures(pixels))


def caption_measures(pixels: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """The measures of each color that may be that of letters; none for most photographs."""
    tall, wide = math.ceil(pixels.shape[0] / _ROWS), math.ceil(pixels.shape[1] / _COLUMNS)
    sample = pixels[tall // 2 :: tall, ::wide]
    if min(sample.shape[:2]) < 2 * _BORDER:
        return []
    red, green, blue = (np.ascontiguousarray(sample[..., channel]) for channel in range(3))
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    colored = highest - lowest >= _COLORED
    wanted = _spread(np.count_nonzero(colored, axis=1) >= _LEAST_CHANGES)
    if not wanted.any():
        return []
    planes = np.stack([red, green, blue])[:, wanted].astype(np.int16)
    colored = colored[wanted]
    sharp = np.zeros(colored.shape, bool)
    borders = (np.abs(planes[:, :, _BORDER:] - planes[:, :, :-_BORDER]) >= _CONTRAST).any(axis=0)
    sharp[:, :-_BORDER], sharp[:, _BORDER:] = borders, sharp[:, _BORDER:] | borders
    sharp &= colored
    if not _spread(np.count_nonzero(sharp, axis=1) >= _LEAST_CHANGES).any():
        return []
    measured = (_measures_of(planes, color) for color in _inks(planes, sharp))
    return [each for each in measured if each is not None]


def _spread(rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those of the rows that have as many of them in a row as a line of letters."""
    padded = np.concatenate([[False], rows, [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1])
    kept = np.zeros(rows.shape, bool)
    for begin, end in changes.reshape(-1, 2):
        kept[begin:end] = end - begin >= _LEAST_ROWS
    return kept


def _inks(planes: _Planes, sharp: _Plane) -> list[NDArray[np.int16]]:
    """The most frequent colors of these pixels."""
    coarse = planes >> 4
    key = (coarse[0] << 8) | (coarse[1] << 4) | coarse[2]
    counts = np.pad(np.bincount(key[sharp], minlength=4096).reshape(16, 16, 16), 1)
    around = sum(
        counts[red : red + 16, green : green + 16, blue : blue + 16]
        for red, green, blue in np.ndindex(3, 3, 3)
    )
    assert not isinstance(around, int)
    found = []
    for _ in range(_CANDIDATES):
        place = np.unravel_index(int(around.argmax()), around.shape)
        if around[place] < _LEAST_PIXELS:
            break
        near = (np.abs(coarse - np.array(place)[:, None, None]) <= 1).all(axis=0)
        found.append(np.array([np.median(plane[near]) for plane in planes], np.int16))
        around[tuple(slice(max(0, each - 2), each + 3) for each in place)] = 0
    return found


def _measures_of(planes: _Planes, ink: NDArray[np.int16]) -> NDArray[np.float64] | None:
    """What letters of this color would be like; None where no rows have enough of them."""
    distance = np.abs(planes - ink[:, None, None]).max(axis=0)
    inked, other = distance <= _INK, distance >= _CONTRAST
    edges = (inked[:, :-_BORDER] & other[:, _BORDER:]) | (other[:, :-_BORDER] & inked[:, _BORDER:])
    begins = edges.copy()
    begins[:, 1:] &= ~edges[:, :-1]
    changes = np.count_nonzero(begins, axis=1)
    width = edges.shape[1]
    reach = width - edges[:, ::-1].argmax(axis=1) - edges.argmax(axis=1)
    lettered = (changes >= _LEAST_CHANGES) & (reach > _LEAST_WIDTH * planes.shape[2])
    gaps = np.flatnonzero(~np.concatenate([[False], lettered, [False]]))
    longest = int(np.diff(gaps).argmax())
    rows = slice(gaps[longest], gaps[longest + 1] - 1)
    height = rows.stop - rows.start
    strokes = _runs(inked[rows])
    if height < _LEAST_ROWS or not strokes.size:
        return None
    within = inked[rows].sum()
    stroke = np.median(strokes)
    return np.array([
        math.log(height / _ROWS), within / max(1, np.count_nonzero(distance[rows] <= _AROUND)),
        np.count_nonzero(distance[rows] <= _EXACT) / max(1, within), within / inked[rows].size,
        math.log(0.1 + 100 * stroke / planes.shape[2]), math.log(np.quantile(strokes, 0.9) / stroke),
        (ink.max() - ink.min()) / 100, within / max(1, inked.sum()), math.log(np.median(changes[rows])),
    ])  # fmt: skip


def _runs(inked: _Plane) -> NDArray[np.int64]:
    """Lengths of the runs of two pixels and more along the rows."""
    steps = np.diff(np.pad(inked.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    lengths = np.nonzero(steps == -1)[1] - np.nonzero(steps == 1)[1]
    runs: NDArray[np.int64] = lengths[lengths > 1]
    return runs
