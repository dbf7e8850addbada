"""AVIF and HEIC from outside, on files that Pillow writes and on boxes made by hand."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.imaging.decode import decode
from app.imaging.formats import isobmff
from app.imaging.formats.image_format import ImageFormat
from app.imaging.limits import Limits
from tests.app.files import encoded
from tests.photographs import named

heif = pytest.importorskip("pillow_heif", reason="HEIC is written by the extra `heic`")


_ORIENTATION, _OTHER = 0x0112, 0x0106


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _written(format: str) -> bytes:
    heif.register_heif_opener()
    file = io.BytesIO()
    Image.new("RGB", (70, 50), "teal").save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("format", [isobmff.AVIF, isobmff.HEIC], ids=lambda format: format.name)
def test_files_as_they_are_written(format: ImageFormat) -> None:
    data = _written(format.pillow[0])
    assert isobmff.is_container(data)
    assert [each for each in (isobmff.AVIF, isobmff.HEIC) if each.matches(data)] == [format]
    sizes = set(isobmff.claimed_sizes(data))
    # HEVC codes whole blocks, and cuts them off in a box of its own.
    assert any(width in (70, 72, 128) or (width, height) == (70, 50) for width, height in sizes)
    assert not isobmff.is_turned_by_container(data)


def test_another_medium() -> None:
    video = _box(b"ftyp", b"isom\0\0\0\0mp42isom")
    assert isobmff.is_container(video)
    assert not isobmff.is_avif(video)
    assert not isobmff.is_heic(video)
    assert not isobmff.is_container(b"\xff\xd8\xff")


def test_boxes_by_hand() -> None:
    size = _box(b"ispe", bytes(4) + struct.pack(">II", 65_000, 60_000))
    start, pixels = _box(b"ftyp", b"heic\0\0\0\0mif1"), _box(b"mdat", b"\0\0\0\x09imir\0" * 3)
    upright = start + pixels + _box(b"meta", size + _box(b"irot", b"\0"))
    assert list(isobmff.claimed_sizes(upright)) == [(65_000, 60_000)]
    assert not isobmff.is_turned_by_container(upright)  # what lies among the pixels is no box
    assert isobmff.is_turned_by_container(start + _box(b"meta", _box(b"irot", b"\0") + _box(b"irot", b"\1")))
    assert isobmff.is_turned_by_container(start + _box(b"meta", _box(b"imir", b"\0")))
    long = b"\0\0\0\1mdat" + struct.pack(">Q", 16 + 5) + b"12345"
    assert list(isobmff.claimed_sizes(start + long + _box(b"meta", size))) == [(65_000, 60_000)]


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_to_an_end(rest: bytes) -> None:
    data = _box(b"ftyp", b"avif") + rest
    assert all(width >= 0 and height >= 0 for width, height in isobmff.claimed_sizes(data))
    assert isobmff.is_turned_by_container(data) in (True, False)


_PHOTO = named()["chelsea"]
_HEIGHT, _WIDTH = _PHOTO.shape[:2]
_PROFILE = bytes(28)  # fills a box of the length of a clean aperture


def _aperture(left: int, upper: int, right: int, lower: int) -> bytes:
    wide, high = right - left, lower - upper
    numbers = (wide, 1, high, 1, 2 * left + wide - _WIDTH, 2, 2 * upper + high - _HEIGHT, 2)
    return struct.pack(">IIIIiIiI", *numbers)


def _shown_by(content: bytes, **options: object) -> bytes:
    """An AVIF file with that clean aperture, in place of a color profile."""
    data = encoded(_PHOTO, "AVIF", icc_profile=_PROFILE, quality=95, **options)
    box = _box(b"colr", b"prof" + _PROFILE)
    associated = b"\x01\x02\x83\x04\x05"  # the profile is the fourth; a clean aperture must be essential
    assert data.count(box) == data.count(associated) == 1
    return data.replace(box, _box(b"clap", content)).replace(associated, b"\x01\x02\x83\x84\x05")


@pytest.mark.parametrize(
    "box", [(0, 0, 200, 100), (101, 33, 451, 300), (50, 60, 149, 161), (0, 1, _WIDTH, _HEIGHT)]
)
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_the_clean_aperture_of_an_avif_is_shown(box: tuple[int, int, int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    data = _shown_by(_aperture(*box), exif=exif)
    left, upper, right, lower = box
    cropped = _PHOTO[upper:lower, left:right]
    expected = {1: cropped, 6: np.rot90(cropped, -1), 7: np.rot90(cropped, 2).swapaxes(0, 1)}[orientation]
    picture = decode(data, Limits())
    assert (picture.provenance.width, picture.provenance.height) == expected.shape[1::-1]
    assert np.abs(picture.pixels.astype(int) - expected).mean() < 4
    assert picture.notes == ()


@pytest.mark.parametrize(
    "content",
    [
        _aperture(0, 0, _WIDTH, _HEIGHT),
        _aperture(0, 0, _WIDTH + 1, _HEIGHT),
        _aperture(-1, 0, 100, 100),
        _aperture(10, 10, 10, 100),
        bytes(32),
    ],
)
def test_apertures_that_make_no_sense_are_ignored(content: bytes) -> None:
    assert decode(_shown_by(content), Limits()).pixels.shape == _PHOTO.shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_pictures_are_turned_as_their_container_says(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    block = exif.tobytes()
    upright = decode(encoded(_PHOTO, "PNG", exif=block), Limits())
    picture = decode(encoded(_PHOTO, format, exif=block, quality=95), Limits())
    assert np.abs(picture.pixels.astype(int) - upright.pixels).mean() < 4
    assert picture.provenance.orientation_applied == (orientation > 1)
    assert picture.notes == ()


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_a_turn_that_only_the_exif_block_asks_for_is_ambiguous(format: str) -> None:
    # Encoders turn the tag into a box, so another one is made it.
    exif = Image.Exif()
    exif[_OTHER] = 6
    data = encoded(_PHOTO, format, exif=exif.tobytes())
    entry, turned = (struct.pack(">HHIH", tag, 3, 1, 6) for tag in (_OTHER, _ORIENTATION))
    little, turned_little = (struct.pack("<HHIH", tag, 3, 1, 6) for tag in (_OTHER, _ORIENTATION))
    assert data.count(entry) + data.count(little) == 1
    picture = decode(data.replace(entry, turned).replace(little, turned_little), Limits())
    assert picture.pixels.shape == _PHOTO.shape
    assert [note.partition(":")[0] for note in picture.notes] == ["orientation-ambiguous"]
