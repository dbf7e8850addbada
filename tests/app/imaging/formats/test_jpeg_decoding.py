"""JPEG files: whole ones of all kinds have Pillow's pixels, and damaged ones none."""

import io
import random
import re
import struct
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import InvalidImage, UnsupportedMediaType
from app.imaging.decode import Picture, decode
from app.imaging.limits import Limits
from tests.app.door.making import segment
from tests.app.files import encoded
from tests.photographs import named, photographs

_LIMITS = Limits()
_SCALES = (1, 2, 4, 8)
_ODD_SIZE = (331, 253)
_KINDS: dict[str, dict[str, Any]] = {
    "sequential": {"quality": 90},
    "without subsampling": {"quality": 75, "subsampling": 0, "optimize": True},
    "progressive": {"quality": 90, "progressive": True},
    "restart markers": {"quality": 90, "restart_marker_blocks": 4},
    "progressive with restart markers": {"quality": 90, "progressive": True, "restart_marker_rows": 1},
}
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_SCAN = re.compile(rb"\xff\xda")


def _at_scale(data: bytes, scale: int) -> Picture:
    return decode(data, _LIMITS, lambda size: (size[0] // scale, size[1] // scale))


def _codes(picture: Picture) -> list[str]:
    return [note.partition(":")[0] for note in picture.notes]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_pixels_are_those_of_pillow(mode: str, progressive: bool) -> None:
    image = Image.fromarray(named()["china"]).resize(_ODD_SIZE).convert(mode)
    # Of CMYK, Pillow's reduced samplings have black at the lowest, which TurboJPEG does not know.
    for subsampling, scale in product((0,) if mode == "CMYK" else (0, 1, 2), _SCALES):
        data = encoded(image, progressive=progressive, subsampling=subsampling)
        picture = _at_scale(data, scale)
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft(None, (_ODD_SIZE[0] // scale, _ODD_SIZE[1] // scale))
            assert (picture.pixels == np.asarray(opened.convert("RGB"))).all()
        assert picture.notes == ()
        assert picture.pixels.flags.writeable


# Half of the coded data is lost, or some of it; bytes in headers are not.


def _begin(data: bytes) -> int:
    scan = data.index(b"\xff\xda")
    return scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")


def _middle(data: bytes) -> int:
    return (_begin(data) + len(data)) // 2


def _cut(data: bytes) -> bytes:
    return data[: _middle(data)]


def _cut_and_ended(data: bytes) -> bytes:
    return _cut(data) + b"\xff\xd9"


def _zeroed(data: bytes) -> bytes:
    return _cut(data) + bytes(len(data) - _middle(data) - 2) + b"\xff\xd9"


def _noise(data: bytes) -> bytes:
    return _cut(data) + random.Random(0).randbytes(len(data) - _middle(data) - 2) + b"\xff\xd9"


def _first_half_zeroed(data: bytes) -> bytes:
    return data[: _begin(data)] + bytes(_middle(data) - _begin(data)) + data[_middle(data) :]


def _sector_lost(data: bytes) -> bytes:
    return _cut(data) + data[_middle(data) + 4096 :]


def _half_lost_within(data: bytes) -> bytes:
    quarter = (len(data) - _begin(data)) // 4
    return data[: _begin(data) + quarter] + data[_begin(data) + 3 * quarter :]


_LOSSES = (
    _cut, _cut_and_ended, _zeroed, _noise, _first_half_zeroed, _sector_lost, _half_lost_within,
)  # fmt: skip


@pytest.mark.parametrize("kind", list(_KINDS))
@pytest.mark.parametrize("lose", _LOSSES, ids=lambda lose: lose.__name__.strip("_"))
def test_no_half_image_is_scored(kind: str, lose: Callable[[bytes], bytes]) -> None:
    for photo, scale in product(photographs(), (1, 8)):
        whole = encoded(photo, **_KINDS[kind])
        assert _at_scale(whole, scale).notes == ()
        with pytest.raises(InvalidImage, match=r"JPEG image is (truncated|damaged)"):
            _at_scale(lose(whole), scale)


@pytest.mark.parametrize("lost", [8, None])  # as many as there are numbers of markers, or half of them
def test_restart_intervals_that_are_missing_are_noticed(lost: int | None) -> None:
    data = encoded(named()["coffee"], restart_marker_blocks=4)
    markers = [found.start() for found in _RESTART.finditer(data)]
    begin, end = markers[20], markers[20 + (lost or len(markers) // 2)]
    with pytest.raises(InvalidImage):
        decode(data[:begin] + data[end:], _LIMITS)


def test_progressive_files_without_their_last_scans_are_truncated() -> None:
    data = encoded(named()["coffee"], progressive=True)
    scans = [found.start() for found in _SCAN.finditer(data)]
    assert len(scans) == 10
    for begin in scans[1:]:
        with pytest.raises(InvalidImage, match="scans are missing"):
            decode(data[:begin] + b"\xff\xd9", _LIMITS)


def test_a_component_without_a_scan_is_noticed() -> None:
    # In three scans as no encoder of Pillow writes them: each is a gray file of its own.
    photo = Image.fromarray(named()["coffee"])
    planes = [encoded(each) for each in photo.convert("YCbCr").split()]
    frame = struct.pack(">BHHB", 8, photo.height, photo.width, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    head = b"\xff\xd8" + _tables(planes[0]) + segment(0xC0, frame)
    scans = [
        segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + plane[_begin(plane) : -2]
        for number, plane in enumerate(planes, 1)
    ]
    whole = decode(head + b"".join(scans) + b"\xff\xd9", _LIMITS)
    assert whole.notes == ()
    assert np.abs(whole.pixels.astype(int) - np.asarray(photo)).mean() < 4
    for number in range(3):
        with pytest.raises(InvalidImage, match="scans are missing"):
            decode(head + b"".join(scans[:number] + scans[number + 1 :]) + b"\xff\xd9", _LIMITS)


def _tables(data: bytes) -> bytes:
    """The quantization and Huffman tables of a file."""
    found, at = b"", 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        found += data[at:end] if data[at + 1] in (0xDB, 0xC4) else b""
        at = end
    return found


@pytest.mark.parametrize("kind", list(_KINDS))
@pytest.mark.parametrize("left", [0, 1])  # bytes of the marker
def test_a_file_that_lacks_only_its_end_is_scored_with_a_warning(kind: str, left: int) -> None:
    whole = encoded(named()["coffee"], **_KINDS[kind])
    for scale in (1, 4):
        picture = _at_scale(whole[: len(whole) - 2 + left], scale)
        assert _codes(picture) == ["end-missing"]
        assert (picture.pixels == _at_scale(whole, scale).pixels).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + bytes(9999),  # a trailer, as some phones write
        lambda data: data[:2] + segment(0xE1, b"Exif\0\0" + data) + data[2:],  # a preview, with its markers
        lambda data: data[:2] + b"\xff\xff\xff" + data[2:],  # fill bytes
        lambda data: data[:-2] + b"\xff\xff\xff" + data[-2:],
    ],
)
def test_what_is_beside_the_picture_is_no_damage(change: Callable[[bytes], bytes]) -> None:
    data = encoded(named()["chelsea"])
    picture = decode(change(data), _LIMITS)
    assert picture.notes == ()
    assert (picture.pixels == decode(data, _LIMITS).pixels).all()


def test_harmless_errors_of_encoders_are_no_damage() -> None:
    data = encoded(named()["chelsea"])
    at = data.index(b"JFIF\0") + 5
    picture = decode(data[:at] + b"\3" + data[at + 1 :], _LIMITS)  # a version that there is not
    assert _codes(picture) == ["wholeness-unknown"]
    assert (picture.pixels == decode(data, _LIMITS).pixels).all()


def test_samplings_that_cannot_be_checked_are_read_with_a_warning() -> None:
    data = encoded(Image.fromarray(named()["chelsea"]).convert("CMYK"), subsampling=2)
    assert _codes(decode(data, _LIMITS)) == ["wholeness-unknown"]


def test_long_files_in_arithmetic_code_are_read() -> None:
    # Any bytes are such code. Pillow's own reader gives up on more than 64 KiB of it.
    coded = random.Random(2).randbytes(70_000).replace(b"\xff", b"\0")
    picture = decode(_of_frame(0xC9, 8, coded), _LIMITS)
    assert picture.pixels.shape == (3000, 3000, 3)
    assert picture.pixels.std() > 1
    assert _codes(picture) == ["wholeness-unknown"]  # as the decoder takes what is missing for zeros
    with pytest.raises(InvalidImage, match="truncated"):
        decode(_of_frame(0xC9, 8, coded)[:-2], _LIMITS)


@pytest.mark.parametrize(
    ("marker", "bits", "words"),
    [(0xC1, 12, "12 bits"), (0xC3, 16, "16 bits"), (0xC5, 8, "hierarchical"), (0xF7, 8, "JPEG-LS")],
)
def test_kinds_that_are_not_decoded_are_named(marker: int, bits: int, words: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=words) as caught:
        decode(_of_frame(marker, bits, bytes(100)), _LIMITS)
    assert caught.value.fields["reason"] == "kind"


def _of_frame(marker: int, bits: int, coded: bytes) -> bytes:
    """A gray file of 3000 x 3000 pixels without Huffman tables, of one scan."""
    frame = struct.pack(">BHHB", bits, 3000, 3000, 1) + b"\1\x11\0"
    tables = segment(0xDB, b"\0" + bytes([16] * 64))
    scan = segment(0xDA, b"\1\1\0\0\x3f\0")
    return b"\xff\xd8" + tables + segment(marker, frame) + scan + coded + b"\xff\xd9"


def test_a_file_that_was_sent_as_text_says_so() -> None:
    data = encoded(named()["coffee"], quality=90)
    with pytest.raises(InvalidImage, match="--data-binary"):
        decode(bytes(each for each in data if each not in b"\0\r\n"), _LIMITS)
