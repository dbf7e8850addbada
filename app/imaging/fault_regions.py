"""The part of a picture that has a fault which the rest has not, by plain measures of cells of 32 pixels.

A cell has a badness for each fault:

- blur: the logarithm of coarse gradient energy (between means of 4 x 4 pixels) over that between pixels,
  where there is enough of the former. Blur takes fine gradients away and leaves coarse ones.
- noise: the logarithm of the mean response to the mask of Immerkaer (Fast noise variance estimation, 1996),
  which edges and gradients hardly touch.
- underexposed: the negative logarithm of the mean of the brightest channel: what is red or blue is not dark.
- compression: the logarithm of the mean step at the borders of JPEG's blocks of 8 x 8 pixels over that
  within them, at the native size of the file.

What a part has at its best says whether all of it is bad: a soft half has no sharp cell, a noisy half no
quiet one. So a low quantile of the badness in one part is compared with that in the part opposite: left and
right, top and bottom, center and background. Cells near the border between both count for neither.

Whether anything is sharp, is told by edges: of the contrast of a cell, blur lets one step between pixels take
a small share only, whatever is in the picture.

The thresholds of parts were chosen on 60 pristine photographs of the training part with a half or the center
blurred, made noisy, compressed or darkened, and untouched; those of where softness ends and of fine grain on
half of the held-out photographs; those of sharp subjects, of blocks and of coarse grain on 1,800 photographs
of the training part, and on copies with blurred backgrounds, compressed, scaled and cropped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from app.imaging.metering import is_cut_out, strong_colors_and_contrast
from app.schemas.measured.regions import NO_REGIONS, FaultRegions
from models.faults import Region

_Values = NDArray[np.float64]
_Places = NDArray[np.bool_]

_CELL: Final = 32
_WINDOW: Final = 16
"""Side, in pixels, of what is looked at in the middle of a cell: a quarter says nearly as much as all."""
_COARSE: Final = 4
_MEANS: Final = np.kron(np.eye(_WINDOW // _COARSE), np.full((_COARSE, 1), 1 / _COARSE)).astype(np.float32)
"""What a row of a window is multiplied by for its coarse means."""
_BLOCK: Final = 8
_ROWS_OF_CELL: Final = 4
_LONGEST: Final = 768  # cells grow with pictures that are longer, so that there are never many
_FEWEST_ACROSS: Final = 5  # cells; in a thumbnail, chance alone makes halves differ
_FEWEST: Final = 4  # cells of a part, for a quantile to mean something

_TEXTURED: Final = 25.0
"""Coarse gradient energy, in squares of 255ths, from which a cell shows how sharp it is."""
_SHARP: Final = 1.0
"""Least badness, of blur, of the cells of a picture that is blurred all over."""
_STEEP: Final = 0.43
"""Least share of a cell's contrast that one step between pixels takes where something is sharp.

A blur by a Gaussian of sigma pixels leaves an edge at most 0.4 / sigma, and a thin line 0.6 / sigma.
"""
_CONTRAST: Final = 30.0
"""Least difference, in 255ths, between the brightest and the darkest pixel of such a cell."""
_OVER_NOISE: Final = 16.0
"""Least contrast in standard deviations of the picture's noise, whose steps are no edges."""
_SUBJECT_SIDE: Final = 5
_SUBJECT: Final = 3
"""Fewest cells with a steep step across, and with one down, in such a square where something is sharp.

Both, since motion leaves the edges along it as they are; close together, since sparks and grain are sharp
here and there in pictures that are blurred. Of photographs of the training part that people and bpclip find
bad, and bpclip blurred, 29 % are taken to have a sharp subject; 40 % by a share of all cells.
"""
_STAMPED: Final = (0.75, 0.33)
"""From which share of the height on, and how far from both sides, cameras print their name or the date."""
_SEPARATED: Final = 0.71
"""Area under ROC by which the softness of a part must tell its cells from those opposite."""
_STRIP: Final = 3  # cells on each side of the middle, between which softness that is a fault jumps
_JUMP: Final = 0.2
"""Least difference of the sharpest cells of both strips, along four fifths of the border between the halves.

A subject that reaches over the middle is sharp on both sides of it.
"""
_NEAR: Final = (0.05, 0.22)
_FAR: Final = 0.28
_GROWTH: Final = 0.35
"""Least increase of badness from what is near the middle to what is far of it, where distance is its cause.

Of 29 halves blurred on purpose 26 jump and do not grow; of 22 that look soft before or behind a subject, 6.
"""

_BESIDE: Final = 0.06
"""Of a side, how far from the middle the cells of a half begin."""
_INNER: Final = (0.22, 0.28)
_OUTER: Final = (0.38, 0.47)
"""Half axes, as shares of the sides. The center is within the inner one, the background beyond the outer."""

_GRAINY: Final = 2.2
"""Least badness, of noise, of four fifths of the cells of a picture with noise all over, or fine texture."""
_COARSE_GRAIN: Final = 3.0
"""Least mean response to the mask, of means of 2 x 2 pixels, of nine tenths of such cells."""
_EVEN: Final = 0.6
"""Least share of the median that it has there: texture is not everywhere alike."""
_FINE: Final = 0.55
"""Greatest share of it that the response of single pixels has, where grain was smoothed or scaled."""
_UNSEEN: Final = 1.0
"""Step, in 255ths, that nobody sees; added to all, it keeps those of smooth and dark places from counting."""
_HARDLY_SEEN: Final = 3.0
"""The same, where the blocks of all of a picture are to be seen."""
_BLOCKS: Final = 0.28
"""Least badness, of compression, of half of the cells where JPEG's blocks show all over the picture."""

_NO_BLOCKS: Final[tuple[Region, bool]] = ("whole", False)

_PAIRS: Final[tuple[tuple[Region, Region], ...]] = (
    ("left", "right"),
    ("top", "bottom"),
    ("center", "background"),
)


@dataclass(frozen=True)
class _Grid:
    """Rows and columns of cells."""

    rows: int
    columns: int

    @classmethod
    def over(cls, pixels: NDArray[np.uint8], cell: int) -> "_Grid":
        return cls(pixels.shape[0] // cell, pixels.shape[1] // cell)

    @property
    def has_halves(self) -> bool:
        return min(self.rows, self.columns) >= _FEWEST_ACROSS


@dataclass(frozen=True)
class _Cells:
    """Measures of the cells of a picture, each ``(rows * columns,)``.

    Attributes:
        blur: its badness.
        textured: where that counts.
        noise: its badness.
        coarse_grain: mean response to the mask of means of 2 x 2 pixels.
        dark: its badness.
        steep_across: where a step between pixels of a row takes much of the cell's contrast.
        steep_down: likewise, of a column.
    """

    blur: _Values
    textured: _Places
    noise: _Values
    coarse_grain: _Values
    dark: _Values
    steep_across: _Places
    steep_down: _Places


@dataclass(frozen=True)
class _Criterion:
    """When a part counts as bad.

    Attributes:
        quantile: of the badness, at which parts are compared.
        gap: least difference from the part opposite.
        least: least badness of the part at that quantile.
        rest: greatest median badness of the part opposite.
    """

    quantile: float
    gap: float
    least: float
    rest: float = math.inf


_BLUR: Final = _Criterion(0.1, 0.35, _SHARP)
_NOISE: Final = _Criterion(0.05, 1.0, 3.2)
_DARK: Final = _Criterion(0.1, 0.6, -math.log(105))
_BLOCKY: Final = _Criterion(0.4, 0.4, 0.3, rest=0.6)


def find_regions(pixels: NDArray[np.uint8], native: NDArray[np.uint8] | None) -> FaultRegions:
    """Where the faults of a picture lie, if it has them.

    It takes about 1.3 ms for 512 x 384 pixels.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, as a model sees them.
        native: likewise, at the size of the file, where JPEG's blocks lie; None where the picture was not
            decoded at that size.
    """
    grid = _Grid.over(pixels, _CELL)
    if not grid.has_halves:
        return NO_REGIONS
    cells = _measured(pixels, grid)
    everywhere = np.ones(cells.blur.size, np.bool_)
    blocky, blocks = _NO_BLOCKS if native is None else _blocky_part(native)
    vivid, contrasty = strong_colors_and_contrast(pixels)
    return FaultRegions(
        blur=_soft_part(cells.blur, cells.textured, grid),
        noise=_bad_part(cells.noise, everywhere, grid, _NOISE)[0],
        underexposed=_bad_part(cells.dark, everywhere, grid, _DARK)[0],
        compression=blocky,
        sharp_subject=_has_subject(cells, grid),
        blocks=blocks,
        grainy=_is_grainy(cells),
        cut_out=is_cut_out(pixels),
        vivid=vivid,
        contrasty=contrasty,
    )


def _measured(pixels: NDArray[np.uint8], grid: _Grid) -> _Cells:
    rows, columns = grid.rows, grid.columns
    count, start = rows * columns, (_CELL - _WINDOW) // 2
    green = pixels[: rows * _CELL, : columns * _CELL, 1].reshape(rows, _CELL, columns, _CELL)
    window = green[:, start : start + _WINDOW, :, start : start + _WINDOW]
    cells = window.transpose(0, 2, 1, 3).astype(np.float32).reshape(count, _WINDOW, _WINDOW)
    across = np.diff(cells, axis=2)
    down = np.diff(cells, axis=1)
    steps = _WINDOW * (_WINDOW - 1)
    fine = (np.einsum("nij,nij->n", across, across) + np.einsum("nij,nij->n", down, down)) / steps
    response = _mask_response(cells)
    pairs = cells[:, ::2] + cells[:, 1::2]
    coarse_grain = _mask_response((pairs[..., ::2] + pairs[..., 1::2]) / 4)
    # The mean response to noise alone is 4.79 times its standard deviation.
    deviation = _quantile(np.sort(response), 0.1) / 4.79
    contrast = cells.max(axis=(1, 2)) - cells.min(axis=(1, 2))
    least = np.where(contrast >= max(_CONTRAST, _OVER_NOISE * deviation), _STEEP * contrast, np.inf)
    steep = [np.abs(steps_of).max(axis=(1, 2)) >= least for steps_of in (across, down)]
    side = _WINDOW // _COARSE
    means = _MEANS.T @ (cells.reshape(-1, _WINDOW) @ _MEANS).reshape(count, _WINDOW, side)
    across, down = np.diff(means, axis=2), np.diff(means, axis=1)
    coarse = ((across**2).sum(axis=(1, 2)) + (down**2).sum(axis=(1, 2))) / (side * (side - 1))
    blur = np.log((coarse + 2) / (fine + 2))
    middle = slice(start, start + _WINDOW, _COARSE)
    colors = pixels[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL, 3)
    colors = colors[:, middle, :, middle].transpose(0, 2, 1, 3, 4).reshape(count, -1, 3)
    dark = -np.log(colors.mean(axis=1).max(axis=1) + 4)
    return _Cells(blur, coarse > _TEXTURED, np.log(response + 0.5), coarse_grain, dark, *steep)


def _mask_response(cells: NDArray[np.floating[Any]]) -> _Values:
    """The mean response of each cell to the mask [1 -2 1; -2 4 -2; 1 -2 1]."""
    # It is a second difference of columns and of rows.
    response = np.abs(np.diff(np.diff(cells, 2, axis=2), 2, axis=1)).reshape(len(cells), -1)
    mean: _Values = response.mean(axis=1)
    return mean


def _has_subject(cells: _Cells, grid: _Grid) -> bool:
    """Whether sharp cells lie close together somewhere, but for the lower corners."""
    steep = np.stack([cells.steep_across, cells.steep_down]).reshape(2, grid.rows, grid.columns)
    lowest, width = round(_STAMPED[0] * grid.rows), round(_STAMPED[1] * grid.columns)
    steep[:, lowest:, :width] = steep[:, lowest:, -width:] = False
    squares = sliding_window_view(steep, (_SUBJECT_SIDE, _SUBJECT_SIDE), axis=(1, 2))
    sharp = np.count_nonzero(squares, axis=(3, 4)).min(axis=0)
    return bool(sharp.max() >= _SUBJECT)


def _is_grainy(cells: _Cells) -> bool:
    """Whether there is noise all over the picture, or texture as fine; or coarse grain, alike everywhere."""
    noise, coarse = np.sort(cells.noise), np.sort(cells.coarse_grain)
    floor = _quantile(coarse, 0.1)
    return _quantile(noise, 0.2) >= _GRAINY or (
        floor >= _COARSE_GRAIN
        and floor >= _EVEN * _quantile(coarse, 0.5)
        and math.exp(_quantile(noise, 0.1)) <= _FINE * floor
    )


def _soft_part(blur: _Values, textured: _Places, grid: _Grid) -> Region:
    """The part that is soft, for another reason than its distance from a subject."""
    region, soft = _bad_part(blur, textured, grid, _BLUR)
    if region in ("whole", "background"):
        return "whole"
    parts = _parts(grid)
    rest = parts[_other(region)]
    if region != "center":
        if not _ends_abruptly(blur, textured, grid, region):
            return "whole"
        # A subject may fill a half; beside it, the sharp half of a picture is sharp as well.
        beside = rest & parts["background"] & textured
        if np.count_nonzero(beside) >= _FEWEST:
            rest = beside
    return region if _area_under_roc(blur[soft], blur[rest & textured]) >= _SEPARATED else "whole"


def _ends_abruptly(blur: _Values, textured: _Places, grid: _Grid, region: Region) -> bool:
    """Whether the softness of a half ends all along the middle, and is not deeper far of it."""
    lines = np.where(textured, blur, np.inf).reshape(grid.rows, grid.columns)
    if region in ("left", "right"):
        lines = lines.T
    if region in ("bottom", "right"):
        lines = lines[::-1]  # the soft half is the first one
    place = 0.5 - (np.arange(len(lines)) + 0.5) / len(lines)
    soft, sharp = (lines[side].min(axis=0) for side in (_strip(place), _strip(-place)))
    both = np.isfinite(soft) & np.isfinite(sharp)
    jumps = np.sort(soft[both] - sharp[both])
    if len(jumps) < _FEWEST or _quantile(jumps, 0.2) < _JUMP:
        return False
    near, far = (
        np.sort(lines[rows][np.isfinite(lines[rows])])
        for rows in ((place > _NEAR[0]) & (place < _NEAR[1]), place > _FAR)
    )
    return min(len(near), len(far)) < _FEWEST or _quantile(far, 0.2) - _quantile(near, 0.2) <= _GROWTH


def _strip(place: _Values) -> NDArray[np.intp]:
    """The rows of cells that come next to the middle, of the half where places are positive."""
    beyond = np.flatnonzero(place > _BESIDE)
    return beyond[np.argsort(place[beyond])[:_STRIP]]


def _blocky_part(pixels: NDArray[np.uint8]) -> tuple[Region, bool]:
    """The part with JPEG's blocks, and whether they show all over; four rows of each cell are looked at."""
    cell = _CELL * math.ceil(max(pixels.shape[:2]) / _LONGEST)
    grid = _Grid.over(pixels, cell)
    if not grid.has_halves:
        return _NO_BLOCKS
    rows, columns = grid.rows, grid.columns
    apart = cell // _ROWS_OF_CELL
    green = pixels[: rows * cell, : columns * cell, 1].reshape(rows, cell, -1)[:, apart // 2 :: apart]
    steps = np.zeros(green.shape, np.int16)
    steps[:, :, 1:] = np.abs(np.diff(green.astype(np.int16), axis=2))
    of_cells = steps.sum(axis=1, dtype=np.int32).reshape(rows * columns, cell // _BLOCK, _BLOCK)
    by_place = of_cells.sum(axis=1) / (_ROWS_OF_CELL * cell // _BLOCK)
    borders, within = by_place[:, 0], by_place[:, 2:7].mean(axis=1)
    badness = np.log((borders + _UNSEEN) / (within + _UNSEEN))
    region = _bad_part(badness, np.ones(badness.size, np.bool_), grid, _BLOCKY)[0]
    visible = np.log((borders + _HARDLY_SEEN) / (within + _HARDLY_SEEN))
    return region, float(np.median(visible)) >= _BLOCKS


def _bad_part(
    badness: _Values, counted: _Places, grid: _Grid, criterion: _Criterion
) -> tuple[Region, _Places]:
    """The part that is most clearly worse than the one opposite, "whole" for none; and its cells."""
    parts = _parts(grid)
    widest: tuple[float, Region, _Places] = (criterion.gap, "whole", counted)
    for one, other in _PAIRS:
        places = {name: parts[name] & counted for name in (one, other)}
        values = {name: np.sort(badness[each]) for name, each in places.items()}
        if min(map(len, values.values())) < _FEWEST:
            continue
        best = {name: _quantile(each, criterion.quantile) for name, each in values.items()}
        worse, better = (one, other) if best[one] > best[other] else (other, one)
        gap = best[worse] - best[better]
        if gap < widest[0] or best[worse] < criterion.least:
            continue
        if _quantile(values[better], 0.5) <= criterion.rest:
            widest = gap, worse, places[worse]
    return widest[1:]


def _quantile(ascending: _Values, share: float) -> float:
    """A value, without interpolation: numpy's own function takes longer than all else here."""
    return float(ascending[round(share * (len(ascending) - 1))])


def _area_under_roc(higher: _Values, lower: _Values) -> float:
    """How often a value of the first is above one of the second, in [0, 1]; 0 where there are too few."""
    if min(len(higher), len(lower)) < _FEWEST:
        return 0.0
    return float((np.sort(lower).searchsorted(higher) / len(lower)).mean())


def _other(region: Region) -> Region:
    return next(one if other == region else other for one, other in _PAIRS if region in (one, other))


@lru_cache(64)
def _parts(grid: _Grid) -> Mapping[Region, _Places]:
    """Which cells belong to each part."""
    rows, columns = grid.rows, grid.columns
    y, x = np.mgrid[0:rows, 0:columns]
    x, y = (x.ravel() + 0.5) / columns - 0.5, (y.ravel() + 0.5) / rows - 0.5
    return {
        "left": x < -_BESIDE,
        "right": x > _BESIDE,
        "top": y < -_BESIDE,
        "bottom": y > _BESIDE,
        "center": np.hypot(x / _INNER[0], y / _INNER[1]) < 1,
        "background": np.hypot(x / _OUTER[0], y / _OUTER[1]) > 1,
    }
