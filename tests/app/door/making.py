"""Image files by the byte: chunks, segments and headers that no encoder would write."""

import struct
import zlib
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.formats.registry import supported_formats
from tests.app.files import encoded
from tests.photographs import named

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MEBI: Final = 2**20

Pixels = NDArray[np.uint8]


@cache
def photograph() -> Pixels:
    """A piece of a photograph, 160x120 pixels."""
    return np.ascontiguousarray(named()["chelsea"][60:180, 120:280])


@cache
def files() -> dict[str, bytes]:
    """The photograph in every format that is read here, and in the ways in which one is written."""
    photo = Image.fromarray(photograph())
    heic = {"HEIC": encoded(photo, "HEIF")} if "HEIC" in supported_formats() else {}
    avif = {"AVIF": encoded(photo, "AVIF")} if "AVIF" in supported_formats() else {}
    return {
        "JPEG": encoded(photo, quality=90),
        "JPEG progressive": encoded(photo, quality=90, progressive=True),
        "PNG": encoded(photo, "PNG"),
        "WebP lossy": encoded(photo, "WEBP"),
        "WebP lossless": encoded(photo, "WEBP", lossless=True),
        "TIFF": encoded(photo, "TIFF"),
        "TIFF LZW": encoded(photo, "TIFF", compression="tiff_lzw"),
        "BMP": encoded(photo, "BMP"),
        "GIF": encoded(photo, "GIF"),
        **avif,
        **heic,
    }


def plain() -> bytes:
    """The photograph whose score others must have, without loss."""
    return files()["PNG"]


# PNG


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, stream: bytes, *, bits: int = 8, kind: int = 2, before: bytes = b""
) -> bytes:
    """A PNG file of a zlib stream; `kind` is its color type, `before` are chunks ahead of the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


def png_of(rows: NDArray[Any], *, bits: int = 8, kind: int = 2, before: bytes = b"") -> bytes:
    """A PNG file of samples ``(H, W, ...)``, unfiltered."""
    plain = rows.astype(">u2" if bits == 16 else np.uint8).reshape(rows.shape[0], -1)
    raw = b"".join(b"\0" + row.tobytes() for row in plain)
    return png(rows.shape[1], rows.shape[0], zlib.compress(raw, 1), bits=bits, kind=kind, before=before)


def with_chunks(data: bytes, chunks: bytes) -> bytes:
    """A PNG file with more chunks behind its header."""
    return data[:33] + chunks + data[33:]


def zeros(count: int) -> bytes:
    """A zlib stream of so many zeros, in no time: a thousandth of their number.

    A flushed block does not look back beyond its own beginning, so one of them serves for all.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(_MEBI)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = rest.compress(bytes(count % _MEBI)) + rest.flush()
    # Adler-32 of n zeros: one half counts them, the other stays at its beginning.
    return b"\x78\xda" + block * (count // _MEBI) + end + struct.pack(">I", (count % 65521) << 16 | 1)


# Sizes in headers


def resized(kind: str, data: bytes, width: int, height: int) -> bytes:
    """A file whose header claims another size, everything else as it was.

    Args:
        kind: of :func:`files`.
        data: such a file.
        width, height: in pixels.
    """
    found = bytearray(data)
    match kind.split()[0]:
        case "PNG":
            return PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29]) + data[33:]
        case "JPEG":
            frame = _jpeg_frame(data)
            found[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
        case "GIF":
            found[6:10] = struct.pack("<HH", width, height)
        case "BMP":
            found[18:26] = struct.pack("<ii", width, height)
        case "TIFF":
            for tag, value in ((256, width), (257, height)):
                entry = tiff_entry(data, tag)
                found[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, value)
        case "AVIF" | "HEIC":
            box = data.index(b"ispe") + 8
            found[box : box + 8] = struct.pack(">II", width, height)
        case "WebP":
            return webp_canvas(data, width, height)
        case _:
            raise ValueError(kind)
    return bytes(found)


def webp_canvas(data: bytes, width: int, height: int) -> bytes:
    """A WebP file on a canvas of another size; a still one as the one frame of an animation."""
    if data[12:16] == b"VP8X":
        return data[:24] + _24(width - 1) + _24(height - 1) + data[30:]
    if data[12:16] == b"VP8L":
        packed = int.from_bytes(data[21:25], "little")
        inner = (packed & 0x3FFF, packed >> 14 & 0x3FFF)
    else:
        sides = struct.unpack("<HH", data[26:30])
        inner = ((sides[0] & 0x3FFF) - 1, (sides[1] & 0x3FFF) - 1)
    pixels = data[12:]
    canvas = b"\x02\0\0\0" + _24(width - 1) + _24(height - 1)
    frame = _24(0) + _24(0) + _24(inner[0]) + _24(inner[1]) + _24(100) + b"\0" + pixels
    body = riff(b"VP8X", canvas) + riff(b"ANIM", bytes(6)) + riff(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def riff(kind: bytes, data: bytes) -> bytes:
    """A chunk of a RIFF file."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


# JPEG


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG file."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(data: bytes, segments: bytes) -> bytes:
    """A JPEG file with more segments at its beginning."""
    return data[:2] + segments + data[2:]


def segments(data: bytes) -> list[tuple[int, int, int]]:
    """Marker, begin and end of the segments of a JPEG file up to the scan."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((marker, at, at + 2 + length))
        if marker == 0xDA:
            break
        at += 2 + length
    return found


def _jpeg_frame(data: bytes) -> int:
    return next(begin for marker, begin, _ in segments(data) if marker in (0xC0, 0xC1, 0xC2))


# GIF


def gif(frames: int, width: int = 64, height: int = 64, comment: bytes = b"") -> bytes:
    """A GIF file of a gray first frame and then single pixels."""
    header = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\x80\x80\x80\xff\xff\xff"
    note = b"".join(b"!\xfe" + bytes([len(text)]) + text + b"\0" for text in (comment,) if text)
    dot = b",\0\0\0\0\x01\0\x01\0\0" + b"\x02\x02\x44\x01\0"
    whole = encoded(Image.new("L", (width, height), 128), "GIF")
    first = whole[whole.index(b",\0\0\0\0") : -1]
    return header + note + first + dot * (frames - 1) + b";"


# TIFF


def tiff_entry(data: bytes, tag: int) -> int:
    """Where the entry of a tag begins in a little-endian file."""
    directory = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[directory : directory + 2], "little")
    entries = (directory + 2 + 12 * number for number in range(count))
    return next(entry for entry in entries if int.from_bytes(data[entry : entry + 2], "little") == tag)


# Metadata


def exif(orientation: int = 1, padding: int = 0) -> bytes:
    """An EXIF block with an orientation, and a comment of so many bytes, without the word Exif in front."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    if padding:
        entries += struct.pack("<HHII", 0x9286, 7, padding, 8 + 2 + 24 + 4)
    count = 2 if padding else 1
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4) + b"\x20" * padding


def _24(value: int) -> bytes:
    return (value & 0xFFFFFF).to_bytes(3, "little")


def a_png() -> bytes:
    """The PNG file among :func:`files`."""
    return files()["PNG"]


def a_jpeg() -> bytes:
    """The JPEG file among :func:`files`."""
    return files()["JPEG"]
