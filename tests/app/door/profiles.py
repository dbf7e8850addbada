"""Color profiles made by the byte, and photographs in their colors.

A profile of three primaries and one curve, version 2 of the ICC's format (ICC.1:2001-04), as monitors have.
"""

import struct
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# Chromaticities of red, green and blue; both spaces have the white D65 and the same curve.
_SRGB: Final = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))  # IEC 61966-2-1
_DISPLAY_P3: Final = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))  # SMPTE RP 431-2
_D65: Final = np.array([0.95047, 1.0, 1.08883])
_D50: Final = np.array([0.96422, 1.0, 0.82521])  # what profiles refer to
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_CURVE_POINTS: Final = 1024


@cache
def display_p3(padding: int = 0) -> bytes:
    """A profile of Display P3, with so many bytes that nobody reads."""
    primaries = _adaptation() @ _to_xyz(_DISPLAY_P3)
    curve = np.rint(65535 * _linear(np.linspace(0.0, 1.0, _CURVE_POINTS))).astype(">u2").tobytes()
    curve = b"curv" + bytes(4) + struct.pack(">I", _CURVE_POINTS) + curve
    tags = {
        b"desc": _description(b"Display P3"),
        b"cprt": b"text" + bytes(4) + b"nobody's\0",
        b"wtpt": _xyz(_D50),
        b"rXYZ": _xyz(primaries[:, 0]),
        b"gXYZ": _xyz(primaries[:, 1]),
        b"bXYZ": _xyz(primaries[:, 2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    if padding:
        tags[b"nope"] = b"data" + bytes(4) + bytes(padding)
    return _profile(tags)


def in_display_p3(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """sRGB pixels ``(H, W, 3)`` by the values that Display P3 has for the same colors."""
    matrix = np.linalg.inv(_to_xyz(_DISPLAY_P3)) @ _to_xyz(_SRGB)
    linear = _linear(pixels / 255.0) @ matrix.T
    return np.rint(255.0 * _encoded(np.clip(linear, 0.0, 1.0))).astype(np.uint8)


def _to_xyz(chromaticities: tuple[tuple[float, float], ...]) -> Matrix:
    """From linear RGB of these primaries and white D65 to XYZ."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in chromaticities]).T
    weights: Matrix = columns * np.linalg.solve(columns, _D65)
    return weights


def _adaptation() -> Matrix:
    """From colors seen in D65 to the same seen in D50, by Bradford's cones."""
    ratio = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ _D65))
    matrix: Matrix = np.linalg.inv(_BRADFORD) @ ratio @ _BRADFORD
    return matrix


def _linear(values: Matrix) -> Matrix:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encoded(values: Matrix) -> Matrix:
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def _xyz(values: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in values))


def _description(text: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)


def _profile(tags: dict[bytes, bytes]) -> bytes:
    table, data = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", begin + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    header = struct.pack(">I4sI4s4s4s", begin + len(data), b"test", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2025, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(65536 * value) for value in _D50))
    return header.ljust(128, b"\0") + table + data
