"""JPEG XL files (ISO/IEC 18181): a bare codestream, or one in a container of boxes.

The reader that comes with the decoder decodes a file while it is opened. The one here opens a file by its
header and decodes when the pixels are asked for. It hands over the codestream alone, without what lies beside
it: the standard gives EXIF blocks no say in the orientation, and a restored JPEG file would need a second
decoder.
"""

import re
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image, ImageFile

from app.imaging.formats.image_format import ImageFormat, Unreadable
from app.imaging.formats.isobmff import AMBIGUOUS_ORIENTATION
from app.imaging.formats.structure.boxes import boxes

_CODESTREAM: Final = b"\xff\x0a"
_CONTAINER: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
_MAX_BOXES: Final = 20_000  # encoders write about ten
_HEADER_BYTES: Final = 64  # sizes, orientation and animation take fewer than 30
_RATIOS: Final = {1: (1, 1), 2: (6, 5), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_UPRIGHT: Final = 1
_FIRST_TRANSPOSED: Final = 5  # of the values of an orientation, as in EXIF
_SRGB: Final = re.compile(rb"(RGB_D65_SRG|Gra_D65)_..._SRG")
"""How libjxl describes its own profiles of sRGB, in color and gray."""


class CodestreamHeader:
    """What the first bits of a codestream say (ISO/IEC 18181-1, image header).

    Attributes:
        size: width and height of the upright picture in pixels.
        orientation: as in EXIF, 1 to 8.
        animated: whether the frames are an animation; their number is not in the header.

    Raises:
        EOFError: the codestream breaks off.
    """

    def __init__(self, codestream: bytes) -> None:
        start = codestream[len(_CODESTREAM) : _HEADER_BYTES]
        self._bits, self._left = int.from_bytes(start, "little"), 8 * len(start)
        width, height = self._read_size()
        self.orientation, self.animated = _UPRIGHT, False
        if not self._read(1) and self._read(1):  # fields that differ from their defaults, these among them
            self.orientation = self._read(3) + 1
            if self._read(1):
                self._read_size()  # the size at which to show the picture
            if self._read(1):
                self._read_preview_size()
            self.animated = bool(self._read(1))
        self.size = (height, width) if self.orientation >= _FIRST_TRANSPOSED else (width, height)

    def _read(self, bits: int) -> int:
        if bits > self._left:
            raise EOFError("The header breaks off.")
        value = self._bits & ((1 << bits) - 1)
        self._bits >>= bits
        self._left -= bits
        return value

    def _read_size(self) -> tuple[int, int]:
        in_blocks = self._read(1)
        height = self._read_side(in_blocks)
        ratio = self._read(3)
        if not ratio:
            return self._read_side(in_blocks), height
        numerator, denominator = _RATIOS[ratio]
        return height * numerator // denominator, height

    def _read_side(self, in_blocks: int) -> int:
        if in_blocks:
            return 8 * (self._read(5) + 1)
        return 1 + self._read((9, 13, 18, 30)[self._read(2)])

    def _read_preview_size(self) -> None:
        in_blocks = self._read(1)
        bits = (0, 0, 5, 9) if in_blocks else (6, 8, 10, 12)
        self._read(bits[self._read(2)])
        if not self._read(3):
            self._read(bits[self._read(2)])


def is_jpeg_xl(data: bytes) -> bool:
    """Whether a file is a bare codestream or a container of one."""
    return data.startswith((_CODESTREAM, _CONTAINER))


def too_many_boxes(data: bytes) -> bool:
    """Whether a container has more than 20,000 boxes."""
    return data.startswith(_CONTAINER) and next(islice(boxes(data), _MAX_BOXES, None), None) is not None


def codestream(data: bytes) -> bytes:
    """The codestream of a file; empty if a container has none."""
    if data.startswith(_CODESTREAM):
        return data
    pieces = []
    for name, start, end in boxes(data):
        content = start + (16 if data[start : start + 4] == b"\0\0\0\1" else 8)
        if name == b"jxlc":
            return data[content:end]
        if name == b"jxlp":  # a piece, after its number
            pieces.append(data[content + 4 : end])
    return b"".join(pieces)


def is_turned_by_codestream(data: bytes) -> bool:
    """Whether the decoder turns or mirrors the picture."""
    return CodestreamHeader(codestream(data)).orientation != _UPRIGHT


def note_exif_turn(image: Image.Image, data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """The image, and a warning if only an EXIF block beside the codestream asks for a turn."""
    exif = Image.Exif()
    for name, start, end in boxes(data) if data.startswith(_CONTAINER) else ():
        if name == b"Exif" and not is_turned_by_codestream(data):
            content = data[start + 8 : end]
            with suppress(Exception):  # a damaged block asks for nothing
                # Behind an offset of four bytes, zero in practice, which some encoders leave out.
                exif.load(content if content.startswith((b"II", b"MM")) else content[4:])
    asked = exif.get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT
    return image, (AMBIGUOUS_ORIENTATION,) if asked else ()


def check_still(image: Image.Image) -> None:
    """Rejects animations: the decoder would give their last frame."""
    if getattr(image, "is_animated", False):
        raise Unreadable(
            "decoder-missing",
            "Animated JPEG XL files are not read: no decoder here tells their first frame. Send a still one.",
        )


class _JpegXlFile(ImageFile.ImageFile):
    """A file that is decoded when its pixels are asked for."""

    format = "JXL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        self._codestream: bytes | None = codestream(self.fp.read())  # type: ignore[union-attr, unused-ignore]
        header = CodestreamHeader(self._codestream)
        self._size, self.is_animated = header.size, header.animated
        self._mode = "RGB"  # until it is decoded

    def load(self) -> Any:
        if self._codestream is not None:
            decoded, profile = _decode(self._codestream)
            self._codestream = None
            if decoded.size != self._size:
                raise OSError("The size is not the header's.")
            self._mode, self.im = decoded.mode, decoded.im
            if profile:
                self.info["icc_profile"] = profile
        return super().load()


def _decode(stream: bytes) -> tuple[Image.Image, bytes]:
    """Pixels, upright, and the color profile that they are in; b'' for sRGB.

    Raises:
        OSError: the codestream is truncated or damaged.
    """
    from pillow_jxl import Decoder

    try:
        # Without threads: images are decoded beside one another already.
        _, info, samples, profile, _ = Decoder(num_threads=0)(stream)
    except Exception as error:
        raise OSError("The codestream cannot be decoded.") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        # A bug of the decoder that the file met; as it was written, no Exception.
        raise OSError("The decoder failed.") from error
    size, mode = (info.width, info.height), str(info.mode)
    if mode == "F;16":  # widened by the decoder already
        mode = "F"
    if (
        mode == "LA" and len(samples) == 4 * info.width * info.height
    ):  # of 16 bits, which Pillow has no mode for
        samples = (np.frombuffer(samples, np.uint16) >> 8).astype(np.uint8).tobytes()
    # Raises ValueError where there are more or fewer samples than that.
    return Image.frombytes(mode, size, samples), b"" if _is_srgb(profile) else bytes(profile)


def _is_srgb(profile: bytes) -> bool:
    return bool(_SRGB.search(profile.replace(b"\0", b"")))  # descriptions are in UTF-16


@cache
def _load_decoder() -> bool:
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        return False
    Image.register_open(_JpegXlFile.format, _JpegXlFile, is_jpeg_xl)  # in place of the plugin's own
    return True


JPEG_XL: Final = ImageFormat(
    name="JPEG XL",
    pillow=("JXL",),
    mime="image/jxl",
    suffixes=(".jxl",),
    bytes_per_pixel=24,
    recognize=is_jpeg_xl,
    has_decoder=_load_decoder,
    extra="jxl",
    too_many_pieces=too_many_boxes,
    check=check_still,
    decode=note_exif_turn,
    is_turned=is_turned_by_codestream,
)
