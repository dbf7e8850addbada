"""Color profiles of primaries and one curve, as numbers: for samples of more than 8 bits.

ICC.1:2022, 8.3.3 and 8.3.4. Pillow hands 8 bits a sample to LittleCMS, which is too little where samples are
proportional to light. Profiles with tables, and with a curve of its own for each primary, are left to it.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.color.colorimetry import SRGB_CHROMATICITIES, Chromaticities, ColorSpace, power_curve

_Floats = NDArray[np.float64]
_Curve = Callable[[_Floats], _Floats]

_MAX_TAGS: Final = 200
_TABLES: Final = frozenset({b"A2B0", b"A2B1", b"D2B0", b"D2B1"})
_PARAMETERS: Final = (1, 3, 4, 5, 7)
"""Number of parameters of each function of a parametric curve."""


def profile_space(profile: bytes, name: str) -> ColorSpace | None:
    """The color space that a profile of three primaries and one curve, or of gray and a curve, describes.

    Args:
        profile: the embedded profile, maybe damaged.
        name: what to call the space.

    Returns:
        None for a profile of another kind. Gray has the primaries of sRGB, which leave it gray.
    """
    tags = _tags(profile)
    if profile[20:24] != b"XYZ " or _TABLES & tags.keys():
        return None
    if profile[16:20] == b"GRAY":
        curve, points = _curve(tags.get(b"kTRC", b"")), SRGB_CHROMATICITIES
    else:
        curves = {tags.get(each, b"") for each in (b"rTRC", b"gTRC", b"bTRC")}
        curve = _curve(curves.pop()) if len(curves) == 1 else None
        found = _chromaticities([tags.get(each, b"") for each in (b"rXYZ", b"gXYZ", b"bXYZ")])
        if profile[16:20] != b"RGB " or found is None:
            return None
        points = found
    return None if curve is None else ColorSpace(name, points, curve)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The content of each tag."""
    count = min(int.from_bytes(profile[128:132], "big"), _MAX_TAGS)
    found = {}
    for at in range(132, 132 + 12 * count, 12):
        start, size = (int.from_bytes(profile[each : each + 4], "big") for each in (at + 4, at + 8))
        found[profile[at : at + 4]] = profile[start : start + size]
    return found


def _fixed(content: bytes) -> _Floats:
    """Numbers of 16 bits before the point and 16 behind it."""
    return np.frombuffer(content[: len(content) // 4 * 4], ">i4") / 65536


def _chromaticities(columns: list[bytes]) -> Chromaticities | None:
    """Of the primaries, and of white: of their sum, which is D50."""
    if any(each[:4] != b"XYZ " or len(each) < 20 for each in columns):
        return None
    colors = np.array([_fixed(each[8:20]) for each in columns])
    colors = np.vstack([colors, colors.sum(axis=0)])
    sums = colors.sum(axis=1)
    if not (sums > 0).all() or not colors[3, 1] > 0:
        return None
    red, green, blue, white = colors[:, :2] / sums[:, None]
    return (*map(float, (*red, *green, *blue, *white)),)  # type: ignore[return-value]


def _curve(content: bytes) -> _Curve | None:
    if content[:4] == b"curv" and len(content) >= 12:
        return _sampled_curve(content)
    if content[:4] == b"para" and len(content) >= 12:
        return _parametric_curve(content)
    return None


def _sampled_curve(content: bytes) -> _Curve | None:
    number = int.from_bytes(content[8:12], "big")
    values = np.frombuffer(content[12 : 12 + 2 * number], ">u2") if len(content) >= 12 + 2 * number else None
    if values is None:
        return None
    if number <= 1:
        exponent = float(values[0]) / 256 if number else 1.0
        return power_curve(exponent) if exponent > 0 else None
    places, light = np.linspace(0.0, 1.0, number), values / 65535
    return lambda codes: np.interp(codes, places, light)


def _parametric_curve(content: bytes) -> _Curve | None:
    kind = int.from_bytes(content[8:10], "big")
    if kind >= len(_PARAMETERS) or len(content) < 12 + 4 * _PARAMETERS[kind]:
        return None
    parameters = _fixed(content[12 : 12 + 4 * _PARAMETERS[kind]])
    g, a, b, c, d, e, f = (float(each) for each in np.resize(parameters, 7))
    if kind == 0:
        a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    elif kind < 3:  # a constant below the point where the power begins
        e = f = c if kind == 2 else 0.0
        c, d = 0.0, -b / a if a else 0.0
    elif kind == 3:
        e = f = 0.0
    if not g > 0 or not a > 0:
        return None

    def light(codes: _Floats) -> _Floats:
        power = np.maximum(a * codes + b, 0.0) ** g + e
        return np.where(codes >= d, power, c * codes + f).clip(0.0, 1.0)

    return light
