"""The image formats that the service knows. Everything that depends on formats is derived from this list."""

from functools import cache
from typing import Final

from app.errors import UnsupportedMediaType
from app.imaging.formats import isobmff, other_content
from app.imaging.formats.bmp import BMP
from app.imaging.formats.camera_raw import check_not_raw
from app.imaging.formats.gif import GIF
from app.imaging.formats.image_format import ImageFormat, Unreadable
from app.imaging.formats.isobmff import AVIF, HEIC
from app.imaging.formats.jpeg import JPEG
from app.imaging.formats.jpeg_xl import JPEG_XL
from app.imaging.formats.png import PNG
from app.imaging.formats.tiff import TIFF
from app.imaging.formats.webp import WEBP

FORMATS: Final = (
    JPEG,
    PNG,
    TIFF,
    BMP,
    GIF,
    AVIF,
    HEIC,
    JPEG_XL,
    WEBP,
)
"""Every format that some installation reads; for those that this one reads, see :func:`supported_formats`."""

SUFFIXES: Final = frozenset(suffix for each in FORMATS for suffix in each.suffixes)
"""Suffixes of the files in a folder that are taken for images; a file given by name is always tried."""


@cache
def supported_formats() -> tuple[str, ...]:
    """Names of the formats that this installation reads. Loads their decoders."""
    return tuple(each.name for each in FORMATS if each.has_decoder())


def fidelity_of(name: str) -> int:
    """How true to their pictures the files of a format are taken to be, by its name in answers.

    See :attr:`ImageFormat.fidelity`; variants of a format count as lossy.
    """
    return next((each.fidelity for each in FORMATS if each.name == name), ImageFormat.fidelity)


def sniff(data: bytes) -> ImageFormat:
    """The format of a file, by its first bytes.

    Raises:
        UnsupportedMediaType: it is in no known format, in one that this installation does not read, or a
            camera RAW file.
    """
    try:
        check_not_raw(data)
    except Unreadable as error:
        raise unsupported(error.reason, error.sentence) from error
    for format in FORMATS:
        if format.matches(data):
            if format.name not in supported_formats():
                raise unsupported("decoder-missing", format.missing_decoder())
            return format
    if isobmff.is_container(data):
        raise unsupported("no-image", "The file is a video or another medium, not an image.")
    raise unsupported(
        "unknown-format",
        other_content.explain(data)
        or f"The bytes are not an image in a format that is read here: {', '.join(supported_formats())}.",
    )


def unsupported(reason: str, sentence: str) -> UnsupportedMediaType:
    """The problem of a file that is not read here."""
    return UnsupportedMediaType(sentence, reason=reason, supported=list(supported_formats()))
