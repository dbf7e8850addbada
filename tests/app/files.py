"""Image files in memory, for tests."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.decode import Header, opened
from app.imaging.limits import Limits
from app.memory import Memory
from app.scoring.uploads import Arriving, Intake, Upload


def encoded(pixels: NDArray[np.uint8] | Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """The bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    """A PNG file that says it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, "PNG", exif=exif)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + png_chunk(b"IEND", b"")
    )


def upload(data: bytes, filename: str | None = None) -> Upload:
    """A file as it has arrived, on an account of its own."""
    with Intake(1 << 30, Memory(1 << 31, 1 << 31)).account() as account:
        arriving = Arriving(account, filename)
        arriving.add(data)
        return arriving.complete()


def inspect(data: bytes, limits: Limits) -> Header:
    """What a file says of itself; no pixel is decoded."""
    with opened(data, limits) as image:
        return image.header
