"""AVIF and HEIC files: both are boxes (ISO/IEC 14496-12), and so are videos.

Read here is what their libraries do not tell: which of them a file is, what size it claims where they call a
large one damage, whether it was turned while it was read, and which part of an AVIF picture is to be shown.
"""

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any, Final

from PIL import ExifTags, Image, features

from app.imaging.formats.image_format import ImageFormat
from app.imaging.formats.structure.boxes import boxes
from app.imaging.formats.structure.item_properties import main_item_properties, read_nclx

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MAX_BRANDS_BYTES: Final = 256  # a file type box is a few dozen bytes long

# Boxes of ISO/IEC 23008-12, the last two with their length before the name; a byte follows.
_SIZE: Final = b"ispe"
_TURN: Final = b"\0\0\0\x09irot"
_MIRROR: Final = b"\0\0\0\x09imir"

_CLEAN_APERTURE: Final = b"clap"
_APERTURE_BYTES: Final = 32
_UPRIGHT: Final = frozenset({None, 0, 1})

AMBIGUOUS_ORIENTATION: Final = (
    "orientation-ambiguous: the EXIF block asks for a turn and the container for none; "
    "the container decides by the standard, so the image was not turned."
)

ShownPart = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels."""


def is_container(data: bytes) -> bool:
    """Whether the file is of this kind at all."""
    return data[4:8] == b"ftyp"


def is_avif(data: bytes) -> bool:
    """Whether a container is an AVIF file; one that is both counts as AVIF."""
    return bool(_brands(data) & _AVIF_BRANDS)


def is_heic(data: bytes) -> bool:
    """Whether a container is a HEIC file."""
    return bool(_brands(data) & _HEIC_BRANDS) and not is_avif(data)


def claimed_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each picture in the container, in pixels."""
    described = _description(data)
    at = described.find(_SIZE)
    while at >= 0:
        # A version and flags, then both.
        yield (
            int.from_bytes(described[at + 8 : at + 12], "big"),
            int.from_bytes(described[at + 12 : at + 16], "big"),
        )
        at = described.find(_SIZE, at + 1)


def is_turned_by_container(data: bytes) -> bool:
    """Whether a box turns the picture (by another angle than none) or mirrors it."""
    described = _description(data)
    at = described.find(_TURN)
    while at >= 0 and described[at : at + 9] == _TURN + b"\0":
        at = described.find(_TURN, at + 1)
    return at >= 0 or _MIRROR in described


def clean_aperture(data: bytes, width: int, height: int) -> ShownPart | None:
    """The part of the main picture that is to be shown (ISO/IEC 14496-12, ``clap``), before it is turned.

    Args:
        data: the file.
        width, height: of the coded picture.

    Returns:
        None for all of it, also where the box makes no sense.
    """
    content = next(
        (content for name, content in main_item_properties(_description(data)) if name == _CLEAN_APERTURE),
        b"",
    )
    if len(content) < _APERTURE_BYTES:
        return None
    numbers = [
        int.from_bytes(content[at : at + 4], "big", signed=at >= 16 and at % 8 == 0)
        for at in range(0, _APERTURE_BYTES, 4)
    ]
    if not all(numbers[1::2]):
        return None
    wide, high, right, down = (Fraction(*numbers[at : at + 2]) for at in range(0, 8, 2))
    left, upper = round((width - wide) / 2 + right), round((height - high) / 2 + down)
    box = left, upper, left + int(wide), upper + int(high)
    inside = 0 <= left < box[2] <= width and 0 <= upper < box[3] <= height
    return box if inside and box != (0, 0, width, height) else None


def note_orientation(image: Image.Image, data: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """The image, and a warning if only its EXIF block asks for a turn: some programs turn it, some do not."""
    asked = image.info.get("original_orientation") not in _UPRIGHT
    return image, (AMBIGUOUS_ORIENTATION,) if asked and not is_turned_by_container(data) else ()


def _brands(data: bytes) -> frozenset[bytes]:
    """The brands in the first box; none in a file of another kind."""
    if not is_container(data):
        return frozenset()
    box = data[8 : min(int.from_bytes(data[:4], "big"), _MAX_BRANDS_BYTES)]
    # At 4 stands a version, and no brand.
    return frozenset(box[start : start + 4] for start in range(0, len(box), 4) if start != 4)


def _description(data: bytes) -> bytes:
    """The box ``meta``, which says what is in the others."""
    return next((data[start:end] for name, start, end in boxes(data) if name == b"meta"), b"")


@cache
def _load_avif() -> bool:
    if not features.check("avif"):
        return False
    from PIL.AvifImagePlugin import AvifImageFile

    class ShownAvifFile(AvifImageFile):
        """A file of which the clean aperture is shown, which libavif and Pillow leave to their caller."""

        def _open(self) -> None:
            data = self.fp.read()  # type: ignore[union-attr, unused-ignore]
            self.fp.seek(0)  # type: ignore[union-attr, unused-ignore]
            super()._open()
            if block := self._decoder.get_info()[4]:  # Pillow replaces its orientation by the container's
                exif = Image.Exif()
                exif.load(block)
                self.info["original_orientation"] = exif.get(ExifTags.Base.Orientation)
            self._coded_size = self._size
            self._aperture = clean_aperture(data, *self._size)
            if self._aperture is not None:
                left, upper, right, lower = self._aperture
                self._size = right - left, lower - upper

        def load(self) -> Any:
            if self.tile and self._aperture is not None:
                shown, self._size = self._size, self._coded_size
                super().load()
                self.im, self._size = self.im.crop(self._aperture), shown
            return super().load()

    Image.register_open("AVIF", ShownAvifFile, is_avif)  # in place of Pillow's own
    return True


@cache
def _load_heif() -> bool:
    try:
        import pillow_heif  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return False
    # The image itself and nothing that lies beside it; libheif's own limits stay as they are. One thread:
    # images are decoded beside one another already.
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return True


AVIF: Final = ImageFormat(
    name="AVIF",
    pillow=("AVIF",),
    mime="image/avif",
    suffixes=(".avif",),
    bytes_per_pixel=26,
    recognize=is_avif,
    has_decoder=_load_avif,
    claimed_sizes=claimed_sizes,
    decode=note_orientation,
    code_points=lambda data: read_nclx(_description(data)),
)

HEIC: Final = ImageFormat(
    name="HEIC",
    pillow=("HEIF",),
    mime="image/heic",
    suffixes=(".heic", ".heif"),
    fidelity=95,  # cameras write it, and what is converted from it is a JPEG file
    bytes_per_pixel=25,
    recognize=is_heic,
    has_decoder=_load_heif,
    extra="heic",
    claimed_sizes=claimed_sizes,
    decode=note_orientation,
    code_points=lambda data: read_nclx(_description(data)),
    is_turned=is_turned_by_container,  # by libheif, on the container's word; the EXIF block does not count
)
