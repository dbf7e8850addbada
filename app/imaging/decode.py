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
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, features

from app.errors import (
    BodyTooLarge,
    InvalidImage,
    MalformedRequest,
    ServiceError,
    UnsupportedMediaType,
)
from app.imaging.formats import frame_count, isobmff, piece_count
from app.imaging.formats.registry import FORMATS
from models.color import UnknownWhite, upright_srgb

if TYPE_CHECKING:  # processes that decode have no settings, and are to start quickly
    pass
from app.imaging.limits import MEBI, Limits, check_frames, check_size, too_many_pixels

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
_BMP_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# What libtiff reads beyond these is of last century's scanners and of radiance maps: hardly ever sent, and
# hardly ever tested.
_TIFF_COMPRESSIONS: Final = frozenset({
    "raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "tiff_deflate",
    "packbits", "lzma", "zstd", "webp",
})  # fmt: skip
# A bomb is an error even below the factor of two at which Pillow itself makes it one.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# Of a PNG file, compressed texts and profiles are unpacked while the header is read. Pillow's own limit of
# a mebibyte each is too low for printers' profiles, and its 64 for all texts higher than anybody needs.
PngImagePlugin.MAX_TEXT_CHUNK = 8 * MEBI
PngImagePlugin.MAX_TEXT_MEMORY = 16 * MEBI


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
    """A decoded image.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 sRGB.
        provenance: where they come from.
        orientation_unknown: why the file's orientation could not be told, in a few words, or ''.
        profile_ignored: why its colour profile was not used, likewise.
    """

    pixels: NDArray[np.uint8]
    provenance: Provenance
    orientation_unknown: str = ""
    profile_ignored: str = ""


class Opened:
    """An image file whose header was read and is within the limits. See :func:`opened`."""

    def __init__(self, data: bytes, image: Image.Image, frames: int) -> None:
        self.header = Header(_display(image.format or ""), image.width, image.height)
        self._data = data
        self._image = image
        self._frames = frames

    def decode(self) -> Picture:
        """The first frame as upright sRGB pixels; once."""
        upright = upright_srgb(self._image)
        height, width = upright.pixels.shape[:2]
        if {width, height} != {self.header.width, self.header.height}:
            # What was admitted by the one size is not to be held at the other.
            raise InvalidImage(f"The {self.header.format} image has another size than its header says.")
        provenance = Provenance(
            width=width,
            height=height,
            format=self.header.format,
            bytes=len(self._data),
            sha256=hashlib.sha256(self._data).hexdigest(),
            frames=self._frames,
            # HEIC files are turned by their reader, on the container's word; their EXIF block counts nothing.
            orientation_applied=upright.orientation_applied or self._turned_by_its_reader(),
            color_converted=upright.color_converted,
        )
        return Picture(upright.pixels, provenance, upright.orientation_unknown, upright.profile_ignored)

    def _turned_by_its_reader(self) -> bool:
        return self.header.format == "HEIC" and isobmff.is_turned(self._data)


@contextmanager
def opened(data: bytes, limits: Limits) -> Iterator[Opened]:
    """Opens an image file; no pixel is decoded yet. What goes wrong inside the block is the image's fault.

    Raises:
        MalformedRequest: there are no bytes.
        BodyTooLarge: there are more than ``limits.max_bytes``.
        UnsupportedMediaType: the bytes are of no format that is read here.
        InvalidImage: the file is truncated or damaged, or takes more memory than there is for one.
        ImageTooLarge, ImageTooSmall: by the header.
    """
    if not data:
        raise MalformedRequest("The image is empty.")
    if len(data) > limits.max_bytes:
        raise BodyTooLarge(f"An image may have {limits.max_bytes} bytes.", limit_bytes=limits.max_bytes)
    format = _sniff(data)
    # Pillow keeps this limit in a module global; it is the same for every image of a process.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        counted = _check_pieces(format, data, limits)
        if isobmff.is_container(data):
            # Their libraries call a size that they find too large damage.
            for width, height in isobmff.claimed_sizes(data):
                if width * height > limits.max_pixels:
                    raise too_many_pixels(limits, width=width, height=height)
        with Image.open(io.BytesIO(data), formats=(format,)) as image:
            check_size(image.width, image.height, limits)
            _check_compression(image)
            number = counted or int(getattr(image, "n_frames", 1))
            check_frames(number, limits)
            yield Opened(data, image, number)
    except ServiceError:
        raise
    except MemoryError as error:
        raise InvalidImage(
            f"The {_display(format)} image takes more memory to decode than an image may."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(limits) from error
    except UnknownWhite as error:  # in our own words
        raise InvalidImage(str(error)) from error
    except Exception as error:  # damaged files raise whatever their bytes lead Pillow's readers to
        raise InvalidImage(f"The {_display(format)} image is truncated or damaged.") from error


def decode(data: bytes, limits: Limits) -> Picture:
    """The first frame of an image file as upright sRGB pixels.

    Raises:
        ServiceError: as :func:`opened`.
    """
    with opened(data, limits) as image:
        return image.decode()


@cache
def supported_formats() -> tuple[str, ...]:
    """The formats that this installation reads."""
    optional = {
        "AVIF": bool(features.check("avif")),
        "HEIC": _has_heif(),
        "WebP": bool(features.check("webp")),
    }
    return tuple(each.name for each in FORMATS if optional.get(each.name, True))


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
    if isobmff.is_container(data):
        return _sniff_container(data)
    raise UnsupportedMediaType(
        f"The bytes are not an image in a format that is read here: {', '.join(supported_formats())}.",
        reason="unknown-format",
        supported=list(supported_formats()),
    )


def _sniff_container(data: bytes) -> str:
    match isobmff.kind(data):
        case "AVIF" if "AVIF" in supported_formats():
            return "AVIF"
        case "AVIF":
            reason, missing = "decoder-missing", "AVIF is not read by this server's build of Pillow."
        case "HEIF" if "HEIC" in supported_formats():
            return "HEIF"
        case "HEIF":
            reason, missing = (
                "decoder-missing",
                "HEIC is read only where the extra `heic` is installed (pip install 'iqa-service[heic]').",
            )
        case None:
            reason, missing = "no-image", "The file is a video or another medium, not an image."
    raise UnsupportedMediaType(missing, reason=reason, supported=list(supported_formats()))


@cache
def _has_heif() -> bool:
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return False
    # The image itself and nothing that lies beside it; libheif's own limits stay as they are. One thread:
    # images are decoded beside one another already.
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True


def _check_compression(image: Image.Image) -> None:
    if image.format == "TIFF" and image.info.get("compression") not in _TIFF_COMPRESSIONS:
        raise UnsupportedMediaType(
            "TIFF files of this compression are not read; LZW and Deflate are.",
            reason="compression",
            supported=list(supported_formats()),
        )


def _check_pieces(format: str, data: bytes, limits: Limits) -> int | None:
    """The number of frames, where it can be told before Pillow goes through them all."""
    if piece_count.are_too_many(format, data):
        raise InvalidImage(f"The {_display(format)} image is made of more pieces than are read.")
    counted = frame_count.count(format, data, limits.max_frames)
    if counted is not None:
        check_frames(counted, limits)
    return counted


def _display(format: str) -> str:
    return {"WEBP": "WebP", "HEIF": "HEIC"}.get(format, format)
