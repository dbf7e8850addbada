"""From a decoded image to upright sRGB pixels: orientation, transparency, 16-bit samples, color.

Training, evaluation and the service all come through here, so a model is asked about the same pixels that it
learned from.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

from models.color.colorimetry import ColorSpace, DynamicRange, gray_to_srgb, to_srgb
from models.color.deep_space import (
    MAX_PROFILE_BYTES,
    TOO_LARGE,
    DeepSpace,
    deep_space,
    is_srgb_profile,
    profile_name,
)
from models.color.description import CodePoints, ColorDescription, color_descriptions
from models.color.sample_range import (
    DeepColor,
    Reopen,
    bits_in_use,
    deep_color,
    eight_bit_table,
    is_deep_color,
)
from models.preprocessing import Pixels

MAX_EXIF_BYTES: Final = 2**20  # sixteen times what a JPEG file can hold
_ORIENTATION_TAG: Final = 0x0112
_EMPTY_EXIF_BYTES: Final = 6 + 8 + 2 + 4  # its mark, the TIFF header, a count of no entries, no further block
_TRANSPOSES: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEPTH: Final = 16
_DEEP_WHITE: Final = 0xFFFF
_OTHER_PIXELS: Final = "it is for another kind of pixels"
_SWAPPING: Final = {_TRANSPOSES[orientation] for orientation in (5, 6, 7, 8)}
_BITS_PER_SAMPLE_TAG: Final = 258
_PHOTOMETRIC_TAG: Final = 262
_WHITE_IS_ZERO: Final = 0
_SAMPLE_FORMAT_TAG: Final = 339
_SIGNED: Final = 2


@dataclass(frozen=True)
class ColorRead:
    """What the colors of a file mean, and what was done to them.

    Attributes:
        space: name of the color space and, in parentheses, what named it; ``assumed`` where nothing did.
        dynamic_range: of that space.
        converted: whether the samples were converted to sRGB.
        clipped: share of pixels brighter than the white of a photograph, which were clipped.
        ignored: why an embedded description of the color was not used, in a few words, or ''.
        guessed: why the space is a guess, in a few words, or ''.
    """

    space: str
    dynamic_range: DynamicRange = "sdr"
    converted: bool = False
    clipped: float = 0.0
    ignored: str = ""
    guessed: str = ""


ASSUMED_SRGB: Final = ColorRead("sRGB (assumed)")
"""Nothing names the color space."""


@dataclass(frozen=True)
class Upright:
    """An image as people see it.

    Attributes:
        pixels: ``(H, W, 3)`` uint8, sRGB.
        orientation_applied: whether the file's orientation asked for a turn or a flip.
        sides_swapped: whether this turn made the height the width. Not told of TIFF files.
        orientation_unknown: why the file's orientation could not be told, in a few words, or ''.
        color: what the colors of the file mean, and what was done to them.
        guessed_bits: how many of 16 bits the samples use, where white was taken from that; otherwise None.
    """

    pixels: Pixels
    orientation_applied: bool
    sides_swapped: bool
    orientation_unknown: str
    color: ColorRead
    guessed_bits: int | None = None


class _Unusable(Exception):
    """A description of the color that cannot be used; the message says why."""


class UnknownWhite(ValueError):
    """Samples of 32 bits of which nothing says what white is; the message is for the image's owner."""


def upright_srgb(
    image: Image.Image, points: CodePoints | None = None, reopen: Reopen | None = None
) -> Upright:
    """Upright 8-bit sRGB pixels of any image that Pillow opens.

    In this order: samples of more than 8 bits become 8 bits (16-bit integers divided by 257, or by less
    where they use 8, 10, 12 or 14 bits only; floats in [0, 1] times 255), the colors are converted to sRGB
    (of ICC profiles with perceptual intent), alpha is laid over white, the EXIF orientation is applied.
    Samples of more than 8 bits are converted before they become 8 bits, except by profiles with tables.
    Unreadable EXIF and ICC data are ignored, and so are a profile for another kind of pixels than the image
    has, and blocks of more than :data:`MAX_EXIF_BYTES` and :data:`MAX_PROFILE_BYTES`; the answer says so.
    Only the current frame is read.

    Args:
        image: of any mode that Pillow opens; it is loaded, and otherwise left as it is. Best not loaded yet:
            a TIFF file is turned while it is loaded, which could not be told afterwards.
        points: code points of the color that the file carries and Pillow does not read.
        reopen: opens the file again; without it, 16-bit color keeps its high bytes, whatever bits are used.

    Returns:
        Pixels and what was done to them.

    Raises:
        UnknownWhite: 32-bit samples without a known white: floats outside [0, 1] or not finite, integers
            beyond 16 bits.
        OSError: the image data cannot be decoded (the usual one; Pillow raises others too).
    """
    # A TIFF file is turned while it is loaded, and loses the tag. All others are loaded first: to ask a PNG
    # file for its tag loads it too, and its damage would be taken for that of the tag.
    early = image.format == "TIFF"
    is_deep = reopen is not None and is_deep_color(image)
    if not early:
        image.load()
    orientation, orientation_unknown = _orientation(image)
    image.load()
    turned = early and _orientation(image)[0] != orientation
    turn = None if turned else _TRANSPOSES.get(orientation)
    descriptions = list(color_descriptions(image, points, with_exif=not orientation_unknown))

    image, alpha, color, bits = _eight_bit_rgb(image, descriptions, reopen if is_deep else None)
    if alpha is not None:
        image.paste((255, 255, 255), mask=ImageChops.invert(alpha))
    if turn is not None:
        image = image.transpose(turn)
    return Upright(
        # Writable, and in one piece; not copied where the image is an array already.
        pixels=np.require(np.asarray(image), requirements=["C", "W"]),
        orientation_applied=orientation in _TRANSPOSES,
        sides_swapped=turn in _SWAPPING,
        orientation_unknown=orientation_unknown,
        color=color,
        guessed_bits=None if bits == _DEPTH else bits,
    )


def _orientation(image: Image.Image) -> tuple[int, str]:
    """The value of the tag, 1 where there is none, and why it could not be told, or ''."""
    block = image.info.get("exif")
    if isinstance(block, bytes) and len(block) > MAX_EXIF_BYTES:
        return 1, "the EXIF block is too large to be read"
    try:
        exif = image.getexif()
        value = int(exif.get(_ORIENTATION_TAG, 1))
    except Exception:  # corrupt EXIF raises whatever its bytes lead to: SyntaxError, struct.error, ...
        return 1, "the EXIF block is damaged"
    # Of some damage Pillow makes a block with nothing in it.
    damaged = isinstance(block, bytes) and len(block) > _EMPTY_EXIF_BYTES and not len(exif)
    return value, "the EXIF block is damaged" if damaged else ""


def _eight_bit_rgb(
    image: Image.Image, descriptions: list[ColorDescription], reopen: Reopen | None
) -> tuple[Image.Image, Image.Image | None, ColorRead, int | None]:
    """sRGB of 8 bits, alpha (L) or None, what was done to the colors, and the bits in use.

    Args:
        image: loaded.
        descriptions: of its color.
        reopen: opens a picture in deep color again; None for another one.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_gray(image, descriptions)
    bits = None
    if reopen is not None:
        space = deep_space(image, descriptions)
        deep = deep_color(image, reopen, wanted=space is not None)
        bits = None if deep is None else deep.bits
        if deep is not None and space is not None and (converted := _converted(deep, space)) is not None:
            alpha = deep.alpha() or _without_alpha(image)[1]
            return converted[0], alpha, converted[1], bits
        if deep is not None and deep.bits < _DEPTH:
            info, image = image.info, deep.eight_bits()
            image.info = info
    image, alpha = _without_alpha(image)
    rgb, color = _to_rgb(image, descriptions)
    return rgb, alpha, color, bits


def _converted(deep: DeepColor, space: DeepSpace) -> tuple[Image.Image, ColorRead] | None:
    try:
        pixels, clipped = to_srgb(deep, space.space)
    except ValueError:  # said by the conversion of 8 bits
        return None
    return Image.fromarray(pixels), _read(space, clipped)


def _read(deep: DeepSpace, clipped: float) -> ColorRead:
    name = f"{deep.space.name} ({deep.source})"
    return ColorRead(name, deep.space.dynamic_range, True, clipped, deep.ignored, deep.guessed)


def _from_deep_gray(
    image: Image.Image, descriptions: list[ColorDescription]
) -> tuple[Image.Image, Image.Image | None, ColorRead, int | None]:
    """As :func:`_eight_bit_rgb`, of gray of 16 or 32 bits. Alpha stands for a transparent value.

    The bits are None where white is known.
    """
    samples, white, bits = _deep_gray(image)
    space = deep_space(image, descriptions)
    if space is None:
        gray = eight_bit_table(white.bit_length()).take(samples)
        converted, color = _to_rgb(Image.fromarray(gray), descriptions)
    else:
        gray, clipped = gray_to_srgb(samples, space.space, white)
        converted, color = Image.fromarray(gray).convert("RGB"), _read(space, clipped)
    transparent = image.info.get("transparency")
    alpha = None
    if isinstance(transparent, int):
        alpha = Image.fromarray(np.where(samples == transparent, np.uint8(0), np.uint8(255)))
    return converted, alpha, color, bits


def _deep_gray(image: Image.Image) -> tuple[NDArray[np.integer[Any]], int, int | None]:
    """Samples of at most 16 bits, that of white, and the bits in use if white was taken from them."""
    samples = np.asarray(image)
    low, high = samples.min(), samples.max()
    bits = None
    if image.mode == "F":
        if not (low >= 0.0 and high <= 1.0):  # also catches NaN
            raise UnknownWhite(
                "Floating-point samples must lie in [0, 1]; what white is in others is unknown."
            )
        samples, white = np.rint(samples * np.float32(_DEEP_WHITE)).astype(np.uint16), _DEEP_WHITE
    else:
        if low < 0 or high > _DEEP_WHITE:
            raise UnknownWhite("Integer samples must fit in 16 bits; what white is in others is unknown.")
        declared = _declared_bits(image)
        bits = bits_in_use(int(high)) if declared is None else None
        white = (1 << (declared or bits or _DEPTH)) - 1
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:  # which Pillow sees to in 8 bits
        samples = white - samples.clip(max=white)
    return samples, white, bits


def _declared_bits(image: Image.Image) -> int | None:
    """The bits of samples that Pillow does not scale: in TIFF files 12, and 15 of signed ones of 16."""
    tags = getattr(image, "tag_v2", {})
    (bits, *_) = tags.get(_BITS_PER_SAMPLE_TAG, (_DEPTH,))
    (kind, *_) = tags.get(_SAMPLE_FORMAT_TAG, (1,))
    bits -= kind == _SIGNED
    return bits if bits < _DEPTH else None


def _without_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Color (1, L, P, RGB, CMYK, ...) and alpha (L; None where all is opaque), not composed yet."""
    if not image.has_transparency_data:
        return image, None
    gray = image.mode in ("1", "L", "LA")  # stays gray, for a profile of gray to apply to
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = image.getchannel("A")
    color = image.getchannel("R") if gray else image.convert("RGB")
    return color, None if alpha.getextrema() == (255, 255) else alpha


def _to_rgb(image: Image.Image, descriptions: Iterable[ColorDescription]) -> tuple[Image.Image, ColorRead]:
    """sRGB by the first description that can be used."""
    if image.mode == "LAB":  # a color space of its own, which needs no description
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return _by_profile(image, source, "LAB"), ColorRead("L*a*b*", converted=True)
    ignored = ""
    for each in descriptions:
        try:
            if each.space is not None:
                return _by_space(image, each, each.space, ignored)
            if not each.unusable:
                return _by_embedded(image, each.profile, ignored)
            reason = each.unusable
        except _Unusable as error:
            reason = str(error)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            reason = "it is damaged"
        ignored = ignored or reason
    space = "CMYK" if image.mode == "CMYK" else "sRGB"
    return _plain_rgb(image), ColorRead(f"{space} (assumed)", ignored=ignored)


def _by_space(
    image: Image.Image, description: ColorDescription, space: ColorSpace, ignored: str
) -> tuple[Image.Image, ColorRead]:
    if image.mode == "CMYK":
        raise _Unusable(_OTHER_PIXELS)
    name = f"{space.name} ({description.source})"
    rgb = _plain_rgb(image)
    if space.is_srgb:
        return rgb, ColorRead(name, ignored=ignored, guessed=description.guessed)
    pixels, clipped = to_srgb(np.asarray(rgb), space)
    read = ColorRead(name, space.dynamic_range, True, clipped, ignored, description.guessed)
    return Image.fromarray(pixels), read


def _by_embedded(image: Image.Image, data: bytes, ignored: str) -> tuple[Image.Image, ColorRead]:
    if len(data) > MAX_PROFILE_BYTES:
        raise _Unusable(TOO_LARGE)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    mode = _profile_mode(profile.profile.xcolor_space, image.mode)
    if not mode:
        raise _Unusable(_OTHER_PIXELS)
    if is_srgb_profile(profile):
        return _plain_rgb(image), ColorRead("sRGB (ICC)", ignored=ignored)
    converted = _by_profile(image, profile, mode)
    return converted, ColorRead(f"{profile_name(profile)} (ICC)", converted=True, ignored=ignored)


def _by_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image if image.mode == mode else image.convert(mode),
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.PERCEPTUAL,
        outputMode="RGB",
    )
    assert converted is not None  # it is only where the image is changed in place
    return converted


def _plain_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _profile_mode(space: str, mode: str) -> str:
    """The Pillow mode in which a profile of this color space applies to an image of this mode, or ''."""
    match space.strip():
        case "RGB":  # gray images with an RGB profile are common, and mean gray in that RGB space
            return "" if mode in ("CMYK", "LAB") else "RGB"
        case "GRAY":
            return "L" if mode in ("1", "L") else ""
        case "CMYK":
            return "CMYK" if mode == "CMYK" else ""
        case _:
            return ""
