"""From bytes to checked, upright 8-bit sRGB pixels, with the provenance that goes into the answer.

The order is that of cost: bytes are counted, the format is told from its first bytes, the dimensions are read
from the header, and only an image within every limit is decoded. Pillow is given the one format that the
bytes claim to be, so no other decoder is exposed.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.errors import BodyTooLarge, InvalidImage, MalformedRequest, ServiceError
from app.imaging.drawn import is_uniform
from app.imaging.formats import registry
from app.imaging.formats.image_format import ImageFormat, Unreadable
from app.imaging.formats.structure.capture_time import capture_time
from app.imaging.formats.structure.jpeg_quality import NOT_JPEG, JpegEncoding, encoding_of
from app.imaging.limits import Limits, check_frames, check_memory, check_size, too_many_pixels
from app.imaging.metering import is_monochrome
from app.imaging.photograph import is_photograph
from models.color.colorimetry import DynamicRange
from models.color.upright import ASSUMED_SRGB, ColorRead, UnknownWhite, upright_srgb

# A bomb is an error even below the factor of two at which Pillow itself makes it one.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


Size = tuple[int, int]
"""Width and height in pixels."""

Least = Callable[[Size], Size | None]
"""Returns, for the size of an image, the least size at which its pixels are of use; None for its own."""


@dataclass(frozen=True)
class Header:
    """What an image file says of itself before anything is decoded; the size is not upright yet."""

    format: str
    width: int
    height: int


@dataclass(frozen=True)
class Provenance:
    """What was decoded: the upright size in pixels, what was done to the file's own pixels, and its kind."""

    width: int
    height: int
    format: str
    bytes: int
    sha256: str
    frames: int
    orientation_applied: bool
    color_converted: bool
    color_space: str = "sRGB (assumed)"
    dynamic_range: DynamicRange = "sdr"
    monochrome: bool = False
    photograph: bool = True


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 sRGB; smaller than the provenance says where less was wanted.
        provenance: where they come from.
        orientation_unknown: why the file's orientation could not be told, in a few words, or ''.
        guessed_bits: how many of 16 bits the samples use, where white was taken from that; otherwise None.
        color: what its colors mean, and what was done to them.
        notes: coded warnings about the file.
        uniform: whether there is next to nothing in it.
        encoding: of a JPEG file.
        taken: when the photograph was taken, by the camera's clock; None where the file does not say it.
    """

    pixels: NDArray[np.uint8]
    provenance: Provenance
    color: ColorRead = ASSUMED_SRGB
    orientation_unknown: str = ""
    guessed_bits: int | None = None
    notes: tuple[str, ...] = ()
    uniform: bool = False
    encoding: JpegEncoding = NOT_JPEG
    taken: datetime | None = None


class Opened:
    """An image file whose header was read and is within the limits. See :func:`opened`."""

    def __init__(
        self, data: bytes, format: ImageFormat, image: Image.Image, frames: int, limits: Limits
    ) -> None:
        self.header = Header(format.answered_name(image.format), image.width, image.height)
        self._data = data
        self._format = format
        self._image = image
        self._frames = frames
        self._limits = limits

    def decode(self, least: Least | None = None) -> Picture:
        """The first frame as upright sRGB pixels; once.

        Args:
            least: for a size, the width and height that are wanted at least. A JPEG file is then decoded at
                the smallest of the scales 1, 1/2, 1/4 and 1/8 that keeps to it, which saves most of its cost
                (libjpeg leaves out the higher frequencies of each block). Without it, at its own size.
        """
        width, height = self.header.width, self.header.height
        if least is not None and (wanted := least((width, height))) is not None:
            self._image.draft(None, wanted)  # does nothing for other formats
        expected = self._image.size
        if expected == (width, height):
            check_memory(self.header.format, width, height, self._format.bytes_per_pixel, self._limits)
        decoded, notes = self._format.decode(self._image, self._data)
        upright = upright_srgb(decoded, self._format.code_points(self._data), self._reopen)
        self._format.check_pixels(decoded, self._data)
        if set(upright.pixels.shape[:2]) != set(expected):
            # Memory was reserved for the header's size, so pixels of another size are not kept.
            raise InvalidImage(f"The {self.header.format} image has another size than its header says.")
        if expected == (width, height):
            height, width = upright.pixels.shape[:2]
        elif upright.sides_swapped:
            height, width = width, height
        uniform = is_uniform(upright.pixels)
        provenance = Provenance(
            width=width,
            height=height,
            format=self.header.format,
            bytes=len(self._data),
            sha256=hashlib.sha256(self._data).hexdigest(),
            frames=self._frames,
            orientation_applied=upright.orientation_applied or self._format.is_turned(self._data),
            color_converted=upright.color.converted,
            color_space=upright.color.space,
            dynamic_range=upright.color.dynamic_range,
            monochrome=is_monochrome(upright.pixels),
            photograph=is_photograph(upright.pixels, uniform=uniform),
        )
        return Picture(
            upright.pixels,
            provenance,
            upright.color,
            upright.orientation_unknown,
            upright.guessed_bits,
            notes,
            uniform,
            encoding_of(self._image),
            capture_time(self._image),
        )

    def _reopen(self) -> Image.Image:
        return _open(self._data, self._format)


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
    format = registry.sniff(data)
    # Pillow keeps this limit in a module global; it is the same for every image of a process.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        counted = _check_bytes(format, data, limits)
        # As a context, an image closes its file only. Whatever still refers to it must not keep its pixels.
        with closing(_open(data, format)) as image:
            check_size(image.width, image.height, limits)
            least_bytes = format.reduced_bytes_per_pixel or format.bytes_per_pixel
            check_memory(format.name, image.width, image.height, least_bytes, limits)
            format.check(image)
            number = counted or int(getattr(image, "n_frames", 1))
            check_frames(number, limits)
            yield Opened(data, format, image, number, limits)
    except Unreadable as error:
        raise registry.unsupported(error.reason, error.sentence) from error
    except ServiceError:
        raise
    except MemoryError as error:
        raise InvalidImage(
            f"The {format.name} image takes more memory to decode than an image may."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels(limits) from error
    except UnknownWhite as error:  # in our own words
        raise InvalidImage(str(error)) from error
    except Exception as error:  # damaged files raise whatever their bytes lead Pillow's readers to
        raise InvalidImage(f"The {format.name} image is truncated or damaged.") from error


def _open(data: bytes, format: ImageFormat) -> Image.Image:
    return Image.open(io.BytesIO(format.prepared(data)), formats=format.pillow[:1])


def decode(data: bytes, limits: Limits, least: Least | None = None) -> Picture:
    """The first frame of an image file as upright sRGB pixels.

    Args:
        data: the file.
        limits: of images.
        least: as :meth:`Opened.decode` takes it.

    Raises:
        ServiceError: as :func:`opened`.
    """
    with opened(data, limits) as image:
        return image.decode(least)


def _check_bytes(format: ImageFormat, data: bytes, limits: Limits) -> int | None:
    """Checks what can be told before the decoder sees the file; the number of frames, if that can."""
    if format.too_many_pieces(data):
        raise InvalidImage(f"The {format.name} image is made of more pieces than are read.")
    counted = None if format.count_frames is None else format.count_frames(data, limits.max_frames)
    if counted is not None:
        check_frames(counted, limits)
    for width, height in format.claimed_sizes(data):
        if width * height > limits.max_pixels:
            raise too_many_pixels(limits, width=width, height=height)
    return counted
