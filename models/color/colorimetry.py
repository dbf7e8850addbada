"""Color spaces by chromaticities and transfer function, and the conversion of samples to sRGB.

Code points, chromaticities and transfer functions are those of Rec. ITU-T H.273 (2021), PQ and HLG those of
Rec. ITU-R BT.2100-2. Adobe RGB is that of Adobe RGB (1998) Color Image Encoding, version 2005-05.

The light of each space is scaled so that the white of a photograph is 1. For PQ that is 203 cd/m2, the
reference white of Report ITU-R BT.2408; HLG has its reference white at 75 % of the signal. HLG is converted
by the light of the scene (BT.2408, scene-referred conversion), as the functions of cameras are: without the
OOTF, which sRGB does not have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.color.sample_range import DeepColor
from models.preprocessing import Pixels

DynamicRange = Literal["sdr", "pq", "hlg"]
"""``sdr`` is all that knows no brighter light than white."""

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of red, green, blue and white (CIE 1931)."""

_Floats = NDArray[np.float64]
_Curve = Callable[[_Floats], _Floats]

_REFERENCE_WHITE: Final = 203.0  # cd/m2
_HLG_REFERENCE_WHITE: Final = 0.75  # of the signal
_D65: Final = (0.3127, 0.3290)
_C: Final = (0.310, 0.316)

SRGB_CHROMATICITIES: Final[Chromaticities] = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65)
_PRIMARIES: Final[dict[int, tuple[str, Chromaticities]]] = {
    1: ("BT.709", SRGB_CHROMATICITIES),
    4: ("BT.470 M", (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C)),
    5: ("BT.601 625", (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65)),
    6: ("BT.601 525", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65)),
    7: ("SMPTE 240M", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65)),
    8: ("generic film", (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C)),
    9: ("BT.2020", (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65)),
    10: ("XYZ", (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)),
    11: ("DCI-P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351)),
    12: ("Display P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65)),
    22: ("EBU 3213", (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65)),
}
_UNSPECIFIED: Final = 2
_SRGB_CODE_POINTS: Final = (1, 13)

_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_BYTE: Final = 255  # white of 8-bit samples
_LEVELS: Final = 65536  # of linear light; one of them is at most 0.05 of an 8-bit sample
_STRIP_PIXELS: Final = 1 << 17  # converted at a time, in some 6 MB, whatever the size of the picture
_GLARE: Final = 1.02  # of white; less is what rounding and compression add to it


def power_curve(exponent: float) -> _Curve:
    """The transfer function of a pure power."""
    return lambda codes: codes**exponent


def srgb_curve(codes: _Floats) -> _Floats:
    """Linear light of sRGB codes, both in [0, 1] (IEC 61966-2-1)."""
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def _camera_curve(codes: _Floats) -> _Floats:
    """The function of BT.709, BT.601 and BT.2020, undone."""
    return np.where(codes < 0.081, codes / 4.5, ((codes + 0.099) / 1.099) ** (1 / 0.45))


def _smpte_240_curve(codes: _Floats) -> _Floats:
    return np.where(codes < 0.0913, codes / 4.0, ((codes + 0.1115) / 1.1115) ** (1 / 0.45))


def _pq_curve(codes: _Floats) -> _Floats:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = codes ** (1 / m2)
    return 10_000 / _REFERENCE_WHITE * (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (1 / m1)


def _hlg_scene(codes: _Floats) -> _Floats:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)


def _hlg_curve(codes: _Floats) -> _Floats:
    return _hlg_scene(codes) / _hlg_scene(np.array(_HLG_REFERENCE_WHITE))


_CURVES: Final[dict[int, _Curve]] = {
    1: _camera_curve,
    4: power_curve(2.2),
    5: power_curve(2.8),
    6: _camera_curve,
    7: _smpte_240_curve,
    8: power_curve(1.0),
    9: lambda codes: np.where(codes > 0, 10 ** (2 * (codes - 1)), 0.0),
    10: lambda codes: np.where(codes > 0, 10 ** (2.5 * (codes - 1)), 0.0),
    11: _camera_curve,
    12: _camera_curve,
    13: srgb_curve,
    14: _camera_curve,
    15: _camera_curve,
    16: _pq_curve,
    17: lambda codes: 52.37 / 48 * codes**2.6,
    18: _hlg_curve,
}
_RANGES: Final[dict[int, DynamicRange]] = {16: "pq", 18: "hlg"}


@dataclass(frozen=True)
class ColorSpace:
    """What the samples of a picture mean.

    Attributes:
        name: for people.
        chromaticities: of the primaries and of white.
        curve: from codes in [0, 1] to linear light; 1 is the white of a photograph.
        dynamic_range: whether light can be brighter than that white.
        full_range: whether codes use all 8-bit values; otherwise black is 16 and white 235.
    """

    name: str
    chromaticities: Chromaticities
    curve: _Curve
    dynamic_range: DynamicRange = "sdr"
    full_range: bool = True

    @property
    def is_srgb(self) -> bool:
        """Whether there is nothing to convert."""
        return self.full_range and self.curve is srgb_curve and self.chromaticities == SRGB_CHROMATICITIES


SRGB: Final = ColorSpace("sRGB", SRGB_CHROMATICITIES, srgb_curve)
ADOBE_RGB: Final = ColorSpace(
    "Adobe RGB", (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65), power_curve(563 / 256)
)


def coded_space(primaries: int, transfer: int, *, full_range: bool = True) -> ColorSpace | None:
    """The color space of two code points; unspecified ones are those of sRGB. None for unknown ones."""
    primaries, transfer = (
        default if point == _UNSPECIFIED else point
        for point, default in zip((primaries, transfer), _SRGB_CODE_POINTS, strict=True)
    )
    if primaries not in _PRIMARIES or transfer not in _CURVES:
        return None
    name, chromaticities = _PRIMARIES[primaries]
    range_name = _RANGES.get(transfer, "sdr")
    if (primaries, transfer) == _SRGB_CODE_POINTS:
        name = SRGB.name
    elif range_name != "sdr":
        name = f"{name} {range_name.upper()}"
    return ColorSpace(name, chromaticities, _CURVES[transfer], range_name, full_range)


def to_srgb(pixels: Pixels | DeepColor, space: ColorSpace) -> tuple[Pixels, float]:
    """Converts pixels to sRGB (relative colorimetry); colors outside its gamut are clipped.

    In strips, so that the memory beside both pictures does not grow with their size. A picture of 12 million
    pixels takes about half a second.

    Args:
        pixels: ``(H, W, 3)`` uint8, or samples of 16 bits, which are rounded to 8 bits at the end.
        space: of the pixels.

    Returns:
        ``(H, W, 3)`` uint8, and the share of pixels with a channel brighter than white, which are clipped.

    Raises:
        ValueError: the chromaticities span no colors.
    """
    height, width = pixels.shape[:2]
    rows_of = pixels.rows if isinstance(pixels, DeepColor) else pixels.__getitem__
    light = _light(space, pixels.white if isinstance(pixels, DeepColor) else _BYTE)
    matrix = _matrix_to_srgb(space.chromaticities).T.astype(np.float32)
    encoded = _encoded_levels()
    converted = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // max(1, width))
    above = 0
    for start in range(0, height, rows):
        linear = light.take(rows_of(slice(start, start + rows))) @ matrix
        if space.dynamic_range != "sdr":
            glaring = linear > _GLARE
            above += int(np.count_nonzero(glaring[..., 0] | glaring[..., 1] | glaring[..., 2]))
        np.clip(linear, 0.0, 1.0, out=linear)
        linear *= _LEVELS - 1
        linear += 0.5
        converted[start : start + rows] = encoded.take(linear.astype(np.uint16))
    return converted, above / (height * width)


def gray_to_srgb(
    samples: NDArray[np.integer[Any]], space: ColorSpace, white: int
) -> tuple[NDArray[np.uint8], float]:
    """Converts gray to sRGB, as :func:`to_srgb` does with equal red, green and blue.

    Args:
        samples: ``(H, W)`` of integers in [0, 65535].
        space: of the samples.
        white: the sample of white; larger ones are taken for it.

    Returns:
        ``(H, W)`` uint8, and the share of pixels brighter than white.
    """
    light = _light(space, white)
    levels = np.rint(light.clip(0.0, 1.0) * (_LEVELS - 1)).astype(np.uint16)
    gray = _encoded_levels().take(levels).take(samples, mode="clip")
    glaring = np.flatnonzero(light > _GLARE) if space.dynamic_range != "sdr" else np.array([], int)
    above = np.count_nonzero(samples >= glaring[0]) if glaring.size else 0
    return gray, above / max(1, samples.size)


def _light(space: ColorSpace, white: int) -> NDArray[np.float32]:
    """Linear light of each sample from 0 to that of white."""
    codes = np.arange(white + 1) / white
    if not space.full_range:  # of 8 bits, whatever the depth
        codes = np.clip((codes * white * (_BYTE + 1) / (white + 1) - 16) / 219, 0.0, 1.0)
    return space.curve(codes).astype(np.float32)


@cache
def _encoded_levels() -> NDArray[np.uint8]:
    """sRGB samples of 65,536 levels of linear light."""
    light = np.arange(_LEVELS) / (_LEVELS - 1)
    codes = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    samples: NDArray[np.uint8] = np.rint(255 * codes).astype(np.uint8)
    return samples


def _matrix_to_srgb(chromaticities: Chromaticities) -> _Floats:
    """From linear light of these primaries to that of sRGB's, white to white (Bradford)."""
    cones = (_BRADFORD @ _white_xyz(each) for each in (SRGB_CHROMATICITIES, chromaticities))
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(np.divide(*cones)) @ _BRADFORD
    try:
        matrix: _Floats = (
            np.linalg.inv(_matrix_to_xyz(SRGB_CHROMATICITIES)) @ adaptation @ _matrix_to_xyz(chromaticities)
        )
    except np.linalg.LinAlgError as error:
        raise ValueError("The three primaries lie on one line.") from error
    if not np.isfinite(matrix).all():
        raise ValueError("The chromaticities are of no visible white.")
    return matrix


def _matrix_to_xyz(chromaticities: Chromaticities) -> _Floats:
    points = np.array(chromaticities[:6]).reshape(3, 2)
    columns = np.stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)])
    scaled: _Floats = columns * np.linalg.solve(columns, _white_xyz(chromaticities))
    return scaled


def _white_xyz(chromaticities: Chromaticities) -> _Floats:
    x, y = chromaticities[6:]
    if not y > 0:
        raise ValueError("The white has no luminance.")
    return np.array([x / y, 1.0, (1 - x - y) / y])
