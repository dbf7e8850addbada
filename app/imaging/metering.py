"""How the exposure of a picture is measured: from its pixels, without any model.

Luminance is the relative luminance Y of IEC 61966-2-1 (sRGB): each 8-bit sample is linearized by the sRGB
transfer curve and weighted by ITU-R BT.709 (0.2126 R + 0.7152 G + 0.0722 B). Black is 0, white is 1.

Chosen among plain measures because they separate best between 1,729 good photographs and the same kind of
photographs darkened or brightened strongly (shares caught at limits that 0.5 % of the good ones miss):

- The mean of linear luminance catches more than the mean of sRGB luma: gain 47 % against 36 %, low light 48 %
  against 26 %.
- The 99th percentile tells dim pictures from pictures of dark things, in which something is still bright:
  dimming 100 % and low light 100 %, against 5 % and 0 % for the median.
- A pixel counts as clipped where any channel is: gain 75 %, against 65 % where all three must be. The
  tolerance of two levels is for JPEG compression, which moves clipped samples a little (gain still 67 %).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.schemas.exposure import MeasuredExposure

BLACK: Final = 2
"""A sample of at most this, of 255, is clipped to black."""
WHITE: Final = 253
"""A sample of at least this, of 255, is clipped to white."""

_SAMPLES: Final = 2**16
_PERCENTILE: Final = 0.99
_SCALE: Final = 65_000  # of luminance as a 16-bit integer; the rounded parts of three channels stay within it

_CODES: Final = np.arange(256) / 255
_LINEAR: Final = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
_PARTS: Final = [np.round(_SCALE * weight * _LINEAR).astype(np.uint16) for weight in (0.2126, 0.7152, 0.0722)]


def measure_exposure(pixels: NDArray[np.uint8]) -> MeasuredExposure:
    """Measures the exposure of ``(H, W, 3)`` uint8 sRGB pixels.

    Of a picture with more than 65,536 pixels, every n-th pixel of every n-th row is looked at, n as small as
    that bound allows. So the cost is about half a millisecond whatever the size, beyond reading the pixels.

    Raises:
        ValueError: there are no pixels.
    """
    height, width = pixels.shape[:2]
    if not pixels.size:
        raise ValueError(f"A picture of {width} x {height} pixels has no exposure.")
    step = max(1, math.ceil(math.sqrt(height * width / _SAMPLES)))
    # A plane at a time: numpy copies and compares whole planes several times faster than interleaved pixels.
    red, green, blue = (np.ascontiguousarray(pixels[::step, ::step, channel]).ravel() for channel in range(3))
    luminance = _PARTS[0].take(red) + _PARTS[1].take(green) + _PARTS[2].take(blue)
    rank = min(luminance.size - 1, int(_PERCENTILE * luminance.size))
    darkest = np.minimum(np.minimum(red, green), blue)
    brightest = np.maximum(np.maximum(red, green), blue)
    return MeasuredExposure(
        mean_luminance=min(1.0, float(luminance.mean(dtype=np.float64)) / _SCALE),
        p99_luminance=min(1.0, int(np.partition(luminance, rank)[rank]) / _SCALE),
        clipped_shadows=float(np.count_nonzero(darkest <= BLACK) / darkest.size),
        clipped_highlights=float(np.count_nonzero(brightest >= WHITE) / brightest.size),
    )
