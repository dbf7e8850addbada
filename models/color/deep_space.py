"""The color space that samples of more than 8 bits are converted from, before they are cut to 8 bits."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageCms

from models.color.colorimetry import ColorSpace
from models.color.description import ColorDescription, ColorSource
from models.color.matrix_profile import profile_space

MAX_PROFILE_BYTES: Final = 4 * 2**20  # the largest real ones, of printers, have two to three million
TOO_LARGE: Final = "it is too large"
_LONGEST_NAME: Final = 60  # characters of a profile's own name
_DEEP_GRAY: Final = ("I", "F")  # modes begin with


@dataclass(frozen=True)
class DeepSpace:
    """A color space, and how it was found.

    Attributes:
        space: of the samples.
        source: what names it.
        ignored: why a description that counts before it is not used, in a few words, or ''.
        guessed: why the space is a guess, in a few words, or ''.
    """

    space: ColorSpace
    source: ColorSource
    ignored: str
    guessed: str


def deep_space(image: Image.Image, descriptions: Iterable[ColorDescription]) -> DeepSpace | None:
    """The space by the first description that can be used; None for sRGB and for profiles with tables.

    Args:
        image: of the samples.
        descriptions: of its color, the one that counts first.
    """
    ignored = ""
    for each in descriptions:
        if each.unusable or len(each.profile) > MAX_PROFILE_BYTES:
            ignored = ignored or each.unusable or TOO_LARGE
            continue
        space = each.space or _space_of_profile(image, each.profile)
        if space is None or space.is_srgb:
            return None
        return DeepSpace(space, each.source, ignored, each.guessed)
    return None


def _space_of_profile(image: Image.Image, data: bytes) -> ColorSpace | None:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # the conversion of 8 bits says so
    is_gray = profile.profile.xcolor_space.strip() == "GRAY"
    if is_srgb_profile(profile) or (is_gray and not image.mode.startswith(_DEEP_GRAY)):
        return None
    return profile_space(data, profile_name(profile))


def profile_name(profile: ImageCms.ImageCmsProfile) -> str:
    """What a profile calls itself, on one short line."""
    words = " ".join((profile.profile.profile_description or "").split())
    return "".join(each for each in words if each.isprintable())[:_LONGEST_NAME] or "unnamed"


def is_srgb_profile(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether a profile calls itself sRGB."""
    description = (profile.profile.profile_description or "").strip().lower()
    return description.startswith("srgb") and "linear" not in description
