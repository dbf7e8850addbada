"""Pictures that use only some of their 16 bits are as bright as their 8-bit copies."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from app.imaging import score_warnings
from app.imaging.decode import Picture, decode
from app.imaging.limits import Limits
from models.color.sample_range import bits_in_use, eight_bit_table
from tests.app.files import png_chunk
from tests.photographs import named

ROCKET = named()["rocket"]
GRAY = ROCKET[..., 1]


def _tiff(samples: NDArray[np.uint16], **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric="rgb" if samples.ndim == 3 else "minisblack", **options)
    return file.getvalue()


def _png(samples: NDArray[np.uint16]) -> bytes:
    height, width, channels = samples.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.tobytes() for row in samples.astype(">u2"))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        + png_chunk(b"IDAT", zlib.compress(rows, 1))
        + png_chunk(b"IEND", b"")
    )


def _scaled(pixels: NDArray[np.uint8], bits: int) -> NDArray[np.uint16]:
    return np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint16)


def _decoded(data: bytes) -> Picture:
    return decode(data, Limits())


def _warned(picture: Picture) -> list[str]:
    return [each for each in score_warnings.of_picture(picture) if each.startswith("sample-range-guessed:")]


@pytest.mark.parametrize(
    ("largest", "bits"),
    [(0, 16), (1, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16383, 14),
     (16384, 16), (65535, 16)],
)  # fmt: skip
def test_bits_in_use(largest: int, bits: int) -> None:
    assert bits_in_use(largest) == bits


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_samples_are_rounded_to_nearest(bits: int) -> None:
    white = 2**bits - 1
    codes = np.arange(65536)
    np.testing.assert_array_equal(
        eight_bit_table(bits), np.floor(codes.clip(max=white) * 255 / white + 0.5).astype(np.uint8)
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize(
    "options",
    [{}, {"byteorder": ">"}, {"compression": "deflate"}, {"compression": "deflate", "byteorder": ">"}],
    ids=str,
)
def test_color_in_tiff(bits: int, options: dict[str, str]) -> None:
    picture = _decoded(_tiff(_scaled(ROCKET, bits), **options))
    np.testing.assert_array_equal(picture.pixels, ROCKET)
    (warning,) = _warned(picture)
    assert f"use {bits} bits" in warning
    assert f"so {2**bits - 1} is" in warning


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_gray_and_color_in_png(bits: int) -> None:
    for pixels in (ROCKET, GRAY[..., None]):
        picture = _decoded(_png(_scaled(pixels, bits)))
        np.testing.assert_array_equal(picture.pixels, np.broadcast_to(pixels, ROCKET.shape))
        assert len(_warned(picture)) == 1


def test_gray_in_tiff() -> None:
    for options in ({}, {"byteorder": ">"}):
        picture = _decoded(_tiff(_scaled(GRAY, 12), **options))
        np.testing.assert_array_equal(picture.pixels[..., 0], GRAY)
        assert len(_warned(picture)) == 1


@pytest.mark.parametrize("alpha_bits", [12, 16])
@pytest.mark.parametrize("pixels", [ROCKET, GRAY[..., None]], ids=["color", "gray"])
def test_alpha_has_a_range_of_its_own(alpha_bits: int, pixels: NDArray[np.uint8]) -> None:
    alpha = np.full((*GRAY.shape, 1), 255, np.uint8)
    alpha[:50] = 0
    picture = _decoded(_png(np.dstack([_scaled(pixels, 12), _scaled(alpha, alpha_bits)])))
    assert (picture.pixels[:50] == 255).all()
    np.testing.assert_array_equal(picture.pixels[50:], np.broadcast_to(pixels, ROCKET.shape)[50:])
    assert len(_warned(picture)) == 1


def test_gray_with_alpha_that_uses_all_bits_stays_as_it_is() -> None:
    half = np.full(GRAY.shape, 32768, np.uint16)
    picture = _decoded(_png(np.dstack([_scaled(GRAY, 16), half])))
    np.testing.assert_allclose(picture.pixels[..., 0], GRAY / 2 + 127.5, atol=1.5)
    assert not _warned(picture)


@pytest.mark.parametrize("order", ["<", ">"])
def test_white_of_signed_samples_is_known(order: str) -> None:
    for brightness in (1, 2):
        gray = GRAY // brightness
        signed = np.rint(gray * (32767 / 255)).astype(np.int16)
        picture = _decoded(_tiff(signed, byteorder=order))  # type: ignore[arg-type]
        np.testing.assert_array_equal(picture.pixels[..., 0], gray)
        assert not _warned(picture)


@pytest.mark.parametrize("bits", [12, 16])
def test_white_may_be_zero(bits: int) -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, (1 << bits) - 1 - _scaled(GRAY, bits), photometric="miniswhite")
    picture = _decoded(file.getvalue())
    np.testing.assert_array_equal(picture.pixels[..., 0], GRAY)


def test_pictures_that_use_all_bits_stay_as_they_are() -> None:
    for data in (_tiff(_scaled(ROCKET, 16)), _png(_scaled(ROCKET, 16)), _tiff(_scaled(GRAY, 16))):
        picture = _decoded(data)
        assert not _warned(picture)
    black = _decoded(_png(np.zeros((40, 50, 3), np.uint16)))
    assert not black.pixels.any()
    assert not _warned(black)


def test_white_is_known_where_the_file_says_12_bits() -> None:
    # Packed, of half the brightness: 4095 stays white though 11 bits are used. Pillow writes no such file.
    codes = _scaled(GRAY // 2, 12)[:, :426].astype(int)
    first, second = codes[:, ::2], codes[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8)
    height, width = codes.shape
    entries = [
        (256, 4, width), (257, 4, height), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 200), (277, 3, 1),
        (278, 4, height), (279, 4, packed.nbytes),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    data = (b"II*\0\x08\0\0\0" + directory + bytes(4)).ljust(200, b"\0") + packed.tobytes()
    picture = _decoded(data)
    np.testing.assert_array_equal(picture.pixels[..., 0], (GRAY // 2)[:, :426])
    assert not _warned(picture)


def test_low_bytes_are_read_for_such_pictures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **options: (opened.append(1), real(*args, **options))[1])
    _decoded(_tiff(_scaled(ROCKET, 16)))
    assert len(opened) == 1
    _decoded(_tiff(_scaled(ROCKET, 12)))
    assert len(opened) == 3
