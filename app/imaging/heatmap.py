"""Local quality, or local differences, as a picture: the map in color over the grayed image, as a PNG.

The scale runs from dark blue (good) over gray to bright yellow (bad), after cividis ("Optimizing colormaps
with consideration for color vision deficiency", Nunez, Anderton and Renslow, 2018): blue against yellow is
told apart by all common kinds of color vision, and the lightness rises all the way, so that the worst parts
stand out even on a gray print. Its steps are equal in Oklab (Ottosson, 2020), where equal steps look equal.
"""

import base64
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

# sRGB of each step, from quality 1 down to 0, in equal distances of Oklab between (5, 32, 92), (64, 84, 122),
# (138, 132, 122), (206, 180, 80) and (255, 236, 70), whose lightness there is .27, .45, .62, .77 and .93.
_SCALE: Final = base64.b64decode(
    "BSBcBiFcByJdByNdCCReCSReCiVfCyZfDCdgDShgDilhDyphECpiEStiEixjEy1jFC5kFC9kFS9lFjBlFzFmGDJmGTNnGjNnGzRoHDV"
    "oHTZpHjdpHzhqIDhqIDlrITprIjtrIzxsJDxsJT1tJj5tJz9uKEBuKUBvKkFvK0JwLENwLERxLURxLkVyL0ZyMEdyMUhzMkhzM0l0NE"
    "p0NUt1Nkx1N0x2OE12OU53Ok93O1B3PFB4PVF4PVJ5PlN5P1N6QFR6QVV6Q1Z6RFd6RVd6Rlh6R1l6SFp7SVp7Slt7S1x7TFx7TV17T"
    "157UF97UV97UmB7U2F7VGJ7VWJ7VmN7V2R7WGV7WmV7W2Z7XGd7XWd7Xmh7X2l7YGp7YWp7Ymt7ZGx7ZW17Zm17Z257aG97aW97anB7"
    "a3F7bXJ7bnJ7b3N7cHR7cXR7cnV7c3Z7dXd7dnd7d3h7eHl7eXl7enp7e3t7fHx7fnx7f317gH57gX57gn97g4B6hYF6hoF6h4J6iIN"
    "6iYN6ioR6i4V6jIZ5jYZ5jod4j4h4kIl4kYl3kop3k4t2lIt2lYx2lo11l451mI50mY90mpBzm5FznJFynZJynpNxn5NxoJRwoZVwop"
    "Zvo5ZvpJdupZhuppltp5ltqJpsqZtsqptrq5xrrJ1qrZ5prp5pr59osKBnsaBnsqFms6JltaNltqNkt6RjuKVjuaViuqZhu6dhvKhgv"
    "ahfvqlev6pdwKpdwatcwqxbw61axK1Zxa5Yxq9Xx69WyLBVybFUyrJTzLJSzbNRzrRQz7VQz7ZQ0LZQ0bdQ0rhQ07lQ07pQ1LtP1bxP"
    "1r1P175P2L9P2MBP2cFP2sJP28NP3MRP3cVO3cZO3sZO38dO4MhO4clO4spO4stO48xN5M1N5c5N5s9N59BN59FN6NJM6dNM6tRM69V"
    "M7NZM7NdL7dhL7tlL79pL8NtL8dxK8dxK8t1K895K9N9K9eBJ9uFJ9+JJ9+NJ+ORI+eVI+uZI++dH/OhH/OlH/epH/utG/+xG"
)
_STEPS: Final = 256
# How much of a pixel is color rather than photograph: the good parts stay a photograph, the bad ones glow.
_OPACITY: Final = (0.45, 0.7)
_STRONGEST_DIFFERENCE: Final = 0.25  # in Oklab; half of that is what darkening by two stops does to mid-gray
_COMPRESSION: Final = 3  # of zlib; beyond it, a photograph takes twice the time for a few percent
_LEGEND: Final = (96, 8)  # pixels inside its frame
_LEGEND_MARGIN: Final = 8
_WHITE: Final = 255
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def render(pixels: NDArray[np.uint8], values: Sequence[Sequence[float]], stride: int = 32) -> bytes:
    """A PNG of the image's size, without metadata: the map over the grayed image, and its scale in a corner.

    The same color means the same quality in every picture. In the scale, which runs from good at the left to
    bad at the right, white ticks mark the best and the worst value of this map; images that are hardly larger
    than it are drawn without.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, at the size that was scored.
        values: rows of local quality in [0, 1].
        stride: side of a cell in pixels; the first one lies in the top left corner. Between the centers of
            cells the map is bilinear, beyond the outermost ones it is constant.

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


def render_differences(pixels: NDArray[np.uint8], values: Sequence[Sequence[float]], stride: int) -> bytes:
    """Local differences over the grayed image, as :func:`render` draws local quality.

    Args:
        pixels: ``(H, W, 3)`` uint8 sRGB, of the distorted image as it was compared.
        values: as of :func:`models.measures.difference.difference_map`.
        stride: side of a cell in pixels.

    Returns:
        A PNG: blue where nothing differs, yellow from a distance of 0.25 on. In between the square root
        counts, so that the slight differences of compression are seen beside strong ones.
    """
    badness = np.sqrt(np.array(values, np.float32).clip(0, _STRONGEST_DIFFERENCE) / _STRONGEST_DIFFERENCE)
    return render(pixels, (1 - badness).tolist(), stride)


def scale() -> NDArray[np.uint8]:
    """The colors, ``(256, 3)`` uint8 sRGB, from quality 1 down to 0."""
    return np.frombuffer(_SCALE, np.uint8).reshape(_STEPS, 3)


def _blended(pixels: NDArray[np.uint8], badness: Floats) -> NDArray[np.uint8]:
    index = np.rint(badness * (_STEPS - 1)).astype(np.uint8)
    least, most = _OPACITY
    opacity = np.linspace(least, most, _STEPS, dtype=np.float32)
    tints = (scale() * opacity[:, None]).astype(np.float32)
    gray = (pixels @ _LUMA) * (1 - opacity)[index]
    return np.rint(tints[index] + gray[:, :, None]).clip(0, _WHITE).astype(np.uint8)


def _upsampled(grid: Floats, height: int, width: int, stride: int) -> Floats:
    """``(h, w)`` -> ``(height, width)``, bilinear."""
    down, across = _weights(grid.shape[0], height, stride), _weights(grid.shape[1], width, stride)
    return (down @ grid @ across.T).astype(np.float32, copy=False)


def _weights(cells: int, length: int, stride: int) -> Floats:
    """Of each cell on each pixel of one axis, ``(length, cells)``."""
    centers = (np.arange(cells) + 0.5) * stride - 0.5
    pixels = np.arange(length)
    return np.stack([np.interp(pixels, centers, unit) for unit in np.eye(cells)], axis=1).astype(np.float32)


def _draw_legend(picture: NDArray[np.uint8], least: float, most: float) -> None:
    """Draws the scale into the bottom left corner, in place, with ticks at these two values."""
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
