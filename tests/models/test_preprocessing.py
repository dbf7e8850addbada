"""Pixels as networks see them: every kind of image file upright and in sRGB, sizes, and the tensor."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydantic import ValidationError

from models.color.upright import upright_srgb
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing

CLIP = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD)
ORIENTATION = 0x0112

XYZ = tuple[float, float, float]
# The colors of sRGB relative to the D50 white of ICC profiles (IEC 61966-2-1, Bradford adaptation).
RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    with Image.open(path) as image:
        return image.convert("RGB")


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def pixels_of(image: Image.Image) -> np.ndarray:
    return upright_srgb(image).pixels


# --- small files made by hand, for what Pillow does not write


def png(width: int, height: int, bits: int, kind: int, rows: bytes, **chunks: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    extra = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def icc(space: bytes, description: str, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    """An ICC v2 profile: header, tag table, tags."""
    text = description.encode() + b"\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": desc, b"wtpt": xyz(0.9642, 1.0, 0.8249)} | tags
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    size = 128 + len(table) + len(body)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(">I4sI4s4s4s12s4s", size, b"test", 0x02400000, kind, space, pcs, bytes(12), b"acsp")
    header += bytes(28) + struct.pack(">iii", 63190, 65536, 54061)  # the D50 white of the connection space
    return header.ljust(128, b"\0") + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(value * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + b"\0\0"


def rgb_profile(
    red: XYZ = RED, green: XYZ = GREEN, blue: XYZ = BLUE, power: float = 2.2, description: str = "Test"
) -> bytes:
    tags = {b"rXYZ": xyz(*red), b"gXYZ": xyz(*green), b"bXYZ": xyz(*blue)}
    return icc(b"RGB ", description, tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(power)))


def gray_profile(power: float) -> bytes:
    return icc(b"GRAY", "Gray test", {b"kTRC": gamma(power)})


def cmyk_profile() -> bytes:
    """Ink makes lightness fall to zero where the naive conversion would keep colors: all is gray here."""
    identity = bytes(range(256))
    corners = b"".join(
        bytes([255 if not corner else 0, 128, 128])  # L*, a*, b*: white without ink, black with any
        for corner in range(16)
    )
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *np.eye(3, dtype=int).ravel() * 65536)
    return icc(b"CMYK", "Ink test", {b"A2B0": lut + identity * 4 + corners + identity * 3}, pcs=b"Lab ")


# --- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(orientation: int) -> None:
    upright = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10
    # What a camera stores is the inverse of what the tag asks for.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    result = upright_srgb(opened(encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)))
    np.testing.assert_array_equal(result.pixels, upright)
    assert result.orientation_applied == (orientation != 1)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "TIFF"])
def test_every_format_is_turned_once(format: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    left_red = Image.new("RGB", (64, 32), "blue")
    left_red.paste("red", (0, 0, 32, 32))
    options = {"tiffinfo": {ORIENTATION: 6}} if format == "TIFF" else {"exif": exif}
    result = upright_srgb(opened(encoded(left_red, format, **options)))
    assert result.pixels.shape == (64, 32, 3)
    assert result.orientation_applied
    # A quarter turn clockwise brings the left to the top.
    np.testing.assert_allclose(result.pixels[8, 16], [255, 0, 0], atol=4)
    np.testing.assert_allclose(result.pixels[56, 16], [0, 0, 255], atol=4)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(value: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    result = upright_srgb(opened(encoded(Image.new("RGB", (3, 2)), "PNG", exif=exif)))
    assert result.pixels.shape == (2, 3, 3)
    assert not result.orientation_applied


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, when it opens the file
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\0"],
)
def test_corrupt_exif_is_ignored(exif: bytes) -> None:
    result = upright_srgb(opened(encoded(Image.new("RGB", (3, 2), "white"), "JPEG", exif=exif)))
    assert result.pixels.shape == (2, 3, 3)
    assert not result.orientation_applied


# --- color


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_an_embedded_profile_is_converted(mode: str) -> None:
    swapped = rgb_profile(red=GREEN, green=RED)
    image = Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode)
    result = upright_srgb(opened(encoded(image, "PNG", icc_profile=swapped)))
    assert result.color.converted
    np.testing.assert_allclose(result.pixels[0, 0], [0, 255, 0], atol=2)


@pytest.mark.parametrize("value", [10, 55, 128, 200])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_tones_follow_the_profile(value: int, mode: str) -> None:
    # Linear light into the sRGB curve (IEC 61966-2-1); a gray image may carry either kind of profile.
    light = value / 255
    expected = 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)
    image = Image.new(mode, (4, 4), (value,) * len(mode))
    profiles = [rgb_profile(power=1.0)] + ([gray_profile(1.0)] if mode == "L" else [])
    for profile in profiles:
        result = upright_srgb(opened(encoded(image, "PNG", icc_profile=profile)))
        assert result.color.converted
        np.testing.assert_allclose(result.pixels[0, 0], [expected] * 3, atol=1.5)


def test_gray_with_alpha_follows_its_profile_before_white_comes_through() -> None:
    image = Image.new("LA", (4, 4), (55, 128))
    result = upright_srgb(opened(encoded(image, "PNG", icc_profile=gray_profile(1.0))))
    assert result.color.converted
    np.testing.assert_allclose(result.pixels[0, 0], [128 * 128 / 255 + 127] * 3, atol=2)


def test_a_cmyk_profile_is_converted() -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    plain = upright_srgb(opened(encoded(cyan, "TIFF")))
    assert not plain.color.converted
    np.testing.assert_allclose(plain.pixels[0, 0], [0, 255, 255], atol=2)
    result = upright_srgb(opened(encoded(cyan, "TIFF", icc_profile=cmyk_profile())))
    assert result.color.converted
    np.testing.assert_allclose(result.pixels[0, 0], [0, 0, 0], atol=2)


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    # Adobe's CMYK JPEG files store inverted ink, and Pillow writes them that way.
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(pixels_of(opened(encoded(image, "JPEG")))[0, 0], [255, 0, 0], atol=4)


def test_lab_files_have_colors() -> None:
    image = ImageCms.profileToProfile(
        Image.new("RGB", (4, 4), (200, 60, 30)),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")),
        outputMode="LAB",
    )
    assert image is not None
    result = upright_srgb(opened(encoded(image, "TIFF")))
    assert result.color.converted
    np.testing.assert_allclose(result.pixels[0, 0], [200, 60, 30], atol=4)


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        bytes(500),
        rgb_profile()[:200],
        rgb_profile(red=GREEN, green=RED, description="sRGB IEC61966-2.1"),
        gray_profile(1.0),
        cmyk_profile(),
    ],
    ids=["text", "zeros", "truncated", "srgb by name", "of gray", "of ink"],
)
def test_a_profile_that_says_nothing_changes_nothing(profile: bytes) -> None:
    image = Image.new("RGB", (4, 4), (200, 60, 30))
    result = upright_srgb(opened(encoded(image, "PNG", icc_profile=profile)))
    assert not result.color.converted
    assert result.pixels[0, 0].tolist() == [200, 60, 30]


def test_a_profile_needs_no_description() -> None:
    profile = rgb_profile(red=GREEN, green=RED).replace(b"desc", b"dsec")
    result = upright_srgb(opened(encoded(Image.new("RGB", (4, 4), "red"), "PNG", icc_profile=profile)))
    assert result.color.converted
    np.testing.assert_allclose(result.pixels[0, 0], [0, 255, 0], atol=2)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([rgb_profile(), gray_profile(2.0), cmyk_profile()]),
    st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=4)), min_size=1, max_size=8),
    st.sampled_from(["L", "RGB", "CMYK"]),
)
def test_no_damage_to_a_profile_loses_the_image(
    profile: bytes, damage: list[tuple[int, bytes]], mode: str
) -> None:
    damaged = bytearray(profile)
    for place, junk in damage:
        damaged[place : place + len(junk)] = junk
    image = Image.new(mode, (3, 2), 100)
    image.info["icc_profile"] = bytes(damaged)
    assert upright_srgb(image).pixels.shape == (2, 3, 3)


def test_linear_srgb_is_another_space() -> None:
    profile = rgb_profile(power=1.0, description="sRGB linear")
    result = upright_srgb(opened(encoded(Image.new("RGB", (4, 4), (55, 55, 55)), "PNG", icc_profile=profile)))
    assert result.color.converted
    np.testing.assert_allclose(result.pixels[0, 0], [128] * 3, atol=1.5)


def test_the_real_srgb_profile_is_recognized(photograph: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = upright_srgb(opened(encoded(photograph, "PNG", icc_profile=profile)))
    assert not result.color.converted
    np.testing.assert_array_equal(result.pixels, np.array(photograph))


# --- alpha


def test_alpha_is_laid_over_white() -> None:
    alphas = np.arange(256, dtype=np.uint8)
    rgba = np.stack([np.full(256, value, np.uint8) for value in (200, 60, 0)] + [alphas], axis=-1)[None]
    expected = rgba[..., :3] * (alphas[:, None] / 255) + 255 * (1 - alphas[:, None] / 255)
    np.testing.assert_allclose(pixels_of(opened(encoded(Image.fromarray(rgba), "PNG"))), expected, atol=0.51)


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBa"])
def test_other_alphas(mode: str) -> None:
    alpha = Image.fromarray(np.array([[255, 0]], np.uint8))
    if mode == "RGBa":
        image = Image.merge("RGBA", [Image.new("L", (2, 1))] * 3 + [alpha]).convert("RGBa")
    else:
        image = Image.new(mode, (2, 1))
        image.putalpha(alpha)
    assert image.mode == mode
    np.testing.assert_array_equal(pixels_of(image), [[[0] * 3, [255] * 3]])


def test_a_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    for options in ({"transparency": 0}, {"transparency": bytes([0, 255])}):
        result = pixels_of(opened(encoded(image, "PNG", **options)))
        np.testing.assert_array_equal(result, [[[255] * 3, [40, 50, 60]]])
    np.testing.assert_array_equal(
        pixels_of(opened(encoded(image, "GIF", transparency=1))), [[[10, 20, 30], [255] * 3]]
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(2, 1, 8, 0, b"\0\x01\x02", tRNS=b"\0\x01"), [[255] * 3, [2] * 3]),
        (png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", tRNS=struct.pack(">3H", 1, 2, 3)), [[255] * 3, [4, 5, 6]]),
        (png(2, 1, 1, 0, b"\0\x40", tRNS=b"\0\0"), [[255] * 3, [255] * 3]),
        (png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 10, 20000), tRNS=b"\0\x0a"), [[255] * 3, [78] * 3]),
    ],
    ids=["gray", "color", "one bit", "16 bits"],
)  # fmt: skip
def test_a_transparent_color_is_white(data: bytes, expected: list[list[int]]) -> None:
    assert pixels_of(opened(data))[0].tolist() == expected


def test_the_image_that_was_given_stays_as_it_is() -> None:
    for mode in ("RGB", "RGBA", "L"):
        image = Image.new(mode, (4, 3), 7)
        before = image.tobytes()
        pixels_of(image)[:] = 99
        assert image.tobytes() == before


# --- depth


def test_sixteen_bits_become_eight() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = opened(encoded(Image.fromarray(values), "PNG"))
    assert image.mode == "I;16"
    expected = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(image), np.repeat(expected[..., None], 3, axis=2))
    np.testing.assert_array_equal(pixels_of(image.convert("I")), pixels_of(image))


def test_sixteen_bits_of_either_byte_order() -> None:
    values = np.array([[0, 1000, 65535]], np.uint16)
    for order, mode in (("<u2", "I;16"), (">u2", "I;16B")):
        image = Image.frombytes(mode, (3, 1), values.astype(order).tobytes())
        assert pixels_of(image)[0, :, 0].tolist() == [0, 4, 255]


def test_sixteen_bit_color() -> None:
    row = b"\0" + struct.pack(">6H", 0, 32896, 65535, 257, 514, 65535)
    assert pixels_of(opened(png(2, 1, 16, 2, row)))[0].tolist() == [[0, 128, 255], [1, 2, 255]]


def test_floats_from_zero_to_one() -> None:
    values = np.array([[0.0, 0.25, 0.5, 1.0]], np.float32)
    image = opened(encoded(Image.fromarray(values), "TIFF"))
    assert image.mode == "F"
    assert pixels_of(image)[0, :, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize("value", [-0.1, 1.01, 255.0, float("nan"), float("inf")])
def test_floats_without_a_known_white_are_refused(value: float) -> None:
    image = opened(encoded(Image.fromarray(np.array([[0.5, value]], np.float32)), "TIFF"))
    with pytest.raises(ValueError, match="Floating-point samples"):
        upright_srgb(image)


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_integers_without_a_known_white_are_refused(value: int) -> None:
    image = opened(encoded(Image.fromarray(np.array([[5, value]], np.int32)), "TIFF"))
    with pytest.raises(ValueError, match="Integer samples"):
        upright_srgb(image)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LA", "RGBA", "PA", "I;16"]
)
def test_every_mode_becomes_the_same_kind_of_array(mode: str) -> None:
    image = Image.new("L", (5, 3), 255).convert("RGB")
    result = pixels_of(Image.new("I;16", (5, 3), 65535) if mode == "I;16" else _converted(image, mode))
    assert result.shape == (3, 5, 3)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable
    np.testing.assert_allclose(result, 255, atol=1)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    through = {"PA": "LA", "LA": "L", "1": "L"}.get(mode)
    return (_converted(image, through) if through else image).convert(mode)


def test_truncated_data_raises(photograph: Image.Image) -> None:
    with pytest.raises(OSError, match="truncated"):
        upright_srgb(opened(encoded(photograph, "JPEG")[:5000]))


# --- size

sides = st.integers(1, 5000)
limits = st.none() | st.integers(32, 2000)
pixel_limits = st.none() | st.integers(32 * 32, 4_000_000)


@settings(max_examples=500)
@given(sides, sides, limits, pixel_limits)
def test_a_fitted_size(width: int, height: int, longest: int | None, most: int | None) -> None:
    preprocessing = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=longest)
    fitted = preprocessing.fitted_size(width, height, most)
    short, long = sorted(fitted)
    old_short, old_long = sorted((width, height))
    assert 1 <= fitted[0] <= width
    assert 1 <= fitted[1] <= height
    assert (fitted[0] <= fitted[1]) == (width <= height) or short == long
    assert short >= min(32, old_short)
    if most is not None:
        assert short * long <= most
    if longest is not None and short > min(32, old_short):
        assert long <= longest
    # The aspect is kept up to the rounding of either side, unless 32 rows alone exceed the pixels allowed.
    if most is None or short > 32:
        assert abs(short * old_long - long * old_short) <= old_long + old_short
    assert preprocessing.fitted_size(*fitted, most) == fitted or longest is not None
    if (longest is None or old_long <= longest) and (most is None or width * height <= most):
        assert fitted == (width, height)


@pytest.mark.parametrize(
    ("size", "longest", "most", "expected"),
    [
        ((1600, 1200), 512, None, (512, 384)),
        ((1200, 1600), 512, None, (384, 512)),
        ((1600, 1200), None, 480_000, (800, 600)),
        ((1600, 1200), 512, 480_000, (512, 384)),
        ((1600, 1200), 1000, 480_000, (800, 600)),
        ((500, 375), 512, None, (500, 375)),
        ((4000, 64), 512, None, (2000, 32)),
        ((4000, 20), 512, None, (4000, 20)),
        ((40_000, 40), None, 64_000, (2000, 32)),
    ],
)
def test_fitted_sizes(
    size: tuple[int, int], longest: int | None, most: int | None, expected: tuple[int, int]
) -> None:
    preprocessing = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=longest)
    assert preprocessing.fitted_size(*size, most) == expected


@pytest.mark.parametrize(("width", "height", "most"), [(0, 5, None), (5, 0, None), (100, 100, 1023)])
def test_sizes_without_sense_are_refused(width: int, height: int, most: int | None) -> None:
    with pytest.raises(ValueError, match=r"positive sides|at least 1024"):
        CLIP.fitted_size(width, height, most)


def test_fit_leaves_small_images_alone(photograph: Image.Image) -> None:
    pixels = np.array(photograph)
    assert CLIP.fit(pixels) is pixels
    assert CLIP.fit(pixels, pixels.shape[0] * pixels.shape[1]) is pixels


def test_fit_does_not_alias() -> None:
    # Stripes of one pixel are far above what a quarter of the size can hold: they must average to gray.
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=60).fit(stripes)
    assert small.shape == (60, 60, 3)
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small[4:-4, 4:-4], 127.5, atol=6)


def test_fit_keeps_the_picture(photograph: Image.Image) -> None:
    pixels = np.array(photograph)
    height, width = pixels.shape[:2]
    fitted = CLIP.fit(pixels, max_pixels=width * height // 4)
    expected = np.array(photograph.reduce(2)).astype(int)  # means of 2 x 2
    rows, columns = min(fitted.shape[0], expected.shape[0]), min(fitted.shape[1], expected.shape[1])
    assert abs(rows - height // 2) <= 1
    assert np.abs(fitted[:rows, :columns].astype(int) - expected[:rows, :columns]).mean() < 5


# --- tensor


def test_the_tensor_is_the_normalized_image(photograph: Image.Image) -> None:
    pixels = np.array(photograph)
    tensor = CLIP.tensor(pixels)
    assert tensor.shape == (1, 3, *pixels.shape[:2])
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    expected = (pixels.astype(np.float64) / 255 - CLIP_MEAN) / CLIP_STD
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_the_tensor_takes_views_and_leaves_the_pixels_alone(photograph: Image.Image) -> None:
    pixels = np.array(photograph)
    before = pixels.copy()
    view = pixels[::2, ::-3]
    view.setflags(write=False)
    assert torch.equal(CLIP.tensor(view), CLIP.tensor(view.copy()))
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 32, 4), np.uint8),
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((32, 32, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        CLIP.tensor(pixels)
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        CLIP.fit(pixels)


def test_parameters_survive_json_and_are_checked() -> None:
    preprocessing = Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=512)
    assert Preprocessing.model_validate_json(preprocessing.model_dump_json()) == preprocessing
    for wrong in (
        {"longest_side": 31},
        {"std": (0.2, float("nan"), 0.2)},
        {"std": (0.2, 0.0, 0.2)},
        {"crop": 224},
    ):
        with pytest.raises(ValidationError):
            Preprocessing.model_validate(preprocessing.model_dump() | wrong)
