"""Hostile and odd image files, each with the answer to it."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from PIL import Image

from tests.app.door import making
from tests.app.door.case import (
    DAMAGED,
    MALFORMED,
    MARK,
    NO_IMAGE,
    TOO_LARGE,
    TOO_SMALL,
    Case,
    good,
    image,
    refused,
)
from tests.app.door.making import (
    chunk,
    files,
    photograph,
    plain,
    png,
    resized,
    zeros,
)
from tests.app.files import encoded

_TENTHS = range(1, 10)
_SIDE = 16_384  # squared and with four bytes a pixel, one GB
_UNIFORM = "almost-uniform"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _floods()
    yield from _truncated()
    yield from _mislabelled()
    yield from _polyglots()
    yield from _no_images()
    yield from _sizes()
    yield from _damaged()


def _floods() -> Iterator[Case]:
    for kind in files():
        for side in (65_000, 16_000):
            yield image(f"flood: {kind} of {side} squared", partial(_claiming, kind, side, side), TOO_LARGE)
    yield image(
        "flood: PNG of 1 GB when decoded",
        lambda: png(_SIDE, _SIDE, zeros(_SIDE * (4 * _SIDE + 1)), kind=6),
        refused(422, "image-too-large", max_pixels=120_000_000),
    )
    yield image(
        "flood: PNG one row over the limit", lambda: png(10_000, 12_001, zeros(12_001 * 30_001)), TOO_LARGE
    )
    yield image(
        "flood: PNG that takes more memory than its format may",
        lambda: png(10_000, 6462, zeros(6462 * 30_001)),
        refused(422, "image-too-large", max_pixels=64_615_384),
    )
    yield image(
        "flood: PNG of 49 Mpx in 200 KB, within the limit",
        lambda: png(7000, 7000, zeros(7000 * 28_001), kind=6),
        good(_UNIFORM, width=7000, height=7000, format="PNG"),
    )
    yield image(
        "flood: PNG with too much behind its pixels", lambda: png(64, 64, zeros(2**28)), good(_UNIFORM)
    )
    yield image("flood: PNG with too few pixels", lambda: png(64, 64, zeros(100)), DAMAGED)


def _claiming(kind: str, width: int, height: int) -> bytes:
    return resized(kind, files()[kind], width, height)


def _truncated() -> Iterator[Case]:
    for kind in files():
        for tenth in _TENTHS:
            yield image(f"truncated: {kind} at {tenth}0 %", partial(_cut, kind, tenth), DAMAGED)


def _cut(kind: str, tenth: int) -> bytes:
    data = files()[kind]
    return data[: len(data) * tenth // 10]


def _mislabelled() -> Iterator[Case]:
    labels = ("image/jpeg", "image/svg+xml", "text/html", "application/pdf", "video/mp4", "nonsense", "")
    for label in labels:
        yield image(f"label: PNG as {label!r}", plain, good(format="PNG"), label=label, like=plain)
    for kind in files():
        yield image(
            f"label: {kind} as image/png",
            partial(files().__getitem__, kind),
            good(format=kind.split()[0], width=160, height=120, frames=1),
            label="image/png",
        )


def _polyglots() -> Iterator[Case]:
    script = b"*/=1;" + MARK

    def gif_js() -> bytes:
        # The width is what the letters /* say.
        wide = Image.fromarray(photograph()).resize((int.from_bytes(b"/*", "little"), 120))
        return encoded(wide, "GIF") + script

    def jpeg_zip() -> bytes:
        archive = io.BytesIO(files()["JPEG"])
        with zipfile.ZipFile(archive, "a") as writer:
            writer.writestr("payload.exe", MARK)
        return archive.getvalue()

    html = b"<html><script>" + MARK + b"</script></html>"
    yield image("polyglot: GIF and script", gif_js, good(format="GIF", width=0x2A2F))
    yield image("polyglot: JPEG and ZIP", jpeg_zip, good(format="JPEG"))
    yield image("polyglot: PNG and HTML", lambda: plain() + html, good(format="PNG"), like=plain)
    yield image(
        "polyglot: JPEG with a page in a comment",
        lambda: making.with_segments(files()["JPEG"], making.segment(0xFE, html)),
        good(format="JPEG"),
        like=lambda: files()["JPEG"],
    )
    yield image("polyglot: PDF around a JPEG", lambda: _PDF + files()["JPEG"], NO_IMAGE)
    yield image("polyglot: HTML in front of a PNG", lambda: html + plain(), NO_IMAGE)
    yield image("polyglot: line break in front of a PNG", lambda: b"\n" + plain(), NO_IMAGE)


_PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /XObject /Subtype /Image /Filter /DCTDecode >>\nstream\n"


def _no_images() -> Iterator[Case]:
    others = {
        "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>'
        + MARK
        + b"</script></svg>",
        "SVG with an outer entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
        "PDF": _PDF,
        "HTML": b"<!DOCTYPE html><html><body>" + MARK + b"</body></html>",
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n(ls) run\n",
        "EPS with a preview": b"\xc5\xd0\xd3\xc6" + bytes(26) + b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "ZIP": b"PK\x03\x04" + bytes(60),
        "MP4": b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(80),
        "QuickTime": b"\0\0\0\x14ftypqt  \0\0\2\0qt  " + bytes(80),
        "WebM": b"\x1a\x45\xdf\xa3" + bytes(60),
        "WAV": b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
        "AVI": b"RIFF\x24\0\0\0AVI LIST" + bytes(60),
        "text": "Fünf Boxkämpfer".encode(),
        "text that begins like a bitmap": b"BMW builds cars and motorcycles in Munich and Berlin.",
        "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 120, 160, 8, 3) + bytes(40),
        "ICO": struct.pack("<HHH", 0, 1, 1) + bytes(80),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "PPM": b"P6 64 64 255\n" + bytes(64 * 64 * 3),
        "QOI": b"qoif" + struct.pack(">IIBB", 64, 64, 3, 0) + bytes(60),
        "XPM": b'/* XPM */\nstatic char * x[] = {"1 1 1 1", "a c #000"};',
        "ELF": b"\x7fELF\2\1\1" + bytes(60),
        "one byte": b"\xff",
        "half a signature": making.PNG_SIGNATURE[:4],
        "zeros": bytes(4096),
    }
    for name, data in others.items():
        yield image(f"no image: {name}", lambda data=data: data, NO_IMAGE)  # type: ignore[misc]
    yield image("no image: nothing at all", bytes, MALFORMED)
    pillow_writes: dict[str, Callable[[], bytes]] = {
        format: partial(encoded, Image.new("RGB", (64, 64)), format)
        for format in ("TGA", "PCX", "ICO", "JPEG2000", "PDF", "EPS", "DDS", "SGI", "PPM", "ICNS")
    }
    for format, make in pillow_writes.items():
        yield image(f"no image: {format} as Pillow writes it", make, NO_IMAGE)


def _sizes() -> Iterator[Case]:
    for width, height, expected in (
        (1, 1, TOO_SMALL),
        (31, 31, TOO_SMALL),
        (31, 3000, TOO_SMALL),
        (3000, 31, TOO_SMALL),
        (32, 32, good(width=32, height=32)),
        (32, 3200, good(width=32, height=3200)),
        (3200, 32, good(width=3200, height=32)),
        (32, 4000, TOO_LARGE),
        (4000, 32, TOO_LARGE),
        (30_001, 400, TOO_LARGE),
        (1, 20_000, TOO_SMALL),
    ):
        yield image(f"size: {width}x{height}", partial(_of_size, width, height), expected)
    for width, height in ((0, 0), (0, 64), (64, 0)):
        yield image(f"size: PNG of {width}x{height}", lambda w=width, h=height: png(w, h, zeros(64)), DAMAGED)  # type: ignore[misc]
    yield image("size: BMP of height -2^31", lambda: _claiming("BMP", 160, -(2**31)), TOO_LARGE)
    yield image("size: PNG of 2^31 - 1 squared", lambda: _claiming("PNG", 2**31 - 1, 2**31 - 1), TOO_LARGE)


def _of_size(width: int, height: int) -> bytes:
    return encoded(Image.fromarray(photograph()).resize((width, height)), "PNG")


def _damaged() -> Iterator[Case]:
    stream = zlib.compress(b"\0" * (64 * 193))

    def wrong_checksum() -> bytes:
        data = bytearray(plain())
        data[29] ^= 1
        return bytes(data)

    def jpeg_without_tables() -> bytes:
        data = files()["JPEG"]
        tables = [(begin, end) for marker, begin, end in making.segments(data) if marker == 0xDB]
        for begin, end in reversed(tables):
            data = data[:begin] + data[end:]
        return data

    yield image("damaged: PNG with a wrong checksum of its header", wrong_checksum, DAMAGED)
    yield image("damaged: PNG of a kind that there is not", lambda: png(64, 64, stream, kind=5), DAMAGED)
    yield image("damaged: PNG of pixels that are no stream", lambda: png(64, 64, b"rubbish" * 9), DAMAGED)
    yield image("damaged: PNG without pixels", lambda: plain()[:33] + chunk(b"IEND", b""), DAMAGED)
    yield image(
        "damaged: PNG chunk of 4 GB", lambda: plain()[:33] + b"\xff\xff\xff\xffIDAT" + bytes(99), DAMAGED
    )
    yield image("damaged: JPEG without its tables", jpeg_without_tables, DAMAGED)
    yield image("damaged: JPEG of nothing but its ends", lambda: b"\xff\xd8\xff\xd9", DAMAGED)
    yield image("damaged: GIF without a picture", lambda: b"GIF89a\x40\0\x40\0\0\0\0;", DAMAGED)
    yield image("damaged: TIFF whose directory is outside", lambda: b"II*\0\xff\xff\xff\x7f", DAMAGED)
    yield image("damaged: WebP of nothing", lambda: b"RIFF\x04\0\0\0WEBP", DAMAGED)
    yield image("damaged: BMP of 3 bits", lambda: files()["BMP"][:28] + b"\3" + files()["BMP"][29:], DAMAGED)
