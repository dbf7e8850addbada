"""What white is in samples of 16 bits: cameras and scanners store 10, 12 or 14 bits in them, often unscaled.

No tag says how many of the 16 bits are used (TIFF's ``MaxSampleValue`` must not affect how an image
looks, PNG's ``sBIT`` is about scaled samples). So white is taken from the largest sample.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Reopen = Callable[[], Image.Image]
"""Opens the file of a picture once more."""

_DEPTH: Final = 16
_DEPTHS: Final = (8, 10, 12, 14)
_NARROW_BYTE: Final = 0x3F  # the largest high byte of a sample of 14 bits
_STRIP_ROWS: Final = 256
_WITH_ALPHA: Final = 4  # bands
# Read in the opposite byte order, a sample of 16 bits gives its low byte where Pillow takes the high one.
_OPPOSITE: Final = {
    f"{mode};16{order}": f"{mode};16{opposite}"
    for mode in ("RGB", "RGBX", "RGBA")
    for order, opposite in (("L", "B"), ("B", "L"), ("N", "B" if sys.byteorder == "little" else "L"))
}
_DEEP_GRAY: Final = "LA;16B"
"""Gray with alpha. Pillow reads it in one order only, as RGBA: for the low bytes, its four bytes are read as
those of RGBA are."""


def bits_in_use(largest: int) -> int:
    """How many of 16 bits samples up to this one use: 8, 10, 12, 14 or 16. A black picture uses 16."""
    return next((bits for bits in _DEPTHS if 0 < largest < 1 << bits), _DEPTH)


def eight_bit_table(bits: int) -> NDArray[np.uint8]:
    """8-bit samples, rounded to nearest, of all of 16 bits of which so many are used."""
    white = (1 << bits) - 1
    return ((np.arange(1 << _DEPTH).clip(max=white) * 510 + white) // (2 * white)).astype(np.uint8)


def is_deep_color(image: Image.Image) -> bool:
    """Whether an opened picture of several samples has 16 bits in each, of which Pillow keeps the high bytes.

    To be asked before the picture is loaded.
    """
    tiles = getattr(image, "tile", ())
    return bool(tiles) and all(_raw_mode(tile.args) in (*_OPPOSITE, _DEEP_GRAY) for tile in tiles)


@dataclass(frozen=True)
class DeepColor:
    """The samples of a picture in color with 16 bits in each.

    Attributes:
        high, low: bytes of the samples, ``(H, W, 3)``, or ``(H, W, 4)`` with alpha.
        bits: how many of 16 are in use.
    """

    high: NDArray[np.uint8]
    low: NDArray[np.uint8]
    bits: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and bands."""
        return self.high.shape

    @property
    def white(self) -> int:
        """The sample of white."""
        return (1 << self.bits) - 1

    def rows(self, strip: slice) -> NDArray[np.uint16]:
        """Color of some rows, ``(h, W, 3)``."""
        return _joined(self.high[strip, :, :3], self.low[strip, :, :3])

    def alpha(self) -> Image.Image | None:
        """Transparency in 8 bits; None where the picture has none."""
        if self.shape[-1] < _WITH_ALPHA:
            return None
        if self._has_scaled_alpha:
            return Image.fromarray(self.high[..., 3])
        return Image.fromarray(eight_bit_table(self.bits).take(_joined(self.high[..., 3], self.low[..., 3])))

    def eight_bits(self) -> Image.Image:
        """The picture in 8 bits, in place of the high bytes, so that no third picture is needed."""
        table = eight_bit_table(self.bits)
        channels = slice(0, 3 if self.shape[-1] == _WITH_ALPHA and self._has_scaled_alpha else None)
        for strip in _strips(len(self.high)):
            self.high[strip, :, channels] = table.take(
                _joined(self.high[strip, :, channels], self.low[strip, :, channels])
            )
        return Image.fromarray(self.high)

    @property
    def _has_scaled_alpha(self) -> bool:
        return int(self.high[..., 3].max()) > _NARROW_BYTE


def deep_color(image: Image.Image, reopen: Reopen, *, wanted: bool) -> DeepColor | None:
    """The samples of a deep color picture, where their high bytes are not enough.

    Args:
        image: the loaded picture: the high bytes.
        reopen: for the low bytes, which take as long to decode.
        wanted: whether the colors are to be converted. The samples are needed, too, where they use fewer than
            16 bits.

    Returns:
        None where the high bytes are enough.

    Raises:
        OSError: as loading the picture.
    """
    largest = max(high for _, high in image.getextrema()[:3])  # type: ignore[misc]
    if largest > _NARROW_BYTE and not wanted:
        return None
    high, low = np.array(image), _low_bytes(reopen())
    if largest > _NARROW_BYTE:
        return DeepColor(high, low, _DEPTH)
    strips = _strips(len(high))
    bits = bits_in_use(max(int(_joined(high[strip], low[strip])[..., :3].max()) for strip in strips))
    return DeepColor(high, low, bits) if bits < _DEPTH or wanted else None


def _strips(height: int) -> list[slice]:
    return [slice(start, start + _STRIP_ROWS) for start in range(0, height, _STRIP_ROWS)]


def _joined(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    joined: NDArray[np.uint16] = np.left_shift(high, 8, dtype=np.uint16) | low
    return joined


def _low_bytes(image: Image.Image) -> NDArray[np.uint8]:
    with image:
        deep_gray = _raw_mode(image.tile[0].args) == _DEEP_GRAY  # type: ignore[attr-defined]
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(args="RGBA" if deep_gray else _opposite(tile.args))
            for tile in image.tile  # type: ignore[attr-defined]
        ]
        image.load()
        samples = np.asarray(image)
        return samples[..., [1, 1, 1, 3]] if deep_gray else samples


def _opposite(args: str | tuple[str, ...]) -> str | tuple[str, ...]:
    return _OPPOSITE[args] if isinstance(args, str) else (_OPPOSITE[args[0]], *args[1:])


def _raw_mode(args: str | tuple[object, ...]) -> object:
    return args if isinstance(args, str) else args[0] if args else ""
