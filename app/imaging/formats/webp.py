"""WebP files, still and animated."""

from typing import Final

from PIL import features

from app.imaging.formats.image_format import ImageFormat


def is_webp(data: bytes) -> bool:
    """Whether a RIFF file is a picture."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


WEBP: Final = ImageFormat(
    name="WebP",
    pillow=("WEBP",),
    mime="image/webp",
    suffixes=(".webp",),
    bytes_per_pixel=29,
    recognize=is_webp,
    has_decoder=lambda: bool(features.check("webp")),
)
