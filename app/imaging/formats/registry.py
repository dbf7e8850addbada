"""The image formats that the service knows: their names, media types and the suffixes of their files."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Format:
    """An image format.

    Attributes:
        name: as answers give it.
        media_type: by which clients label it; the content decides.
        suffixes: of its files, in lower case and with the dot.
    """

    name: str
    media_type: str
    suffixes: tuple[str, ...]


FORMATS: Final = (
    # Multi-picture files (MPO) are JPEG files with more pictures behind the first.
    Format("JPEG", "image/jpeg", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")),
    Format("PNG", "image/png", (".png",)),
    Format("TIFF", "image/tiff", (".tif", ".tiff")),
    Format("BMP", "image/bmp", (".bmp", ".dib")),
    Format("GIF", "image/gif", (".gif",)),
    Format("AVIF", "image/avif", (".avif",)),
    Format("HEIC", "image/heic", (".heic", ".heif")),
    Format("WebP", "image/webp", (".webp",)),
)
"""Every format that some installation reads; ``supported_formats`` in :mod:`app.imaging.decode`: this one."""

SUFFIXES: Final = frozenset(suffix for each in FORMATS for suffix in each.suffixes)
"""What is taken for an image in a folder; a file that is named itself is tried whatever its name."""
