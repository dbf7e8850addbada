"""Photographs in other color spaces, encoded by the formulas in their forward direction, and files of them.

The service has the inverse functions. Here stand those that the standards print: Rec. ITU-T H.273 (2021),
Rec. ITU-R BT.2100-2, Adobe RGB (1998).
"""

import io
import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.app.files import png_chunk

Floats = NDArray[np.float64]

D65: Final = (0.3127, 0.3290)
SRGB: Final = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)
DISPLAY_P3: Final = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)
BT2020: Final = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)
ADOBE_RGB: Final = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), D65)

Primaries = tuple[tuple[float, float], ...]
Curve = Callable[[Floats], Floats]


def srgb_linear(codes: Floats) -> Floats:
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def srgb_code(light: Floats) -> Floats:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def camera_code(light: Floats) -> Floats:
    """BT.709, BT.601 and BT.2020."""
    return np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)


def pq_code(light: Floats) -> Floats:
    """1 is 203 cd/m2."""
    y = (light * 203 / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def hlg_code(light: Floats) -> Floats:
    """1 is the light of the scene whose signal is 0.75."""
    scene = light * (np.exp((0.75 - 0.55991073) / 0.17883277) + 0.28466892) / 12
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def power_code(exponent: float) -> Curve:
    return lambda light: light ** (1 / exponent)


def codes_in(pixels: NDArray[np.uint8], primaries: Primaries, curve: Curve) -> Floats:
    """sRGB pixels as codes in [0, 1] of another space."""
    matrix = np.linalg.inv(_to_xyz(primaries)) @ _to_xyz(SRGB)
    return curve(np.clip(srgb_linear(pixels / 255) @ matrix.T, 0, None))


def samples_in(pixels: NDArray[np.uint8], primaries: Primaries, curve: Curve) -> NDArray[np.uint8]:
    """As :func:`codes_in`, of 8 bits."""
    return np.rint(255 * codes_in(pixels, primaries, curve).clip(0, 1)).astype(np.uint8)


def png_file(pixels: NDArray[np.uint8], *chunks: tuple[bytes, bytes], **options: Any) -> bytes:
    """A PNG file with these chunks behind its header."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    data = file.getvalue()
    return data[:33] + b"".join(png_chunk(*each) for each in chunks) + data[33:]


def cicp(primaries: int, transfer: int, matrix: int = 0, full_range: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes((primaries, transfer, matrix, full_range))


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(100_000 * gamma))


def chrm(primaries: Primaries) -> tuple[bytes, bytes]:
    red, green, blue, white = primaries
    values = (*white, *red, *green, *blue)
    return b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in values))


def avif_file(pixels: NDArray[np.uint8], primaries: int, transfer: int, **options: Any) -> bytes:
    """An AVIF file whose box ``colr`` has these code points."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "AVIF", quality=100, subsampling="4:4:4", **options)
    before, mark, behind = file.getvalue().partition(b"nclx")
    assert mark
    return before + mark + struct.pack(">HH", primaries, transfer) + behind[4:]


def exif_block(space: int | None, index: str | None = None) -> bytes:
    """An EXIF block of a color space and an index of interoperability (DCF 2.0)."""
    entries = [] if space is None else [struct.pack(">HHIHH", 0xA001, 3, 1, space, 0)]
    if index is not None:
        begin = 26 + 2 + 12 * (len(entries) + 1) + 4
        entries.append(struct.pack(">HHII", 0xA005, 4, 1, begin))
    block = b"Exif\0\0MM\0*\0\0\0\x08"
    block += struct.pack(">HHHIII", 1, 0x8769, 4, 1, 26, 0)
    block += struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)
    if index is not None:
        block += struct.pack(">HHHI4sI", 1, 1, 2, 4, index.encode().ljust(4, b"\0"), 0)
    return block


def psnr_db(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def _to_xyz(primaries: Primaries) -> Floats:
    *colors, white = ([x / y, 1.0, (1 - x - y) / y] for x, y in primaries)
    columns = np.array(colors).T
    scaled: Floats = columns * np.linalg.solve(columns, np.array(white))
    return scaled
