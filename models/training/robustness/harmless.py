"""Changes that no viewer would notice, which scores should not follow: a good photograph stays as good."""

import io
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from PIL import Image

from models.preprocessing import Pixels


def smaller(photo: Pixels) -> Pixels:
    """At three quarters of the size, by Pillow's Lanczos filter, which is antialiased."""
    height, width = photo.shape[:2]
    size = round(width * 0.75), round(height * 0.75)
    return np.array(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def recompressed(photo: Pixels) -> Pixels:
    """Through a JPEG of quality 95 with full chroma (4:4:4)."""
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=95, subsampling="4:4:4")
    with Image.open(file) as image:
        return np.array(image)


def mirrored(photo: Pixels) -> Pixels:
    """Left and right exchanged."""
    return np.ascontiguousarray(photo[:, ::-1])


HARMLESS: Final[Mapping[str, Callable[[Pixels], Pixels]]] = {
    "3/4 size": smaller,
    "jpeg 95": recompressed,
    "mirrored": mirrored,
}
"""Changes that leave a photograph as good as it was: ``(H, W, 3)`` uint8 in and out."""
