"""Local quality as a picture: the map in colours over the greyed image, as a PNG.

The scale runs from dark blue (good) over grey to bright yellow (bad), after cividis ("Optimizing colormaps
with consideration for color vision deficiency", Nunez, Anderton and Renslow, 2018): blue against yellow is
told apart by all common kinds of colour vision, and the lightness rises all the way, so that the worst parts
stand out even on a grey print. Between the anchors, which are ours, it is straight in Oklab (Ottosson, 2020),
where equal steps look equal.
"""

import io
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

# sRGB, from quality 1 down to 0; their lightness in Oklab is .27, .45, .62, .77 and .93.
_ANCHORS: Final = ((5, 32, 92), (64, 84, 122), (138, 132, 122), (206, 180, 80), (255, 236, 70))
_STEPS: Final = 256
# How much of a pixel is colour rather than photograph: the good parts stay a photograph, the bad ones glow.
_OPACITY: Final = (0.45, 0.7)
_COMPRESSION: Final = 3  # of zlib; beyond it, a photograph takes twice the time for a few per cent
_LEGEND: Final = (96, 8)  # pixels inside its frame
_LEGEND_MARGIN: Final = 8
_WHITE: Final = 255

_TO_LMS: Final = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_TO_OKLAB: Final = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def render(pixels: NDArray[np.uint8], values: Sequence[Sequence[float]], stride: int = 32) -> bytes:
    """A PNG of the image's size, without metadata: the map over the greyed image, and its scale in a corner.

    The same colour means the same quality in every picture. In the scale, which runs from good at the left to
    bad at the right, white ticks mark the best and the worst value of this map; images that are hardly larger
    than it are drawn without.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, at the size that was scored.
        values: rows of local quality in [0, 1].
        stride: side of a cell in pixels; the first one lies in the top left corner. Between the centres of
            cells the map is bilinear, beyond the outermost ones it goes on as it is.

    Raises:
        ValueError: `pixels` has another shape or dtype, or `values` are not rows of one length in [0, 1].
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"An image is (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}.")
    grid = np.array(values, np.float32)
    if grid.ndim != 2 or not grid.size or not ((grid >= 0) & (grid <= 1)).all():
        raise ValueError("A quality map is rows of one length with values in [0, 1].")
    badness = _upsampled(1 - grid, pixels.shape[0], pixels.shape[1], stride)
    picture = _blended(pixels, badness)
    _draw_legend(picture, 1 - float(grid.max()), 1 - float(grid.min()))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()


@cache
def scale() -> NDArray[np.uint8]:
    """The colours, ``(256, 3)`` uint8 sRGB, from quality 1 down to 0."""
    anchors = _oklab(np.array(_ANCHORS) / 255)
    # Equal steps of the scale are equal distances in Oklab.
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(anchors, axis=0), axis=1).cumsum()])
    steps = np.linspace(0, along[-1], _STEPS)
    lab = np.stack([np.interp(steps, along, channel) for channel in anchors.T], axis=1)
    colours = (_srgb(lab).clip(0, 1) * 255).round().astype(np.uint8)
    colours.flags.writeable = False
    return colours


def _blended(pixels: NDArray[np.uint8], badness: Floats) -> NDArray[np.uint8]:
    index = np.rint(badness * (_STEPS - 1)).astype(np.uint8)
    least, most = _OPACITY
    opacity = np.linspace(least, most, _STEPS, dtype=np.float32)
    tints = (scale() * opacity[:, None]).astype(np.float32)
    grey = (pixels @ _LUMA) * (1 - opacity)[index]
    return np.rint(tints[index] + grey[:, :, None]).clip(0, _WHITE).astype(np.uint8)


def _upsampled(grid: Floats, height: int, width: int, stride: int) -> Floats:
    """``(h, w)`` -> ``(height, width)``, bilinear."""
    down, across = _weights(grid.shape[0], height, stride), _weights(grid.shape[1], width, stride)
    return (down @ grid @ across.T).astype(np.float32, copy=False)


def _weights(cells: int, length: int, stride: int) -> Floats:
    """Of each cell on each pixel of one axis, ``(length, cells)``."""
    centres = (np.arange(cells) + 0.5) * stride - 0.5
    pixels = np.arange(length)
    return np.stack([np.interp(pixels, centres, unit) for unit in np.eye(cells)], axis=1).astype(np.float32)


def _draw_legend(picture: NDArray[np.uint8], least: float, most: float) -> None:
    """Lays the scale into the bottom left corner, in place, with ticks at these two places of it."""
    width, height = _LEGEND
    if picture.shape[1] < width + 4 * _LEGEND_MARGIN or picture.shape[0] < 8 * height:
        return
    bottom, left = picture.shape[0] - _LEGEND_MARGIN, _LEGEND_MARGIN
    frame = picture[bottom - height - 2 : bottom, left : left + width + 2]
    frame[:] = _WHITE
    frame[1:-1, 1:-1] = scale()[np.linspace(0, _STEPS - 1, width).round().astype(int)]
    for place in (least, most):
        column = 1 + round(place * (width - 1))
        frame[1 : 1 + height // 2, column] = _WHITE


def _oklab(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lab: NDArray[np.float64] = np.cbrt(linear @ _TO_LMS.T) @ _TO_OKLAB.T
    return lab


def _srgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = ((lab @ np.linalg.inv(_TO_OKLAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T).clip(0, None)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
