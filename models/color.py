"""From a decoded image to upright sRGB pixels: orientation, transparency, 16-bit samples, color profiles.

Training, evaluation and the service all come through here, so a model is asked about the same pixels that it
learnt from.
"""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageCms

from models.preprocessing import Pixels

MAX_PROFILE_BYTES: Final = 4 * 2**20  # the largest real ones, of printers, have two to three million
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
_SWAPPING: Final = {_TRANSPOSES[orientation] for orientation in (5, 6, 7, 8)}
# Rounds to nearest: 257 is odd, so there are no ties.
_SIXTEEN_TO_EIGHT: Final = ((np.arange(65536) + 128) // 257).astype(np.uint8)


@dataclass(frozen=True)
class Upright:
    """An image as people see it.

    Attributes:
        pixels: ``(H, W, 3)`` uint8, sRGB.
        orientation_applied: whether the file's orientation asked for a turn or a flip.
        sides_swapped: whether this turn made the height the width. Not told of TIFF files.
        color_converted: whether an embedded color profile was converted to sRGB.
        orientation_unknown: why the file's orientation could not be told, in a few words, or ''.
        profile_ignored: why an embedded color profile was not used, in a few words, or ''.
    """

    pixels: Pixels
    orientation_applied: bool
    sides_swapped: bool
    color_converted: bool
    orientation_unknown: str = ""
    profile_ignored: str = ""


class UnknownWhite(ValueError):
    """Samples of 32 bits of which nothing says what white is; the message is for the image's owner."""


def upright_srgb(image: Image.Image) -> Upright:
    """Upright 8-bit sRGB pixels of any image that Pillow opens.

    In this order: grey of more than 8 bits becomes 8 bits (16-bit integers divided by 257; floats in [0, 1]
    times 255), an embedded ICC profile is converted to sRGB (perceptual intent), alpha is laid over white,
    the EXIF orientation is applied. Unreadable EXIF and ICC data are ignored, and so are a profile for
    another kind of pixels than the image has, and blocks of more than :data:`MAX_EXIF_BYTES` and
    :data:`MAX_PROFILE_BYTES`; the answer says so. Only the current frame is read. (Of 16-bit color Pillow
    itself keeps the high bytes.)

    Args:
        image: of any mode that Pillow opens; it is loaded, and otherwise left as it is. Best not loaded yet:
            a TIFF file is turned while it is loaded, which could not be told afterwards.

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
    if not early:
        image.load()
    orientation, orientation_unknown = _orientation(image)
    image.load()
    turned = early and _orientation(image)[0] != orientation
    turn = None if turned else _TRANSPOSES.get(orientation)
    icc = image.info.get("icc_profile")

    deep = image.mode.startswith("I") or image.mode == "F"
    image, alpha = _eight_bits(image) if deep else _without_alpha(image)
    converted, profile_ignored = _to_srgb(image, icc)
    if converted is not None:
        image = converted
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if alpha is not None:
        image.paste((255, 255, 255), mask=ImageChops.invert(alpha))
    if turn is not None:
        image = image.transpose(turn)
    return Upright(
        pixels=np.array(image),
        orientation_applied=orientation in _TRANSPOSES,
        sides_swapped=turn in _SWAPPING,
        color_converted=converted is not None,
        orientation_unknown=orientation_unknown,
        profile_ignored=profile_ignored,
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


def _eight_bits(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 16 or 32 bits as mode L, and alpha (L) where it names a transparent value."""
    samples = np.asarray(image)
    low, high = samples.min(), samples.max()
    if image.mode == "F":
        if not (low >= 0.0 and high <= 1.0):  # also catches NaN
            raise UnknownWhite(
                "Floating-point samples must lie in [0, 1]; what white is in others is unknown."
            )
        grey = np.rint(samples * np.float32(255.0)).astype(np.uint8)
    else:
        if low < 0 or high > 65535:
            raise UnknownWhite("Integer samples must fit in 16 bits; what white is in others is unknown.")
        grey = _SIXTEEN_TO_EIGHT[samples]
    transparent = image.info.get("transparency")
    alpha = None
    if isinstance(transparent, int):
        alpha = Image.fromarray(np.where(samples == transparent, np.uint8(0), np.uint8(255)))
    return Image.fromarray(grey), alpha


def _without_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Color (1, L, P, RGB, CMYK, ...) and alpha (L; None where all is opaque), not composed yet."""
    if not image.has_transparency_data:
        return image, None
    grey = image.mode in ("1", "L", "LA")  # stays grey, for a profile of grey to apply to
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = image.getchannel("A")
    color = image.getchannel("R") if grey else image.convert("RGB")
    return color, None if alpha.getextrema() == (255, 255) else alpha


def _to_srgb(image: Image.Image, icc: object) -> tuple[Image.Image | None, str]:
    """RGB by the image's profile, or None without a conversion; and why a profile is not used."""
    embedded = icc if isinstance(icc, bytes) and image.mode != "LAB" else b""
    if len(embedded) > MAX_PROFILE_BYTES:
        return None, "it is too large"
    try:
        if image.mode == "LAB":  # L*a*b* is a color space of its own and needs no embedded profile
            source, mode = ImageCms.createProfile("LAB"), "LAB"
        elif embedded:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
            mode = _profile_mode(profile.profile.xcolor_space, image.mode)
            if not mode:
                return None, "it is for another kind of pixels"
            if _is_srgb(profile):
                return None, ""
            source = profile.profile
        else:
            return None, ""
        converted = ImageCms.profileToProfile(
            image if image.mode == mode else image.convert(mode),
            ImageCms.ImageCmsProfile(source),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.PERCEPTUAL,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a corrupt profile
        return None, "it is damaged"
    return converted, ""


def _profile_mode(space: str, mode: str) -> str:
    """The Pillow mode in which a profile of this color space applies to an image of this mode, or ''."""
    match space.strip():
        case "RGB":  # grey images with an RGB profile are common, and mean grey in that RGB space
            return "" if mode in ("CMYK", "LAB") else "RGB"
        case "GRAY":
            return "L" if mode in ("1", "L") else ""
        case "CMYK":
            return "CMYK" if mode == "CMYK" else ""
        case _:
            return ""


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    description = (profile.profile.profile_description or "").strip().lower()
    return description.startswith("srgb") and "linear" not in description
