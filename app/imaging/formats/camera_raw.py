"""Camera RAW files: sensor data beside a small preview. They are named, not read."""

from collections.abc import Sequence
from typing import Final

from app.imaging.formats.image_format import Unreadable
from app.imaging.formats.structure.tiff_directories import COMPRESSION, DNG_VERSION, PHOTOMETRIC, Directory

_SIGNATURES: Final = (
    (0, b"FUJIFILMCCD-RAW", "Fujifilm RAF"),
    (0, b"FOVb", "Sigma X3F"),
    (0, b"\0MRM", "Minolta MRW"),
    (0, b"IIRO", "Olympus ORF"),
    (0, b"IIRS", "Olympus ORF"),
    (0, b"MMOR", "Olympus ORF"),
    (0, b"IIU\0", "Panasonic RW2"),
    (4, b"ftypcrx ", "Canon CR3"),
    (6, b"HEAPCCDR", "Canon CRW"),
    (8, b"CR\2", "Canon CR2"),
    (8, b"IIII", "Phase One IIQ"),
    (8, b"MMMM", "Phase One IIQ"),
)
"""Where a signature stands; the last three in TIFF files, behind the offset of the first directory."""

_TIFF: Final = (b"II*\0", b"MM\0*")
_IN_TIFF: Final = 8
_SENSOR_COLORS: Final = frozenset({32803, 34892})  # a color filter array, and linear data of DNG
_SENSOR_COMPRESSIONS: Final = frozenset({32767, 32770, 34713, 65535})  # of Sony, Samsung, Nikon, Pentax


def raw_kind(data: bytes, directories: Sequence[Directory] = ()) -> str:
    """The kind of camera RAW file, or '' for another file.

    Args:
        data: the file.
        directories: of a TIFF file.
    """
    for at, signature, kind in _SIGNATURES:
        if data.startswith(signature, at) and (at != _IN_TIFF or data.startswith(_TIFF)):
            return kind
    if any(each.values(DNG_VERSION) for each in directories):
        return "DNG"
    if any(
        each.value(PHOTOMETRIC) in _SENSOR_COLORS or each.value(COMPRESSION) in _SENSOR_COMPRESSIONS
        for each in directories
    ):
        return "TIFF with sensor data, such as NEF and ARW"
    return ""


def check_not_raw(data: bytes, directories: Sequence[Directory] = ()) -> None:
    """Raises Unreadable for a camera RAW file; see :func:`raw_kind`."""
    if kind := raw_kind(data, directories):
        raise Unreadable(
            "camera-raw",
            f"The file is camera RAW ({kind}), whose colors and exposure are not decided yet. "
            "Develop it, and send the photograph as JPEG or 16-bit TIFF.",
        )
