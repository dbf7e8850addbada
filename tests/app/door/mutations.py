"""Damage by a seed: image files that are nearly good, and requests that are nearly right."""

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.app.door import making
from tests.app.door.making import chunk, exif, gif, png_of, resized, riff, segment, segments
from tests.app.door.profiles import display_p3
from tests.app.door.wire import chunked, joined, part
from tests.app.files import encoded

Mutation = Callable[[random.Random, str, bytes], bytes]

_SIZE: Final = (80, 64)
_TELLING: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_SIDES: Final = (0, 1, 31, 32, 64, 79, 81, 255, 256, 4096, 30_000, 30_001, 65_535, 2**31 - 1)
_MOST_FLOOD_BYTES: Final = 300_000
_QUERIES: Final = (
    "", "", "", "", "", "", "", "", "?models=bpclip", "?models=qualiclip,bpclip",
    "?models=none", "?nonsense=1",    "?adjectives=sad", "?quality_map=true", "?quality_map=%00",
    "?models=bpclip&models=bpclip", "?resize=reference", "?%ff=%fe",
)  # fmt: skip
_LABELS: Final = (
    "image/png",
    "image/jpeg",
    "application/octet-stream",
    "text/plain",
    "",
    'image/png; q="',
    "*/*",
)


@dataclass(frozen=True)
class Wire:
    """A request as it goes over the wire, and whether nothing more would come after it."""

    data: bytes
    hangs_up: bool


@cache
def sources() -> tuple[tuple[str, bytes], ...]:
    """Good files of all formats, small, each with the kind that it is."""
    photo = Image.fromarray(making.photograph()).resize(_SIZE)
    other = photo.transpose(Image.Transpose.ROTATE_180)
    gray = np.asarray(photo.convert("L"), np.uint16) * 257
    profile = display_p3()

    def made(format: str = "JPEG", **options: Any) -> bytes:
        # Of a copy: what an encoder was told stays with the image.
        return encoded(photo.copy(), format, **options)

    def animated(format: str) -> bytes:
        return made(format, save_all=True, append_images=[other.copy()])

    found = [
        ("JPEG", made()),
        ("JPEG", made(progressive=True, exif=b"Exif\0\0" + exif(6), icc_profile=profile)),
        ("JPEG", encoded(photo.convert("CMYK"))),
        ("JPEG", animated("MPO")),
        ("PNG", made("PNG", exif=exif(3), icc_profile=profile)),
        ("PNG", encoded(photo.quantize(32), "PNG", transparency=bytes(range(32)))),
        ("PNG", png_of(gray, bits=16, kind=0)),
        ("PNG", animated("PNG")),
        ("GIF", animated("GIF")),
        ("GIF", gif(20)),
        ("BMP", made("BMP")),
        ("BMP", encoded(photo.quantize(16), "BMP")),
        ("TIFF", made("TIFF", icc_profile=profile)),
        ("TIFF", made("TIFF", compression="tiff_lzw")),
        ("TIFF", animated("TIFF")),
        ("TIFF", made("TIFF", compression="jpeg")),
        ("TIFF", encoded(photo.convert("1"), "TIFF", compression="group4")),
        ("TIFF", encoded(Image.fromarray((gray / 65535).astype(np.float32)), "TIFF")),
        ("WebP", made("WEBP", exif=exif(8))),
        ("WebP", made("WEBP", lossless=True)),
        ("WebP", animated("WEBP")),
    ]
    for kind, format in (("AVIF", "AVIF"), ("HEIC", "HEIF")):
        if kind in making.files():
            found += [(kind, made(format)), (kind, animated(format))]
    return tuple(found)


def mutated_image(chance: random.Random) -> bytes:
    """A good file with one to four faults."""
    kind, data = chance.choice(sources())
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        mutation = chance.choice(_MUTATIONS)
        try:
            data = mutation(chance, kind, data) or data
        except (IndexError, StopIteration, struct.error, ValueError, OSError):
            continue  # what an earlier fault left has no such place any more
    return data


def request(seed: int, index: int) -> Wire:
    """The request of this number; the same for the same seed."""
    chance = random.Random(f"{seed}:{index}")
    form = chance.choice(_REQUESTS)
    return form(chance)


# Files


def _flip(chance: random.Random, kind: str, data: bytes) -> bytes:
    spoilt = bytearray(data)
    # Headers are short beside pixels, and more of a reader depends on them.
    reach = len(data) if chance.random() < 0.5 else min(len(data), 256)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        spoilt[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


def _telling_number(chance: random.Random, kind: str, data: bytes) -> bytes:
    width = chance.choice((1, 2, 4))
    value = chance.choice(_TELLING) & (256**width - 1)
    at = chance.randrange(min(len(data), 600))
    return data[:at] + value.to_bytes(width, chance.choice(("little", "big"))) + data[at + width :]


def _truncate(chance: random.Random, kind: str, data: bytes) -> bytes:
    return data[: chance.randrange(1, len(data))]


def _cut_out(chance: random.Random, kind: str, data: bytes) -> bytes:
    begin = chance.randrange(len(data))
    return data[:begin] + data[begin + chance.choice((1, 2, 4, 64, 1000)) :]


def _repeat(chance: random.Random, kind: str, data: bytes) -> bytes:
    begin = chance.randrange(len(data))
    piece = data[begin : begin + chance.choice((1, 4, 64, 1000))]
    times = min(chance.choice((1, 2, 50)), _MOST_FLOOD_BYTES // max(1, len(piece)))
    return data[:begin] + piece * times + data[begin:]


def _overwrite(chance: random.Random, kind: str, data: bytes) -> bytes:
    begin, length = chance.randrange(len(data)), chance.choice((4, 32, 500))
    filling = chance.choice((b"\0" * length, b"\xff" * length, chance.randbytes(length)))
    return data[:begin] + filling + data[begin + length :]


def _splice(chance: random.Random, kind: str, data: bytes) -> bytes:
    _, other = chance.choice(sources())
    return data[: chance.randrange(1, len(data))] + other[chance.randrange(len(other)) :]


def _other_size(chance: random.Random, kind: str, data: bytes) -> bytes:
    return resized(kind, data, chance.choice(_SIDES), chance.choice(_SIDES))


def _wrong_length(chance: random.Random, kind: str, data: bytes) -> bytes:
    """A length that a part of the file states of itself, changed; checksums are made good again."""
    spoilt = bytearray(data)
    match kind:
        case "PNG":
            at, length = chance.choice(_png_chunks(data))
            name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
            body = chance.choice((body[: length // 2], body + bytes(chance.choice((1, 9, 5000))), b""))
            return data[:at] + chunk(name, body) + data[at + 12 + length :]
        case "JPEG":
            _, begin, _ = chance.choice(segments(data))
            spoilt[begin + 2 : begin + 4] = chance.choice(_TELLING[:7]).to_bytes(2, "big")
        case "TIFF":
            directory = int.from_bytes(data[4:8], "little")
            count = int.from_bytes(data[directory : directory + 2], "little")
            entry = directory + 2 + 12 * chance.randrange(min(count, 100))
            field = entry + chance.choice((0, 2, 4, 8))
            spoilt[field : field + 4] = chance.choice(_TELLING).to_bytes(4, "little")
        case "WebP":
            spoilt[4:8] = chance.choice(_TELLING).to_bytes(4, "little")
            at = chance.choice((4, 16))
            spoilt[at : at + 4] = chance.choice(_TELLING).to_bytes(4, "little")
        case "AVIF" | "HEIC":
            names = (
                b"meta",
                b"iloc",
                b"iprp",
                b"ipco",
                b"ispe",
                b"pitm",
                b"iinf",
                b"mdat",
                b"av1C",
                b"hvcC",
                b"pixi",
            )
            box = data.index(chance.choice(names))
            at = chance.choice((box - 4, box + 4, box + 8, box + 12, box + 16))
            spoilt[at : at + 4] = chance.choice(_TELLING).to_bytes(4, "big")
        case "GIF":
            at = data.index(b",", 13)
            spoilt[at + chance.randrange(1, 12)] = chance.choice((0, 1, 12, 255))
        case _:  # BMP: the headers are nothing but numbers
            at = chance.choice((2, 10, 14, 28, 30, 34, 46))
            spoilt[at : at + 4] = chance.choice(_TELLING).to_bytes(4, "little")
    return bytes(spoilt)


def _png_chunks(data: bytes) -> list[tuple[int, int]]:
    """Begin and length of the chunks of a PNG file."""
    found, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((at, length))
        at += 12 + length
    return found


def _good_checksums(chance: random.Random, kind: str, data: bytes) -> bytes:
    """Random bytes in a chunk of a PNG file, under a checksum that fits; other formats: bytes anywhere."""
    if kind != "PNG":
        return _overwrite(chance, kind, data)
    at, length = chance.choice(_png_chunks(data))
    body = bytearray(data[at + 8 : at + 8 + length])
    for _ in range(3):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return data[:at] + chunk(data[at + 4 : at + 8], bytes(body)) + data[at + 12 + length :]


def _flood(chance: random.Random, kind: str, data: bytes) -> bytes:
    """Metadata without measure."""
    size = chance.choice((100, 10_000, 60_000))
    filling = chance.choice(
        (bytes(size), chance.randbytes(size), exif(chance.randrange(20), size), display_p3()[:size])
    )
    times = max(1, chance.choice((1, 3, _MOST_FLOOD_BYTES // size)))
    match kind:
        case "PNG":
            packed = zlib.compress(filling)
            made = chance.choice((
                chunk(b"eXIf", filling), chunk(b"iCCP", b"p\0\0" + packed), chunk(b"zTXt", b"k\0\0" + packed),
                chunk(b"tEXt", b"k\0" + filling), chunk(b"acTL", filling[:8]), chunk(b"tRNS", filling[:300]),
            ))  # fmt: skip
            return making.with_chunks(data, made * min(times, _MOST_FLOOD_BYTES // len(made) + 1))
        case "JPEG":
            name = chance.choice(
                (b"Exif\0\0", b"ICC_PROFILE\0\1\1", b"MPF\0", b"http://ns.adobe.com/xap/1.0/\0", b"")
            )
            return making.with_segments(
                data, segment(chance.choice((0xE1, 0xE2, 0xED, 0xFE)), name + filling) * times
            )
        case "WebP":
            body = data[12:] + riff(chance.choice((b"EXIF", b"ICCP", b"XMP ")), filling) * times
            return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
        case "GIF":
            blocks = b"".join(
                b"\xff" + filling[at : at + 255].ljust(255, b"\0") for at in range(0, size, 255)
            )
            return (
                data[:-1]
                + (b"!" + chance.choice((b"\xfe", b"\xff", b"\xf9")) + blocks + b"\0") * times
                + b";"
            )
        case _:
            return data + filling * times


_MUTATIONS: Final[Sequence[Mutation]] = (
    _flip, _flip, _telling_number, _truncate, _cut_out, _repeat, _overwrite, _splice, _other_size,
    _wrong_length, _wrong_length, _good_checksums, _flood,
)  # fmt: skip


# Requests


def _raw(chance: random.Random) -> Wire:
    """A damaged image as the body."""
    path = chance.choice(("/score", "/score", "/score", "/v1/score", "/score/map")) + chance.choice(_QUERIES)
    return Wire(_post(path, mutated_image(chance), chance.choice(_LABELS)), False)


def _form(chance: random.Random) -> Wire:
    """Damaged images in a form as it should be."""
    path, fields = chance.choice(_FORMS)
    if path == "/score/batch":
        fields *= chance.randint(1, 5)
    files = [mutated_image(chance) if chance.random() < 0.7 else chance.choice(sources())[1] for _ in fields]
    body = joined([part(field, file) for field, file in zip(fields, files, strict=True)], "edge")
    return Wire(_post(path, body, "multipart/form-data; boundary=edge"), False)


def _bad_form(chance: random.Random) -> Wire:
    """A good image in a damaged form."""
    _, data = chance.choice(sources())
    fields = [
        chance.choice(("image", "image", "images", "reference", "distorted", "", "x" * 300)) for _ in range(3)
    ]
    parts = [
        part(field, data, filename=chance.choice(_NAMES))
        for field in fields[: chance.choice((1, 1, 1, 2, 3))]
    ]
    body = bytearray(joined(parts, "edge"))
    frame = [at for at in range(len(body)) if body[at : at + 6] == b"--edge"]
    match chance.randrange(7):
        case 0:
            at = chance.choice(frame) + chance.randrange(8)
            body[at : at + 1] = chance.choice((b"", b"\0", b"\r", b"\n", b"-"))
        case 1:
            at = frame[0] + 8 + chance.randrange(60)
            body[at] = chance.randrange(256)
        case 2:
            del body[chance.randrange(len(body)) :]
        case 3:
            body = bytearray(bytes(body).replace(b"\r\n", b"\n", chance.randrange(1, 6)))
        case 4:
            at = chance.choice(frame)
            body[at:at] = chance.choice(
                (b"\r\n", b"--edge\r\n", b"--edge--\r\n", b"\r\n\r\n", chance.randbytes(20))
            )
        case 5:
            at = body.index(b"Content-Type")
            name = chance.choice((b"", b"X", b"Content-Disposition", b"X" * 5000, b"\xff"))
            body[at:at] = (name + b": " + chance.randbytes(5).hex().encode() + b"\r\n") * chance.choice(
                (1, 3, 100)
            )
        case _:
            body += chance.choice((b"epilogue", bytes(body), bytes(5000)))
    label = "multipart/form-data" + chance.choice(
        ("; boundary=edge",) * 6
        + ("", "; boundary=", "; boundary=other", '; boundary="edge', "; boundary=edge; a=b")
    )
    path = chance.choice(("/score", "/score", "/compare", "/score/batch"))
    return Wire(_post(path, bytes(body), label), False)


_FORMS: Final = (
    ("/score", ("image",)), ("/score", ("image",)), ("/compare", ("reference", "distorted")),
    ("/compare?resize=reference", ("reference", "distorted")), ("/score/batch", ("images",)),
)  # fmt: skip
_NAMES: Final = ("a.png", "", "../../a", "a\0b", "Ünï.png", 'a".png', "%00", "a;b", "x" * 1000)


def _bad_body(chance: random.Random) -> Wire:
    """A good or damaged image whose length or chunks are not what they should be."""
    data = mutated_image(chance) if chance.random() < 0.5 else chance.choice(sources())[1]
    if chance.random() < 0.3:
        wrong = chance.choice((0, 1, len(data) - 1, len(data) + 1, len(data) * 2, 10**12, -1))
        return Wire(_post("/score", data, "image/png", length=wrong), True)
    size = chance.choice((1, 7, 1000, 100_000))
    whole = bytearray(chunked("/score", [data[at : at + size] for at in range(0, len(data), size)]))
    begin = whole.index(b"\r\n\r\n") + 4
    match chance.randrange(5):
        case 0:
            whole[begin + chance.randrange(3)] = chance.choice(b"g-; \0f")
        case 1:
            end = whole.index(b"\r\n", begin)
            whole[end:end] = chance.choice((b";name=value", b";" + b"x" * 3000, b" ", b"\0"))
        case 2:
            del whole[-chance.randrange(1, 8) :]
        case 3:
            whole[-2:] = chance.choice((b"X-Trailer: y\r\n\r\n", b"Content-Length: 5\r\n\r\n", b"\0\r\n\r\n"))
        case _:
            pass
    return Wire(bytes(whole), True)


def _bad_head(chance: random.Random) -> Wire:
    """A good image behind a damaged head."""
    _, data = chance.choice(sources())
    whole = bytearray(_post("/score", data, "image/png"))
    end = whole.index(b"\r\n\r\n")
    match chance.randrange(6):
        case 0:
            whole[chance.randrange(end)] = chance.randrange(256)
        case 1:
            name, value = chance.choice(_HEADERS), chance.choice(_VALUES)
            whole[end:end] = f"\r\n{name}: {value}".encode("latin-1")
        case 2:
            whole[end:end] = b"\r\nX-More: " + b"y" * chance.choice((10, 5000))
        case 3:
            whole[end:end] = b"\r\nX-%d: y" % chance.randrange(99) * chance.choice((10, 500))
        case 4:
            del whole[chance.randrange(end) : end]
        case _:
            method = chance.choice((b"GET", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"post", b"NONE"))
            whole[:4] = method
    return Wire(bytes(whole), True)


_HEADERS: Final = (
    "X-Timeout-Ms", "X-Request-ID", "Content-Encoding", "Expect", "Connection", "Upgrade",
    "Transfer-Encoding", "Authorization", "X-API-Key", "Content-Type", "Origin",
)  # fmt: skip
_VALUES: Final = (
    "", "0", "600000", "-1", "close", "gzip", "100-continue", "h2c", "\x7f", "é" * 50, "9" * 99,
)  # fmt: skip

_REQUESTS: Final[Sequence[Callable[[random.Random], Wire]]] = (
    _raw, _raw, _raw, _raw, _form, _form, _bad_form, _bad_form, _bad_body, _bad_head,
)  # fmt: skip


def _post(path: str, body: bytes, label: str, *, length: int | None = None) -> bytes:
    claimed = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {label}\r\nContent-Length: {claimed}\r\n\r\n"
    return head.encode("latin-1") + body
