"""When a photograph was taken, as its EXIF block says."""

from datetime import datetime, timedelta
from typing import Final

from PIL import ExifTags, Image

from models.color.upright import MAX_EXIF_BYTES

_FORM: Final = "%Y:%m:%d %H:%M:%S"
_SUBSECOND_DIGITS: Final = 6


def capture_time(image: Image.Image) -> datetime | None:
    """The tag DateTimeOriginal with its fraction of a second, by the camera's clock: without a time zone.

    Returns:
        None where there is no such tag, or none that is a time; whatever damage the block has.
    """
    block = image.info.get("exif")
    if isinstance(block, bytes) and len(block) > MAX_EXIF_BYTES:
        return None
    try:
        tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
        whole = datetime.strptime(str(tags[ExifTags.Base.DateTimeOriginal]).strip("\0 "), _FORM)
    except Exception:  # damaged EXIF raises whatever its bytes lead to: SyntaxError, struct.error, ...
        return None
    digits = str(tags.get(ExifTags.Base.SubsecTimeOriginal, "")).strip("\0 ")[:_SUBSECOND_DIGITS]
    if not (digits.isascii() and digits.isdigit()):
        return whole
    return whole + timedelta(seconds=int(digits) / 10 ** len(digits))
