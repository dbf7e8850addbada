"""Small pictures of image files, as addresses that carry them."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Final

from PIL import Image

from app.errors import ServiceError
from app.fetching.bucket_files import BucketFailure, Buckets
from app.imaging import decode
from app.imaging.limits import Limits
from app.scoring.outcomes import FileName

DECODED_BEFORE: Final = Limits(max_bytes=2**31, max_pixels=200_000_000, max_side=10**6, max_aspect=10**6)
"""Of images that were scored: they kept to the limits of the settings, which need not be these."""

_SIDE: Final = 320  # pixels: sharp at half the size on screens of double density
_MOST_BYTES: Final = 15 * 1024  # a third more as an address
_QUALITIES: Final = (80, 65, 50, 35, 20)


def thumbnail(path: FileName, sha256: str, limits: Limits) -> str | None:
    """An image as it was scored, upright and in sRGB, as a ``data:`` address of some 20 KB at most.

    Args:
        path: of the file.
        sha256: of the file as it was scored.
        limits: of images.

    Returns:
        None where there is no such file any more, or another one.
    """
    try:
        data = _content(path, limits.max_bytes)
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            return None
        picture = Image.fromarray(decode.decode(data, limits, lambda _: (_SIDE, _SIDE)).pixels)
    except (OSError, ValueError, ServiceError, MemoryError, BucketFailure):
        return None
    picture.thumbnail((_SIDE, _SIDE))
    for quality in _QUALITIES:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= _MOST_BYTES:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _content(path: FileName, most: int) -> bytes | None:
    """The bytes of a file; None if there are more than `most`."""
    if isinstance(path, Path):
        return path.read_bytes() if path.stat().st_size <= most else None
    return Buckets().read(path, most)
