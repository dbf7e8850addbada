"""The pixels of a JPEG file, and whether they are all there.

libjpeg fills in what it cannot read and only warns; Pillow drops these warnings. TurboJPEG reports the first
of them, so one pass gives the pixels and their state. Two kinds of damage cause no warning: missing scans,
which are searched for here, and missing data in arithmetic code, for which the answer has a warning.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from app.errors import InvalidImage
from app.imaging.formats.image_format import END_MISSING
from app.imaging.formats.structure.jpeg_markers import frame_of, lacks_scans

if TYPE_CHECKING:
    from PIL._imaging import ImagingCore

NOT_VERIFIED: Final = (
    "wholeness-unknown: the decoder cannot tell whether this kind of JPEG file is whole; "
    "look at the picture before you rely on the score."
)

_COLOR_SPACES: Final = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_END_MARKER: Final = b"\xff\xd9"

# The beginnings of libjpeg's messages (jerror.h).
_END_OF_FILE: Final = "Premature end of JPEG file"
_CUT: Final = "Corrupt JPEG data: premature end of data segment"
_NO_DAMAGE: Final = (
    "tjDecompressHeader3(): Could not determine subsampling",  # TurboJPEG's message; it knows the usual ones
    "Warning: unknown JFIF",
    "Unknown Adobe color",
    "Invalid SOS parameters",
)
"""What says nothing about the pixels. Only the first message is known, so damage may follow."""


class ArrayImage(Image.Image):
    """The samples of a decoded file. Pillow's copy of them is made only when an operation asks for it.

    Args:
        samples: ``(H, W)`` or ``(H, W, bands)`` uint8.
        opened: the file's header and metadata.
    """

    def __init__(self, samples: NDArray[np.uint8], opened: Image.Image) -> None:
        super().__init__()
        self._samples = samples
        self._mode = opened.mode
        self._size = samples.shape[1], samples.shape[0]
        self.format = opened.format
        self.info = dict(opened.info)

    @property
    def im(self) -> "ImagingCore":
        if self._im is None:
            self._im = Image.frombuffer(self.mode, self.size, self._samples, "raw", self.mode, 0, 1).im
        return super().im

    @im.setter
    def im(self, im: "ImagingCore") -> None:
        self._im = im

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._samples.__array_interface__


def decode_jpeg(image: Image.Image, data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """The image of a JPEG file, decoded, and warnings about it.

    The pixels are those that Pillow gives; both decode by libjpeg-turbo with the same choices.

    Args:
        image: of the file, opened by Pillow and perhaps reduced (``draft``), not decoded.
        data: the file.

    Raises:
        InvalidImage: the file is truncated, damaged, or lacks scans.
        OSError: it cannot be decoded at all.
    """
    if lacks_scans(data):
        raise InvalidImage(
            "The JPEG image is truncated: some of its scans are missing. Send the whole file again."
        )
    frame = frame_of(data)
    arithmetic = frame is not None and frame.arithmetic
    notes = (NOT_VERIFIED,) if arithmetic else ()
    try:
        samples = _samples(image, data)
    except ValueError as error:
        message = str(error)
        if message.startswith(_NO_DAMAGE):
            image.decodermaxblock = len(data)  # type: ignore[attr-defined]  # arithmetic code is read at once
            return image, (NOT_VERIFIED,)
        if message.startswith(_END_OF_FILE) and not arithmetic:
            samples, notes = _samples_up_to_end(image, data), (END_MISSING,)
        else:
            raise (_truncated() if message.startswith((_CUT, _END_OF_FILE)) else _damaged()) from error
    return ArrayImage(samples, image), notes


def _samples_up_to_end(image: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """The samples of a file that has all of them and lacks only its end marker.

    Raises:
        InvalidImage: it lacks more.
    """
    try:
        return _samples(image, data.removesuffix(_END_MARKER[:1]) + _END_MARKER)
    except ValueError as error:
        raise _truncated() from error


def _samples(image: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """Samples at the size that the image has now.

    Raises:
        ValueError: the decoder warns or gives up; the message is libjpeg's first.
    """
    width, height = image.size
    samples: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, _COLOR_SPACES[image.mode], min_width=width, min_height=height
    )
    if image.mode == "CMYK":
        np.invert(samples, out=samples)  # Adobe's convention, as Pillow has it
    return samples[:, :, 0] if image.mode == "L" else samples


def _truncated() -> InvalidImage:
    return InvalidImage(
        "The JPEG image is truncated: its data ends before the picture does. Send the whole file again."
    )


def _damaged() -> InvalidImage:
    return InvalidImage(
        "The JPEG image is damaged: a part of its data is corrupt or missing. Send an undamaged copy."
    )
