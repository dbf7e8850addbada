"""From bytes to checked, upright 8-bit sRGB pixels, with the provenance that goes into the answer.

The order is that of cost: bytes are counted, the format is told from its first bytes, the dimensions are read
from the header, and only an image within every limit is decoded. Pillow is given the one format that the
bytes claim to be, so nothing else of it is exposed.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from app.errors import (
    BodyTooLarge,
    ImageTooLarge,
    ImageTooSmall,
    InvalidImage,
    MalformedRequest,
    ServiceError,
    UnsupportedMediaType,
)
from app.settings import Settings
from models.preprocessing import upright_srgb

_MEBI: Final = 2**20

# Pillow's names; its JPEG plugin hands multi-picture files over to MPO by itself.
_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_BMP_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_MOST_BRANDS_BYTES: Final = 256  # a file type box is a few dozen bytes long

# A bomb is an error even below the factor of two at which Pillow itself makes it one.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Limits:
    """What an image may measure: ``max_bytes``, and pixels for the rest."""

    max_bytes: int = 20 * _MEBI
    max_pixels: int = 50_000_000
    max_side: int = 30_000
    min_side: int = 32

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.max_body_bytes, settings.max_pixels, settings.max_side, settings.min_side)


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before anything is decoded; the size is not upright yet."""

    format: str
    width: int
    height: int


@dataclass(frozen=True)
class Provenance:
    """What was decoded: the upright size in pixels, and what had to be done to the file's own pixels."""

    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    frames: int
    orientation_applied: bool
    color_converted: bool


@dataclass(frozen=True)
class Picture:
    """A decoded image: ``(H, W, 3)`` uint8 sRGB pixels, and where they come from."""

    pixels: NDArray[np.uint8]
    provenance: Provenance


def inspect(data: bytes, limits: Limits) -> Header:
    """The format and size of an image file, within the limits; no pixel is decoded.

    Raises:
        MalformedRequest: there are no bytes.
        BodyTooLarge: there are more than ``limits.max_bytes``.
        UnsupportedMediaType: the bytes are of no format that is read here.
        InvalidImage: the header is damaged.
        ImageTooLarge, ImageTooSmall: by the header's size.
    """
    with _opened(data, limits) as image:
        return Header(_format_of(image), image.width, image.height)


def decode(data: bytes, limits: Limits) -> Picture:
    """The first frame of an image file as upright sRGB pixels.

    Raises:
        ServiceError: as :func:`inspect`; InvalidImage also where the pixels are truncated or damaged.
    """
    with _opened(data, limits) as image:
        format = _format_of(image)
        image.load()
        upright = upright_srgb(image)
        frames = int(getattr(image, "n_frames", 1))
    height, width = upright.pixels.shape[:2]
    provenance = Provenance(
        width=width,
        height=height,
        format=format,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        frames=frames,
        orientation_applied=upright.orientation_applied,
        color_converted=upright.color_converted,
    )
    return Picture(upright.pixels, provenance)


@cache
def supported_formats() -> tuple[str, ...]:
    """The formats that this installation reads."""
    optional = {
        "AVIF": bool(features.check("avif")),
        "HEIC": _has_heif(),
        "WebP": bool(features.check("webp")),
    }
    return ("JPEG", "PNG", "TIFF", "BMP", "GIF", *(name for name, present in optional.items() if present))


@contextmanager
def _opened(data: bytes, limits: Limits) -> Iterator[Image.Image]:
    """The file, opened and within the limits; what goes wrong inside the block is the image's fault."""
    if not data:
        raise MalformedRequest("The image is empty.")
    if len(data) > limits.max_bytes:
        raise BodyTooLarge(f"An image may have {limits.max_bytes} bytes.", limit_bytes=limits.max_bytes)
    format = _sniff(data)
    # Pillow keeps this limit in a module global; it is the same for every image of a process.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with Image.open(io.BytesIO(data), formats=(format,)) as image:
            _check_size(image.width, image.height, limits)
            yield image
    except (ServiceError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(limits) from error
    except Exception as error:  # damaged files raise whatever their bytes lead Pillow's readers to
        raise InvalidImage(f"The {_display(format)} image is truncated or damaged.") from error


def _sniff(data: bytes) -> str:
    """Pillow's name of the format whose signature the bytes carry."""
    for signature, format in _SIGNATURES:
        if data.startswith(signature):
            return format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    # Two letters are no signature: the size of the second header tells a bitmap from a text.
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _sniff_iso_media(data)
    raise UnsupportedMediaType(
        f"The bytes are not an image in a format that is read here: {', '.join(supported_formats())}.",
        supported=list(supported_formats()),
    )


def _sniff_iso_media(data: bytes) -> str:
    """AVIF and HEIC share a container with video; the brands in its first box tell them apart."""
    box = data[8 : min(int.from_bytes(data[:4], "big"), _MOST_BRANDS_BYTES)]
    brands = {
        box[start : start + 4] for start in range(0, len(box), 4) if start != 4
    }  # 4: a version, no brand
    if brands & _AVIF_BRANDS:
        if "AVIF" in supported_formats():
            return "AVIF"
        missing = "AVIF is not read by this server's build of Pillow."
    elif brands & _HEIC_BRANDS:
        if "HEIC" in supported_formats():
            return "HEIF"
        missing = "HEIC is read only where the extra `heic` is installed (pip install 'iqa-service[heic]')."
    else:
        missing = "The file is a video or another medium, not an image."
    raise UnsupportedMediaType(missing, supported=list(supported_formats()))


@cache
def _has_heif() -> bool:
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _check_size(width: int, height: int, limits: Limits) -> None:
    size = {"width": width, "height": height}
    if width * height > limits.max_pixels:
        raise _too_many_pixels(limits, **size)
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(
            f"No side may be longer than {limits.max_side} pixels; the image is {width} x {height}.",
            max_side=limits.max_side,
            **size,
        )
    if min(width, height) < limits.min_side:
        raise ImageTooSmall(
            f"Each side must have at least {limits.min_side} pixels; the image is {width} x {height}.",
            min_side=limits.min_side,
            **size,
        )


def _too_many_pixels(limits: Limits, **size: int) -> ImageTooLarge:
    return ImageTooLarge(
        f"An image may have {limits.max_pixels} pixels.", max_pixels=limits.max_pixels, **size
    )


def _format_of(image: Image.Image) -> str:
    return _display(image.format or "")


def _display(format: str) -> str:
    return {"WEBP": "WebP", "HEIF": "HEIC"}.get(format, format)
