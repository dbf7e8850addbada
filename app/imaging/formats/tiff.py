"""TIFF files, with BigTIFF, of one page and of several."""

import struct
from typing import Final

from PIL import Image, TiffImagePlugin

from app.imaging.formats.camera_raw import check_not_raw
from app.imaging.formats.image_format import LOSSLESS, ImageFormat, Unreadable
from app.imaging.formats.structure import tiff_directories
from app.imaging.formats.structure.tiff_directories import Directory

# What libtiff reads beyond these is of last century's scanners and of radiance maps: hardly ever sent, and
# hardly ever tested.
_COMPRESSIONS: Final = frozenset({
    "raw", "tiff_ccitt", "group3", "group4", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "tiff_deflate",
    "packbits", "lzma", "zstd", "webp",
})  # fmt: skip

_OTHER_COMPRESSION: Final = "TIFF files of this compression are not read; LZW and Deflate are."
_OLD_JPEG: Final = 6  # decoded to RGB whatever the entries say
_COLORS: Final = {
    0: "gray", 1: "gray", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "L*a*b*", 9: "L*a*b*",
    10: "L*a*b*", 32844: "log-luminance", 32845: "log-luminance color",
}  # fmt: skip
_SAMPLES: Final = {
    1: "integers", 2: "signed integers", 3: "floating-point numbers", 4: "numbers of an unknown kind",
    5: "complex numbers", 6: "complex numbers",
}  # fmt: skip
_MAX_BITS: Final = 64
_BYTE: Final = 8
_SEPARATE: Final = 2  # planes
_RAW: Final = 1  # no compression

Organization = tuple[bytes, int, tuple[int, ...], tuple[int, ...]]
"""Order of bytes, color space, kinds of samples, bits of each sample."""

_READ: Final[frozenset[Organization]] = frozenset(
    (order, color, kinds, bits)
    for order, color, kinds, _, bits, _ in TiffImagePlugin.OPEN_INFO
    if (kinds, bits) != ((2,), (8,))  # which it takes for unsigned ones
)
"""What Pillow reads. It calls all else damaged."""


def count_tiff_pages(data: bytes, maximum: int) -> int:
    """Counts directories to the end of their chain, to where it leaves the file, or to where it goes round.

    Pillow parses every directory for that, which takes minutes for a file that holds only directories.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in (data[2], data[3])
    offset, number, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    frames, at = 0, _read(data, order + offset, 8 if big else 4)
    met: set[int] = set()
    while at and at not in met and frames <= maximum:
        met.add(at)
        entries = _read(data, order + number, at)
        if not entries:
            break
        frames += 1
        at = _read(data, order + offset, at + struct.calcsize(number) + entries * entry)
    return max(1, frames)


def _read(data: bytes, form: str, at: int) -> int:
    """The number at that place, 0 outside the file."""
    if at + struct.calcsize(form) > len(data):
        return 0
    return int(struct.unpack_from(form, data, at)[0])


def check_compression(image: Image.Image) -> None:
    """Rejects the compressions that are not decoded here."""
    if image.info.get("compression") not in _COMPRESSIONS:
        raise Unreadable("compression", _OTHER_COMPRESSION)


def _check_known_compression(directory: Directory) -> None:
    """Rejects the compressions that Pillow does not know, and calls damage."""
    if directory.value(tiff_directories.COMPRESSION, _RAW) not in TiffImagePlugin.COMPRESSION_INFO:
        raise Unreadable("compression", _OTHER_COMPRESSION)


def main_picture(data: bytes) -> bytes:
    """The file with its main picture first: no preview and no mask, where the first is marked as one.

    Raises:
        Unreadable: it is a camera RAW file, or of samples that are not read.
    """
    directories = tiff_directories.first_directories(data)
    check_not_raw(data, directories)
    if not directories:
        return data
    main = directories[0]
    if main.reduced or main.mask:
        others = (each for each in directories if not each.reduced and not each.mask and each.pixels)
        main = max(others, key=lambda each: each.pixels, default=main)
    _check_known_compression(main)
    _check_samples(data, main)
    return data if main is directories[0] else tiff_directories.begin_with(data, main)


def _check_samples(data: bytes, directory: Directory) -> None:
    organization = _organization(data, directory)
    _, color, kinds, bits = organization
    planes = directory.value(tiff_directories.PLANAR) == _SEPARATE and len(bits) > 1
    # Of separate planes without compression, Pillow takes each sample for one byte.
    misread = planes and max(bits) > _BYTE and directory.value(tiff_directories.COMPRESSION) == _RAW
    if (organization in _READ and not misread) or directory.value(tiff_directories.COMPRESSION) == _OLD_JPEG:
        return
    if (
        color in _COLORS
        and all(kind in _SAMPLES for kind in kinds)
        and all(0 < each <= _MAX_BITS for each in bits)
    ):
        kind = f"{len(bits)} per pixel{' in separate planes' if planes else ''}"
        raise Unreadable(
            "kind",
            f"TIFF files of this kind ({_COLORS[color]} in {_SAMPLES[max(kinds)]} of {max(bits)} bits, "
            f"{kind}) are not read. Send RGB or gray in integers of 8 or 16 bits.",
        )


def _organization(data: bytes, directory: Directory) -> Organization:
    """As Pillow makes it of the entries."""
    kinds = directory.values(tiff_directories.SAMPLE_FORMAT) or (1,)
    bits = directory.values(tiff_directories.BITS) or (1,)
    samples = directory.value(tiff_directories.SAMPLES, 1)
    extra = directory.values(tiff_directories.EXTRA_SAMPLES)
    if directory.value(tiff_directories.PLANAR) == _SEPARATE and extra and not any(extra):
        bits, samples = bits[: -len(extra)], samples - len(extra)
    bits = (
        bits * samples
        if len(bits) == 1 and samples <= TiffImagePlugin.MAX_SAMPLESPERPIXEL
        else bits[:samples]
    )
    color = directory.value(tiff_directories.PHOTOMETRIC)
    return data[:2], color, kinds[:1] if len(set(kinds)) == 1 else kinds, bits


TIFF: Final = ImageFormat(
    name="TIFF",
    pillow=("TIFF",),
    mime="image/tiff",
    suffixes=(".tif", ".tiff"),
    fidelity=LOSSLESS,
    bytes_per_pixel=24,
    signatures=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    count_frames=count_tiff_pages,
    prepared=main_picture,
    check=check_compression,
)
