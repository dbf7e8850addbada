"""One photograph by every description of its color: the pixels are those of its sRGB copy."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.imaging import score_warnings
from app.imaging.decode import Picture, decode
from app.imaging.formats.registry import supported_formats
from app.imaging.limits import Limits
from models.loading import load_model
from models.training.robustness import scored
from tests.app.door.profiles import display_p3, in_display_p3
from tests.app.files import encoded, png_chunk
from tests.color_spaces import (
    ADOBE_RGB,
    BT2020,
    DISPLAY_P3,
    SRGB,
    Curve,
    avif_file,
    camera_code,
    chrm,
    cicp,
    codes_in,
    exif_block,
    gama,
    hlg_code,
    png_file,
    power_code,
    pq_code,
    psnr_db,
    samples_in,
    srgb_code,
)
from tests.photographs import named

COFFEE = named()["coffee"]
ADOBE = power_code(563 / 256)
_COARSE = ("PQ, nclx, AVIF", "HLG, nclx, AVIF", "PQ, nclx, HEIC")
"""The encoder of these has 8 bits for Y, Cb and Cr, which costs some 9 dB of PQ."""


def _decoded(data: bytes) -> Picture:
    return decode(data, Limits())


def _codes(picture: Picture) -> list[str]:
    return [caution.partition(":")[0] for caution in score_warnings.of_picture(picture)]


def _heic(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    return encoded(pixels, "HEIF", quality=100, chroma=444, **options)


def _deep_png(curve: Curve, transfer: int) -> bytes:
    """16 bits a sample, BT.2020."""
    samples = np.rint(65535 * codes_in(COFFEE, BT2020, curve).clip(0, 1)).astype(">u2")
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + png_chunk(*cicp(9, transfer))
        + png_chunk(b"IDAT", zlib.compress(rows, 1))
        + png_chunk(b"IEND", b"")
    )


def _jpeg(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    return encoded(pixels, "JPEG", quality=98, subsampling=0, **options)


CASES: dict[str, tuple[Callable[[], bytes], str, str, list[str]]] = {
    "P3, cICP": (
        lambda: png_file(samples_in(COFFEE, DISPLAY_P3, srgb_code), cicp(12, 13)),
        "Display P3 (cICP)",
        "sdr",
        [],
    ),
    "BT.2020, cICP": (
        lambda: png_file(samples_in(COFFEE, BT2020, camera_code), cicp(9, 14)),
        "BT.2020 (cICP)",
        "sdr",
        [],
    ),
    "PQ of 16 bits, cICP": (
        lambda: _deep_png(pq_code, 16),
        "BT.2020 PQ (cICP)",
        "pq",
        ["high-dynamic-range"],
    ),
    "HLG of 16 bits, cICP": (
        lambda: _deep_png(hlg_code, 18),
        "BT.2020 HLG (cICP)",
        "hlg",
        ["high-dynamic-range"],
    ),
    "P3, gAMA and cHRM": (
        lambda: png_file(samples_in(COFFEE, DISPLAY_P3, power_code(2.2)), gama(1 / 2.2), chrm(DISPLAY_P3)),
        "gamma 2.2 (gAMA/cHRM)",
        "sdr",
        [],
    ),
    "gAMA": (
        lambda: png_file(samples_in(COFFEE, SRGB, power_code(1.8)), gama(1 / 1.8)),
        "gamma 1.8 (gAMA/cHRM)",
        "sdr",
        [],
    ),
    "P3, cHRM": (
        lambda: png_file(samples_in(COFFEE, DISPLAY_P3, srgb_code), chrm(DISPLAY_P3)),
        "own primaries (gAMA/cHRM)",
        "sdr",
        [],
    ),
    "sRGB, gAMA and cHRM": (
        lambda: png_file(COFFEE, gama(0.45455), chrm(SRGB)),
        "sRGB (gAMA/cHRM)",
        "sdr",
        [],
    ),
    "sRGB chunk before gAMA": (
        lambda: png_file(COFFEE, (b"sRGB", b"\0"), gama(1.0)),
        "sRGB (sRGB chunk)",
        "sdr",
        [],
    ),
    "cICP before ICC": (
        lambda: png_file(samples_in(COFFEE, BT2020, camera_code), cicp(9, 1), icc_profile=display_p3()),
        "BT.2020 (cICP)",
        "sdr",
        [],
    ),
    "ICC before gAMA": (
        lambda: png_file(in_display_p3(COFFEE), gama(1.0), icc_profile=display_p3()),
        "Display P3 (ICC)",
        "sdr",
        [],
    ),
    "P3, nclx, AVIF": (
        lambda: avif_file(samples_in(COFFEE, DISPLAY_P3, srgb_code), 12, 13),
        "Display P3 (nclx)",
        "sdr",
        [],
    ),
    "PQ, nclx, AVIF": (
        lambda: avif_file(samples_in(COFFEE, BT2020, pq_code), 9, 16),
        "BT.2020 PQ (nclx)",
        "pq",
        ["high-dynamic-range"],
    ),
    "HLG, nclx, AVIF": (
        lambda: avif_file(samples_in(COFFEE, BT2020, hlg_code), 9, 18),
        "BT.2020 HLG (nclx)",
        "hlg",
        ["high-dynamic-range"],
    ),
    "ICC before nclx": (
        lambda: avif_file(in_display_p3(COFFEE), 9, 16, icc_profile=display_p3()),
        "Display P3 (ICC)",
        "sdr",
        [],
    ),
    "P3, nclx, HEIC": (
        lambda: _heic(
            samples_in(COFFEE, DISPLAY_P3, srgb_code), color_primaries=12, transfer_characteristics=13
        ),
        "Display P3 (nclx)",
        "sdr",
        [],
    ),
    "PQ, nclx, HEIC": (
        lambda: _heic(samples_in(COFFEE, BT2020, pq_code), color_primaries=9, transfer_characteristics=16),
        "BT.2020 PQ (nclx)",
        "pq",
        ["high-dynamic-range"],
    ),
    "Adobe RGB, R03, JPEG": (
        lambda: _jpeg(samples_in(COFFEE, ADOBE_RGB, ADOBE), exif=exif_block(0xFFFF, "R03")),
        "Adobe RGB (EXIF)",
        "sdr",
        [],
    ),
    "Adobe RGB, R03, TIFF": (
        lambda: encoded(samples_in(COFFEE, ADOBE_RGB, ADOBE), "TIFF", exif=_loaded(exif_block(0xFFFF))),
        "Adobe RGB (EXIF)",
        "sdr",
        ["color-space-guessed"],
    ),
    "Adobe RGB, R03, WebP": (
        lambda: encoded(
            samples_in(COFFEE, ADOBE_RGB, ADOBE), "WEBP", lossless=True, exif=exif_block(0xFFFF, "R03")
        ),
        "Adobe RGB (EXIF)",
        "sdr",
        [],
    ),
    "Adobe RGB, 2, JPEG": (
        lambda: _jpeg(samples_in(COFFEE, ADOBE_RGB, ADOBE), exif=exif_block(2)),
        "Adobe RGB (EXIF)",
        "sdr",
        [],
    ),
    "uncalibrated, JPEG": (
        lambda: _jpeg(samples_in(COFFEE, ADOBE_RGB, ADOBE), exif=exif_block(0xFFFF)),
        "Adobe RGB (EXIF)",
        "sdr",
        ["color-space-guessed"],
    ),
    "sRGB, R98, JPEG": (lambda: _jpeg(COFFEE, exif=exif_block(1, "R98")), "sRGB (EXIF)", "sdr", []),
    "ICC before EXIF": (
        lambda: _jpeg(in_display_p3(COFFEE), exif=exif_block(0xFFFF, "R03"), icc_profile=display_p3()),
        "Display P3 (ICC)",
        "sdr",
        [],
    ),
    "nothing": (lambda: _jpeg(COFFEE), "sRGB (assumed)", "sdr", []),
}


def _loaded(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block)
    exif.get_ifd(0x8769)
    return exif


@pytest.mark.parametrize("name", list(CASES))
def test_every_description_gives_the_same_picture(name: str) -> None:
    make, space, dynamic_range, warnings = CASES[name]
    if "HEIC" in name and "HEIC" not in supported_formats():
        pytest.skip("HEIC is read with the extra `heic`")
    picture = _decoded(make())
    assert (picture.provenance.color_space, picture.provenance.dynamic_range) == (space, dynamic_range)
    assert picture.provenance.color_converted is not space.startswith("sRGB")
    assert psnr_db(picture.pixels, COFFEE) > (38 if name in _COARSE else 40)
    assert _codes(picture) == warnings


def test_gray_and_transparent_pictures_have_a_color_space_too() -> None:
    gray = np.array(Image.fromarray(COFFEE).convert("L"))
    linear = np.rint(255 * codes_in(np.dstack([gray] * 3), SRGB, power_code(1.5)))[..., 0].astype(np.uint8)
    picture = _decoded(png_file(linear, gama(1 / 1.5)))
    assert psnr_db(picture.pixels, np.dstack([gray] * 3)) > 40
    transparent = np.dstack([samples_in(COFFEE, DISPLAY_P3, srgb_code), np.full(COFFEE.shape[:2], 128)])
    picture = _decoded(png_file(transparent.astype(np.uint8), cicp(12, 13)))
    expected = np.rint(COFFEE * (128 / 255) + 127).astype(np.uint8)
    assert psnr_db(picture.pixels, expected) > 40


def test_code_points_of_pq_in_a_profile_count() -> None:
    profile = bytearray(display_p3())
    # The tag of the copyright becomes one of code points.
    at = profile.index(b"cprt")
    start = int.from_bytes(profile[at + 4 : at + 8], "big")
    profile[at : at + 4] = b"cicp"
    profile[start : start + 12] = b"cicp" + bytes(4) + bytes((12, 16, 0, 1))
    picture = _decoded(png_file(samples_in(COFFEE, DISPLAY_P3, pq_code), icc_profile=bytes(profile)))
    assert picture.provenance.color_space == "Display P3 PQ (ICC)"
    assert psnr_db(picture.pixels, COFFEE) > 40


@pytest.mark.parametrize("chunk", [cicp(9, 16, 9), cicp(3, 13), cicp(1, 200)])
def test_code_points_that_cannot_be_used_are_named(chunk: tuple[bytes, bytes]) -> None:
    picture = _decoded(png_file(COFFEE, chunk))
    assert _codes(picture) == ["color-profile-ignored"]
    assert picture.provenance.color_space == "sRGB (assumed)"
    np.testing.assert_array_equal(picture.pixels, COFFEE)


def test_impossible_chromaticities_are_named() -> None:
    picture = _decoded(png_file(COFFEE, gama(1 / 2.2), (b"cHRM", bytes(32))))
    assert _codes(picture) == ["color-profile-ignored"]
    np.testing.assert_array_equal(picture.pixels, COFFEE)


def test_photoshop_calls_everything_uncalibrated() -> None:
    exif = Image.Exif()
    exif[0x0131] = "Adobe Photoshop 23.5 (Windows)"
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    picture = _decoded(_jpeg(COFFEE, exif=exif))
    assert (picture.provenance.color_space, picture.provenance.color_converted) == ("sRGB (EXIF)", False)
    assert _codes(picture) == ["color-space-guessed"]


def test_gain_maps_are_left_aside() -> None:
    base, gain = Image.fromarray(COFFEE), Image.fromarray(255 - COFFEE)
    file = io.BytesIO()
    base.save(file, "MPO", save_all=True, append_images=[gain], quality=95)
    picture = _decoded(file.getvalue())
    assert psnr_db(picture.pixels, COFFEE) > 35
    assert picture.provenance.dynamic_range == "sdr"
    assert _codes(picture) == []


@pytest.mark.slow
def test_every_description_gives_the_same_score() -> None:
    readable = [name for name in CASES if "HEIC" not in name or "HEIC" in supported_formats()]
    # All are encoded before the models are loaded: beside them, the encoder of HEIC has failed.
    pictures = {name: _decoded(CASES[name][0]()).pixels for name in readable}
    model = load_model("bpclip")
    expected = scored(model, COFFEE)[0]
    for name, pixels in pictures.items():
        bar = 0.04 if name in _COARSE else 0.02
        assert scored(model, pixels)[0] == pytest.approx(expected, abs=bar), name
