"""AVIF and HEIC from outside, on files that Pillow writes and on boxes made by hand."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.imaging.formats import isobmff
from app.imaging.formats.image_format import ImageFormat

heif = pytest.importorskip("pillow_heif", reason="HEIC is written by the extra `heic`")


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
