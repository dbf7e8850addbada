"""Files of which a part is missing, or whose main picture is not the first, each with the answer to it."""

import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, Final

import numpy as np
from PIL import Image

from app.imaging.formats.registry import supported_formats
from tests.app.door.case import DAMAGED, NO_IMAGE, TOO_LARGE, Case, Expected, good, image, refused
from tests.app.door.making import files, png, segment
from tests.app.files import encoded
from tests.app.tiff_files import tiff_file, tiff_picture
from tests.photographs import named

_KINDS: Final[dict[str, dict[str, Any]]] = {
    "sequential": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 4},
}
_KIND: Final = refused(415, "unsupported-media-type", reason="kind")
_RAW: Final = refused(415, "unsupported-media-type", reason="camera-raw")
_REDUCED: Final = 1
_SENSOR_COLORS: Final = 32803
_LAB: Final = 8


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _halves()
    yield from _ends()
    yield from _rows()
    yield from _main_pictures()
    yield from _kinds()
    yield from _devices()


def _photo() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return named()["coffee"]


@cache
def _jpeg(kind: str) -> bytes:
    return encoded(_photo(), quality=90, **_KINDS[kind])


def _middle(data: bytes) -> int:
    scan = data.index(b"\xff\xda")
    return (scan + len(data)) // 2


def _halves() -> Iterator[Case]:
    losses: dict[str, Callable[[bytes, int], bytes]] = {
        "cut": lambda data, at: data[:at],
        "cut and ended": lambda data, at: data[:at] + b"\xff\xd9",
        "zeroed": lambda data, at: data[:at] + bytes(len(data) - at - 2) + b"\xff\xd9",
        "noise": lambda data, at: data[:at] + random.Random(0).randbytes(len(data) - at - 2) + b"\xff\xd9",
        "4 KiB lost": lambda data, at: data[:at] + data[at + 4096 :],
    }
    for kind in _KINDS:
        for name, lose in losses.items():
            yield image(f"half: JPEG, {kind}, {name}", partial(_lost, kind, lose), DAMAGED)
    yield image("half: JPEG without half its restart intervals", _without_intervals, DAMAGED)
    yield image("half: progressive JPEG without its last scan", _without_last_scan, DAMAGED)


def _lost(kind: str, lose: Callable[[bytes, int], bytes]) -> bytes:
    return lose(_jpeg(kind), _middle(_jpeg(kind)))


def _without_intervals() -> bytes:
    data = _jpeg("restart markers")
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    return data[: markers[16]] + data[markers[16 + len(markers) // 2] :]


def _without_last_scan() -> bytes:
    data = _jpeg("progressive")
    return data[: data.rindex(b"\xff\xda")] + b"\xff\xd9"


def _rows() -> Iterator[Case]:
    """PNG files of which Pillow itself would make a picture with black rows, or one of changed data."""
    raw = b"".join(b"\0" + row.tobytes() for row in _photo())

    def wrong_checksum() -> bytes:
        data = encoded(_photo(), "PNG")
        at = data.rindex(b"IEND") - 8
        return data[:at] + bytes(4) + data[at + 4 :]

    yield image(
        "rows: PNG of half of them",
        lambda: png(600, 400, zlib.compress(raw[: len(raw) // 1801 * 900])),
        DAMAGED,
    )
    yield image("rows: PNG with a wrong checksum", wrong_checksum, DAMAGED)


def _ends() -> Iterator[Case]:
    for kind in _KINDS:
        whole = partial(_jpeg, kind)
        yield image(
            f"end: JPEG, {kind}",
            lambda kind=kind: _jpeg(kind)[:-2],
            good("end-missing"),
            like=whole,  # type: ignore[misc]
        )
    for kind, lost in (("PNG", 12), ("GIF", 1)):
        yield image(
            f"end: {kind}",
            lambda kind=kind, lost=lost: files()[kind][:-lost],  # type: ignore[misc]
            good("end-missing", format=kind),
            like=partial(files().__getitem__, kind),
        )


def _main_pictures() -> Iterator[Case]:
    preview = np.full((64, 96, 3), 200, np.uint8)

    def with_preview(below: bool) -> bytes:
        first, main = tiff_picture(preview, _REDUCED), tiff_picture(_photo())
        return tiff_file([first], [main]) if below else tiff_file([first, main])

    def raw() -> bytes:
        sensor = tiff_picture(np.zeros((400, 600), np.uint16), t262=[_SENSOR_COLORS])
        return tiff_file([tiff_picture(preview, _REDUCED)], [sensor])

    def hidden() -> bytes:
        note, frame = Image.new("RGB", (600, 400), "white"), Image.fromarray(_photo())
        return encoded(note, "PNG", save_all=True, default_image=True, append_images=[frame, note])

    plain = partial(encoded, _photo(), "PNG")
    size = {"width": 600, "height": 400}
    yield image(
        "main: TIFF below its preview", lambda: with_preview(True), good(format="TIFF", **size), like=plain
    )
    yield image(
        "main: TIFF behind its preview",
        lambda: with_preview(False),
        good("several-frames", **size),
        like=plain,
    )
    yield image(
        "main: TIFF behind its mask",
        lambda: tiff_file([tiff_picture(np.full((900, 900), 255, np.uint8), 4), tiff_picture(_photo())]),
        good("several-frames", **size),
        like=plain,
    )
    yield image(
        "main: APNG with a hidden image", hidden, good("several-frames", frames=2, **size), like=plain
    )
    yield image("main: sensor data below a preview", raw, _RAW)
    yield image("main: DNG", lambda: tiff_file([tiff_picture(_photo(), t50706=[1, 4, 0, 0])]), _RAW)
    yield image("main: CR3", lambda: b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(80), _RAW)
    yield image("main: RAF", lambda: b"FUJIFILMCCD-RAW 0201" + bytes(80), _RAW)
    if "HEIC" in supported_formats():
        yield image(
            "main: HEIC turned by its EXIF block alone", _turned_by_exif, good("orientation-ambiguous")
        )


def _turned_by_exif() -> bytes:
    """Encoders turn the tag into a box, so another one is made the orientation."""
    exif = Image.Exif()
    exif[0x0106] = 6
    data = encoded(_photo(), "HEIF", exif=exif.tobytes())
    for order in "<>":
        entries = (struct.pack(order + "HHIH", tag, 3, 1, 6) for tag in (0x0106, 0x0112))
        data = data.replace(*entries)
    return data


def _kinds() -> Iterator[Case]:
    def one(**others: list[int]) -> Callable[[Any], bytes]:
        return lambda pixels: tiff_file([tiff_picture(pixels, **others)])

    yield image("kind: TIFF of RGB in floats", lambda: one()(_photo() / np.float32(255)), _KIND)
    yield image("kind: TIFF of RGB in 32 bits", lambda: one()(_photo().astype(np.uint32)), _KIND)
    yield image(
        "kind: TIFF of L*a*b* in 16 bits", lambda: one(t262=[_LAB])(_photo().astype(np.uint16)), _KIND
    )
    yield image(
        "kind: TIFF of separate planes of 16 bits",
        lambda: one(t284=[2])(_photo().astype(np.uint16)),
        _KIND,
    )
    yield image(
        "kind: TIFF of unknown compression",
        lambda: one(t259=[34712])(_photo()),
        refused(415, "unsupported-media-type", reason="compression"),
    )
    for number, name in ((4, "JPEG"), (5, "PNG")):
        yield image(f"kind: BMP that holds a {name} file", partial(_bitmap_of, number, name), _KIND)
    yield image("kind: JPEG of 12 bits", lambda: _frame(0xC1, 12, bytes(9)), _KIND)
    yield image("kind: JPEG-LS", lambda: _frame(0xF7, 8, bytes(9)), _KIND)
    yield image("kind: JPEG 2000", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), NO_IMAGE)
    coded = random.Random(2).randbytes(70_000).replace(b"\xff", b"\0")  # any bytes are arithmetic code
    yield image(
        "kind: JPEG in arithmetic code, over 64 KiB",
        lambda: _frame(0xC9, 8, coded),
        Expected(200, facts={"image.width": 3000, "image.height": 3000}),
    )


def _bitmap_of(compression: int, format: str) -> bytes:
    inner = encoded(_photo(), format)
    header = struct.pack("<IiiHHIIiiII", 40, 600, 400, 1, 0, compression, len(inner), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(inner), 0, 0, 54) + header + inner


def _frame(marker: int, bits: int, coded: bytes) -> bytes:
    """A gray JPEG file of 3000 x 3000 pixels in one scan, without Huffman tables."""
    frame = segment(marker, struct.pack(">BHHB", bits, 3000, 3000, 1) + b"\1\x11\0")
    tables, scan = segment(0xDB, b"\0" + bytes([16] * 64)), segment(0xDA, b"\1\1\0\0\x3f\0")
    return b"\xff\xd8" + tables + frame + scan + coded + b"\xff\xd9"


def _devices() -> Iterator[Case]:
    for width, height in ((8160, 6144), (8192, 6144), (8256, 6192), (16_382, 3932), (11_648, 8736)):
        yield image(
            f"device: JPEG of {width}x{height}",
            partial(_large, width, height),
            good(width=width, height=height),
        )
    yield image("device: JPEG of 16320x12240", partial(_large, 16_320, 12_240), TOO_LARGE)


def _large(width: int, height: int) -> bytes:
    photo = Image.fromarray(_photo()).resize((width // 8, height // 8))
    return encoded(photo.resize((width, height), Image.Resampling.NEAREST), quality=40)
