"""JPEG XL: both forms of a file, its header by the bit, and decoding here and in a process of its own."""

import asyncio
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage, UnsupportedMediaType
from app.imaging import model_inputs
from app.imaging.decode import decode
from app.imaging.formats import jpeg_xl
from app.imaging.formats.jpeg_xl import CodestreamHeader, codestream
from app.imaging.formats.registry import sniff, supported_formats
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted
from app.imaging.sandbox.pool import Decoders
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from tests.app.files import encoded, inspect
from tests.photographs import named

pytest.importorskip("pillow_jxl", reason="JPEG XL is written by the extra `jxl`")

LIMITS = Limits()
CAT = np.ascontiguousarray(named()["chelsea"][60:108, 120:184])  # 64 x 48: its header is two bytes long
_ANIMATION = bytes.fromhex(
    "ff0acb044d0020260804010044004b188b15805dfeff006253d50280d98e3f0804010044004b188b15805dfeff00ce36d302c06d8c3f"
    "0804050044004b188b15805dfeff00e236d302c06d8c3f"
)
"""Three frames, red, green and blue; the encoder at hand writes none."""


@pytest.fixture(autouse=True)
def _written_here() -> None:
    assert "JPEG XL" in supported_formats()


def _jxl(pixels: NDArray[np.generic], **options: object) -> bytes:
    return encoded(Image.fromarray(pixels), "JXL", **options)


def _packed(*fields: tuple[int, int]) -> bytes:
    """Values and their numbers of bits, the lowest bit first."""
    value = at = 0
    for field, bits in fields:
        value |= field << at
        at += bits
    return value.to_bytes((at + 7) // 8, "little")


def _turned(pixels: NDArray[np.uint8], orientation: int) -> bytes:
    """A codestream with the default metadata written out, so that it has an orientation."""
    data = _jxl(pixels)
    size = int.from_bytes(data[2:4], "little")
    height, width = pixels.shape[:2]
    bits = 9 if (width, height) == (64, 48) else 14
    length = 2 + (bits + 2 + 7) // 8
    fields = [(size & ((1 << bits) - 1), bits), (0b10, 2), (orientation - 1, 3), (0, 3)]
    fields += [(0, 3), (1, 1), (0, 2), (1, 1), (1, 1), (1, 1), (0, 2), (1, 1)]
    return data[:2] + _packed(*fields) + data[length:]


@pytest.mark.parametrize("container", [False, True])
def test_both_forms_of_a_file(container: bool) -> None:
    data = _jxl(CAT, lossless=True, use_container=container)
    assert data.startswith(b"\0\0\0\x0cJXL " if container else b"\xff\x0a")
    assert sniff(data) is jpeg_xl.JPEG_XL
    header = inspect(data, LIMITS)
    assert (header.format, header.width, header.height) == ("JPEG XL", 64, 48)
    picture = decode(data, LIMITS)
    assert (picture.pixels == CAT).all()
    assert (picture.provenance.frames, picture.provenance.color_converted) == (1, False)


def test_a_container_in_pieces_and_what_lies_beside_the_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _jxl(CAT, lossless=True, exif=exif.tobytes())
    assert b"Exif" in data
    assert codestream(data).startswith(b"\xff\x0a")
    picture = decode(data, LIMITS)  # the standard has no orientation in EXIF
    assert (picture.pixels == CAT).all()
    assert not picture.provenance.orientation_applied
    assert [note.partition(":")[0] for note in picture.notes] == ["orientation-ambiguous"]
    # As the standard has it, the block stands behind an offset.
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    boxes = [struct.pack(">I", 8 + len(each)) + b"Exif" + each for each in (block, bytes(4) + block)]
    assert boxes[0] in data
    assert decode(data.replace(*boxes), LIMITS).notes == picture.notes
    exif[0x0112] = 1
    assert decode(_jxl(CAT, lossless=True, exif=exif.tobytes()), LIMITS).notes == ()


_STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, 3),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation: int) -> None:
    data = _turned(np.ascontiguousarray(_STORED[orientation](CAT)), orientation)
    header = inspect(data, LIMITS)
    assert (header.width, header.height) == (64, 48)
    picture = decode(data, LIMITS)
    assert np.abs(picture.pixels.astype(int) - CAT).mean() < 4
    assert picture.provenance.orientation_applied is (orientation != 1)


def test_other_kinds_of_pixels() -> None:
    gray = np.asarray(Image.fromarray(CAT).convert("L"))
    assert (decode(_jxl(gray, lossless=True), LIMITS).pixels == gray[..., None]).all()
    half = np.where(np.arange(64) < 32, 255, 0).astype(np.uint8)[None].repeat(48, 0)
    on_white = np.where(half[..., None] == 255, CAT, np.uint8(255))
    assert (decode(_jxl(np.dstack([CAT, half]), lossless=True), LIMITS).pixels == on_white).all()
    # Written with a profile of linear light, so that the middle is brighter in sRGB.
    linear = decode(_jxl(np.full((48, 64), 32768, np.uint16), lossless=True), LIMITS)
    assert linear.provenance.color_converted
    assert abs(int(linear.pixels[0, 0, 0]) - 188) <= 1


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"use_container": True}])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files_are_refused(options: dict[str, object], share: float) -> None:
    data = _jxl(CAT, **options)
    with pytest.raises(InvalidImage):
        decode(data[: int(len(data) * share)], LIMITS)


def test_animations_are_refused_as_what_cannot_be_read_here() -> None:
    with pytest.raises(UnsupportedMediaType, match="Animated JPEG XL") as caught:
        inspect(_ANIMATION, LIMITS)
    assert caught.value.fields == {"reason": "decoder-missing", "supported": list(supported_formats())}


def _claims(width: int, height: int) -> bytes:
    """A codestream of nothing but a size."""
    return (
        b"\xff\x0a"
        + _packed((0, 1), (3, 2), (height - 1, 30), (0, 3), (3, 2), (width - 1, 30), (1, 1))
        + b"\0"
    )


def test_the_header_decides_before_anything_is_decoded() -> None:
    assert inspect(_claims(7_000, 5_000), LIMITS).width == 7_000
    for width, height in ((9_000, 8_000), (12_000, 10_001), (30_001, 40), (2**30, 2**30)):
        with pytest.raises(ImageTooLarge):
            inspect(_claims(width, height), LIMITS)
    with pytest.raises(InvalidImage):
        decode(_claims(7_000, 5_000), LIMITS)


@pytest.mark.parametrize("box", [b"\0\0\0\x08free", b"\0\0\0\x0cjxlp\0\0\0\0"])
def test_a_million_boxes_are_not_gone_through(box: bytes) -> None:
    with pytest.raises(InvalidImage, match="more pieces than are read"):
        inspect(b"\0\0\0\x0cJXL \r\n\x87\n" + box * 1_000_000, LIMITS)


@given(st.binary(max_size=100))
def test_whatever_comes_is_read_to_an_end(rest: bytes) -> None:
    try:
        header = CodestreamHeader(b"\xff\x0a" + rest)
    except EOFError:
        return
    assert min(header.size) >= 0
    assert 1 <= header.orientation <= 8
    assert isinstance(codestream(b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I", len(rest)) + rest), bytes)


@pytest.mark.process
def test_a_process_decodes_it_as_it_is_decoded_here() -> None:
    data = _turned(np.ascontiguousarray(_STORED[6](CAT)), 6)
    wanted = Wanted({"full": Preprocessing(mean=CLIP_MEAN, std=CLIP_STD)}, 2**21)
    decoders = Decoders(1, LIMITS, 60.0)
    decoders.open()
    try:
        there = asyncio.run(decoders.decode(data, wanted, time.monotonic() + 60)).result.fitted
        for refused in (data[:-9], _claims(7_000, 5_000)):
            with pytest.raises(InvalidImage, match="truncated or damaged"):
                asyncio.run(decoders.decode(refused, wanted, time.monotonic() + 60))
    finally:
        decoders.close()
    here = model_inputs.fit(decode(data, LIMITS), wanted)
    assert there.provenance == here.provenance
    assert np.array_equal(there.pixels["full"], here.pixels["full"])
