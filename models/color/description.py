"""How a picture describes its color: which of several descriptions counts, and the space that it names.

In the order of precedence:

1. ``cICP`` of a PNG file (PNG specification, third edition, section 4.3).
2. An embedded ICC profile. If it carries the code points of PQ or HLG in its tag ``cicp`` (ICC.1:2022,
   9.2.17), they count: the tables of such a profile tone the highlights down in the maker's own way.
3. ``nclx`` of an AVIF or HEIC file (ISO/IEC 23008-12: a profile counts before it).
4. ``sRGB``, then ``gAMA`` and ``cHRM`` of a PNG file.
5. EXIF of a JPEG, TIFF or WebP file: ``ColorSpace``, and ``InteropIndex`` R03 for Adobe RGB (DCF 2.0).

A picture that has none of them is taken for sRGB.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from PIL import ExifTags, Image

from models.color.colorimetry import (
    ADOBE_RGB,
    SRGB,
    SRGB_CHROMATICITIES,
    ColorSpace,
    coded_space,
    power_curve,
    srgb_curve,
)

ColorSource = Literal["ICC", "cICP", "nclx", "sRGB chunk", "gAMA/cHRM", "EXIF"]
"""What describes the color: a profile, a box or chunks of these names, or EXIF."""

# What every encoder writes beside sRGB samples, or in place of saying so (PNG specification, 11.3.2.5).
_SRGB_GAMMA: Final = 0.45455
_SAME: Final = 0.0051
_EXIF_FORMATS: Final = frozenset({"JPEG", "MPO", "TIFF", "WEBP"})
_EXIF_SRGB: Final = 1
# The entry of ColorSpace in both byte orders, up to its value. To search for it takes a hundredth of the time
# that Pillow takes to parse the block, which most photographs have and which says 1.
_SPACE_ENTRIES: Final = (b"\xa0\x01\0\x03\0\0\0\x01", b"\x01\xa0\x03\0\x01\0\0\0")
_SRGB_ENTRIES: Final = (_SPACE_ENTRIES[0] + b"\0\x01", _SPACE_ENTRIES[1] + b"\x01\0")
_EXIF_ADOBE: Final = 2  # of no standard, but written by some cameras
_EXIF_UNCALIBRATED: Final = 0xFFFF
_INTEROP_SRGB: Final = "R98"
_INTEROP_ADOBE: Final = "R03"
_MAX_PROFILE_TAGS: Final = 200


@dataclass(frozen=True)
class CodePoints:
    """The code points of Rec. ITU-T H.273 that a file carries.

    Attributes:
        source: what they stand in.
        primaries: their number.
        transfer: number of the transfer characteristics.
        matrix: number of the matrix coefficients, 0 for RGB. Decoders apply those of ``nclx``.
        full_range: whether samples use their whole range. Decoders apply that of ``nclx``.
    """

    source: Literal["cICP", "nclx", "ICC"]
    primaries: int
    transfer: int
    matrix: int = 0
    full_range: bool = True


@dataclass(frozen=True)
class ColorDescription:
    """One of a picture's descriptions of its color.

    Attributes:
        source: what it stands in.
        space: the color space; None for a profile, or where `unusable` says why it is unknown.
        profile: the embedded profile, or b''.
        unusable: why it cannot be used, in a few words, or ''.
        guessed: why the space is a guess, in a few words, or ''.
    """

    source: ColorSource
    space: ColorSpace | None = None
    profile: bytes = b""
    unusable: str = ""
    guessed: str = ""


def color_descriptions(
    image: Image.Image, points: CodePoints | None, *, with_exif: bool
) -> Iterator[ColorDescription]:
    """The descriptions that a loaded picture has, the one that counts first.

    Args:
        image: as Pillow opened it, with what it read in ``info``.
        points: that the file carries, which Pillow does not read.
        with_exif: whether the EXIF block can be read.
    """
    if points is not None and points.source == "cICP":
        yield _of_points(points)
    embedded = image.info.get("icc_profile")
    if isinstance(embedded, bytes) and embedded and image.mode != "LAB":
        in_profile = _points_of_profile(embedded)
        if in_profile is not None and image.mode in ("RGB", "RGBA", "P"):
            yield _of_points(in_profile)
        yield ColorDescription("ICC", profile=embedded)
    if points is not None and points.source == "nclx" and not (points.primaries == points.transfer == 2):
        yield _of_points(points)
    if image.format == "PNG":
        yield from _of_chunks(image.info)
    elif with_exif and image.format in _EXIF_FORMATS and image.mode != "LAB":
        yield from _of_exif(image)


def _of_points(points: CodePoints) -> ColorDescription:
    if points.source == "cICP" and points.matrix != 0:
        return ColorDescription(points.source, unusable=f"its matrix {points.matrix} is not that of RGB")
    space = coded_space(points.primaries, points.transfer, full_range=points.full_range)
    pair = f"{points.primaries}/{points.transfer}"
    unusable = "" if space is not None else f"its code points {pair} are unknown"
    return ColorDescription(points.source, space, unusable=unusable)


def _points_of_profile(profile: bytes) -> CodePoints | None:
    """The code points of PQ and HLG in a profile; None where there are others, which its curves express."""
    count = min(int.from_bytes(profile[128:132], "big"), _MAX_PROFILE_TAGS)
    for at in range(132, 132 + 12 * count, 12):
        if profile[at : at + 4] != b"cicp":
            continue
        start = int.from_bytes(profile[at + 4 : at + 8], "big")
        value = profile[start : start + 12]
        if len(value) == 12 and value[:4] == b"cicp":
            primaries, transfer, _, full_range = value[8:]
            space = coded_space(primaries, transfer)
            if space is not None and space.dynamic_range != "sdr":
                return CodePoints("ICC", primaries, transfer, full_range=bool(full_range))
    return None


def _of_chunks(info: dict[str | tuple[int, int], object]) -> Iterator[ColorDescription]:
    if "srgb" in info:
        yield ColorDescription("sRGB chunk", SRGB)
        return
    gamma, chromaticities = info.get("gamma"), info.get("chromaticity")
    if not (isinstance(gamma, float) and gamma > 0):
        gamma = None
    if not (isinstance(chromaticities, tuple) and len(chromaticities) == 8):
        chromaticities = None
    if gamma is None and chromaticities is None:
        return
    # In the chunk, white comes first.
    points = SRGB_CHROMATICITIES if chromaticities is None else (*chromaticities[2:], *chromaticities[:2])
    if all(abs(each - other) < _SAME for each, other in zip(points, SRGB_CHROMATICITIES, strict=True)):
        points = SRGB_CHROMATICITIES
    means_srgb = gamma is None or (abs(gamma - _SRGB_GAMMA) < _SAME and points == SRGB_CHROMATICITIES)
    curve = srgb_curve if means_srgb else power_curve(1 / (gamma or _SRGB_GAMMA))
    if means_srgb and points == SRGB_CHROMATICITIES:
        yield ColorDescription("gAMA/cHRM", SRGB)
        return
    name = f"gamma {1 / gamma:.3g}" if gamma is not None and not means_srgb else "own primaries"
    yield ColorDescription("gAMA/cHRM", ColorSpace(name, points, curve))


def _of_exif(image: Image.Image) -> Iterator[ColorDescription]:
    block = image.info.get("exif")
    if isinstance(block, bytes):  # of a TIFF file, Pillow has it parsed already
        if any(entry in block for entry in _SRGB_ENTRIES):
            yield ColorDescription("EXIF", SRGB)
            return
        if not any(entry in block for entry in (*_SPACE_ENTRIES, _INTEROP_ADOBE.encode())):
            return
    try:
        exif = image.getexif()
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        index = str(exif.get_ifd(ExifTags.IFD.Interop).get(1, "")).strip("\0 ")
        software = str(exif.get(ExifTags.Base.Software, ""))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):  # a damaged block
        return
    if space == _EXIF_SRGB or index == _INTEROP_SRGB:
        yield ColorDescription("EXIF", SRGB)
    elif space == _EXIF_ADOBE or index == _INTEROP_ADOBE:
        yield ColorDescription("EXIF", ADOBE_RGB)
    elif space == _EXIF_UNCALIBRATED:
        # A camera has two spaces (DCF 2.0), and writes this for the one that is not sRGB. Photoshop writes it
        # for whatever it was not told, which is sRGB as a rule.
        photoshop = software.startswith("Adobe Photoshop")
        assumed = SRGB if photoshop else ADOBE_RGB
        yield ColorDescription(
            "EXIF", assumed, guessed=f"EXIF calls it uncalibrated and names none; {assumed.name} was assumed"
        )
