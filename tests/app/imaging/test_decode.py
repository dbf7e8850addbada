"""From bytes to pixels, and what is refused on the way."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from app.errors import (
    BodyTooLarge,
    ImageTooLarge,
    ImageTooSmall,
    InvalidImage,
    MalformedRequest,
    ServiceError,
    UnsupportedMediaType,
)
from app.imaging import score_warnings
from app.imaging.decode import Picture, decode
from app.imaging.formats.registry import supported_formats
from app.imaging.limits import Limits
from tests.app.files import encoded, inspect, png_chunk, png_header, turned
from tests.photographs import named

CAT = named()["chelsea"]
LIMITS = Limits()


@pytest.mark.parametrize(
    ("format", "name"), [("PNG", "PNG"), ("TIFF", "TIFF"), ("BMP", "BMP"), ("GIF", "GIF"), ("JPEG", "JPEG"),
                         ("WEBP", "WebP"), ("AVIF", "AVIF"), ("HEIF", "HEIC")],
)  # fmt: skip
def test_formats(format: str, name: str) -> None:
    if name not in supported_formats():
        pytest.skip(f"this Pillow does not read {name}")
    data = encoded(CAT, format)
    header = inspect(data, LIMITS)
    assert (header.format, header.width, header.height) == (name, 451, 300)
    picture = decode(data, LIMITS)
    assert picture.pixels.shape == (300, 451, 3)
    assert (
        np.abs(picture.pixels.astype(int) - CAT).mean()
        < (0 if format in ("PNG", "TIFF", "BMP") else 12) + 1e-9
    )
    assert picture.provenance.sha256 == hashlib.sha256(data).hexdigest()
    assert picture.provenance.bytes == len(data)
    assert picture.provenance.format == name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation: int) -> None:
    quarters = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation]
    stored = np.rot90(CAT, quarters)
    if orientation in (2, 4, 5, 7):
        # The mirrored ones: whatever was stored, mirroring it once more must be undone.
        stored = {
            2: CAT[:, ::-1],
            4: CAT[::-1],
            5: CAT.transpose(1, 0, 2),
            7: CAT[::-1, ::-1].transpose(1, 0, 2),
        }[orientation]
    picture = decode(turned(np.ascontiguousarray(stored), orientation), LIMITS)
    assert (picture.pixels == CAT).all()
    assert (picture.provenance.width, picture.provenance.height) == (451, 300)
    assert picture.provenance.orientation_applied is (orientation != 1)


def test_alpha_is_laid_over_white() -> None:
    alpha = np.zeros(CAT.shape[:2], np.uint8)
    image = Image.fromarray(np.dstack([CAT, alpha]))
    assert (decode(encoded(image, "PNG"), LIMITS).pixels == 255).all()


def test_a_profile_is_converted() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(encoded(CAT, "PNG", icc_profile=profile), LIMITS).provenance.color_converted is False
    assert (decode(encoded(CAT, "PNG", icc_profile=b"nonsense"), LIMITS).pixels == CAT).all()


def test_the_first_frame_counts() -> None:
    frames = [Image.fromarray(CAT), Image.fromarray(255 - CAT), Image.fromarray(CAT // 2)]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    picture = decode(data, LIMITS)
    assert picture.provenance.frames == 3
    assert (picture.pixels == CAT).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_truncated_files_are_refused(format: str, share: float) -> None:
    data = encoded(CAT, format)
    with pytest.raises(InvalidImage):
        decode(data[: int(len(data) * share)], LIMITS)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedRequest),
        (b"\0", UnsupportedMediaType),
        (b"BM and then no bitmap at all", UnsupportedMediaType),
        (b"%!PS-Adobe-3.0 EPSF-3.0", UnsupportedMediaType),
        (b"RIFF\0\0\0\0WAVEfmt ", UnsupportedMediaType),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", UnsupportedMediaType),
        (b"\x89PNG\r\n\x1a\n", InvalidImage),
        (b"\xff\xd8\xff", InvalidImage),
        (b"GIF89a", InvalidImage),
        (b"II*\0", InvalidImage),
        (b"RIFF\0\0\0\0WEBP", InvalidImage),
        (png_header(65_000, 65_000), ImageTooLarge),
        (png_header(12_000, 10_001), ImageTooLarge),
        (png_header(30_001, 40), ImageTooLarge),
        (png_header(4_000, 39), ImageTooLarge),
        (png_header(31, 4000), ImageTooSmall),
        (png_header(64, 64), InvalidImage),
    ],
)
def test_what_is_refused(data: bytes, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        decode(data, LIMITS)


def test_the_header_decides_before_anything_is_decoded() -> None:
    assert inspect(png_header(7_000, 7_000), LIMITS).width == 7_000
    with pytest.raises(ImageTooLarge):
        inspect(png_header(7_000, 7_000), Limits(max_pixels=48_999_999))


def test_a_bomb_is_too_large_whatever_pillow_is_told() -> None:
    # A canvas of one pixel with a frame far outside: Pillow itself finds this one.
    gif = b"GIF89a\1\0\1\0\0\0\0" + b",\0\0\0\0\xff\xff\xff\xff\0" + b"\x08\x01\0\0;"
    with pytest.raises((ImageTooLarge, ImageTooSmall)):
        inspect(gif, LIMITS)


def test_too_many_bytes() -> None:
    with pytest.raises(BodyTooLarge):
        inspect(encoded(CAT), Limits(max_bytes=100))


def test_a_corrupt_exif_block_is_no_obstacle() -> None:
    data = bytearray(encoded(CAT, "JPEG", exif=b"Exif\0\0" + b"\xff" * 60, quality=95))
    assert decode(bytes(data), LIMITS).pixels.shape == CAT.shape


def test_pixels_belong_to_nobody_else() -> None:
    picture = decode(encoded(CAT, "PNG"), LIMITS)
    picture.pixels[:] = 0  # writable, so that nothing downstream needs a copy
    assert Image.open(io.BytesIO(encoded(CAT, "PNG"))).size == (451, 300)


# How a photograph is stored that is to be seen upright by each orientation of EXIF 2.32, 4.6.4 A.
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


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_every_format_comes_out_upright(format: str) -> None:
    upright = CAT[60:210, 90:310]
    for orientation, stored in _STORED.items():
        data = encoded(np.ascontiguousarray(stored(upright)), format, exif=_exif(orientation), quality=95)
        picture = decode(data, LIMITS)
        assert picture.pixels.shape == upright.shape
        assert np.abs(picture.pixels.astype(int) - upright).mean() < 4
        assert picture.provenance.orientation_applied is (orientation != 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"%PDF-1.7", "unknown-format"), (b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", "no-image")],
)
def test_why_a_format_is_not_read_is_said_in_a_field(data: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        inspect(data, LIMITS)
    assert caught.value.fields == {"reason": reason, "supported": list(supported_formats())}


def test_of_heic_the_image_itself_is_read_whatever_lies_beside_it() -> None:
    data = encoded(
        Image.fromarray(255 - CAT), "HEIF", save_all=True, append_images=[Image.fromarray(CAT)],
        primary_index=1, quality=95,
    )  # fmt: skip
    picture = decode(data, LIMITS)
    assert picture.provenance.frames == 2
    assert np.abs(picture.pixels.astype(int) - CAT).mean() < 4


def test_libheif_keeps_its_own_limits() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    assert pillow_heif.options.DISABLE_SECURITY_LIMITS is False
    assert [pillow_heif.options.THUMBNAILS, pillow_heif.options.DEPTH_IMAGES] == [False, False]


def test_ten_bits_become_eight() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    wide = (CAT.astype(np.uint16) * 257).tobytes()
    pillow_heif.encode("RGB;16", (451, 300), wide, file, quality=95)
    assert np.abs(decode(file.getvalue(), LIMITS).pixels.astype(int) - CAT).mean() < 4


_HALF_OPAQUE = np.where(np.arange(451) < 200, 255, 0).astype(np.uint8)[None].repeat(300, 0)
_ON_WHITE = np.where(_HALF_OPAQUE[..., None] == 255, CAT, np.uint8(255))
_GRAY = np.asarray(Image.fromarray(CAT).convert("L"))


def _with_alpha() -> Image.Image:
    return Image.fromarray(np.dstack([CAT, _HALF_OPAQUE]))


def _sixteen_bit_png(pixels: NDArray[np.uint8]) -> bytes:
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(">u2") * 257)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _lab() -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(Image.fromarray(CAT), srgb, lab, outputMode="LAB")
    assert converted is not None
    return converted


_ODD: dict[str, tuple[Callable[[], bytes], NDArray[np.uint8], float]] = {
    "alpha in PNG": (lambda: encoded(_with_alpha(), "PNG"), _ON_WHITE, 0),
    "alpha in WebP": (lambda: encoded(_with_alpha(), "WEBP", lossless=True), _ON_WHITE, 0),
    "alpha in AVIF": (lambda: encoded(_with_alpha(), "AVIF", quality=95), _ON_WHITE, 4),
    "alpha in HEIC": (lambda: encoded(_with_alpha(), "HEIF", quality=95), _ON_WHITE, 4),
    "alpha in TIFF": (lambda: encoded(_with_alpha(), "TIFF"), _ON_WHITE, 0),
    "palette with alpha": (lambda: encoded(_with_alpha().quantize(256), "PNG"), _ON_WHITE, 4),
    "transparent GIF": (lambda: encoded(_with_alpha(), "GIF"), _ON_WHITE, 4),
    "CMYK with Adobe's marker": (
        lambda: encoded(Image.fromarray(CAT).convert("CMYK"), "JPEG", quality=95), CAT, 4,
    ),
    "CMYK in TIFF": (lambda: encoded(Image.fromarray(CAT).convert("CMYK"), "TIFF"), CAT, 0),
    "LAB": (lambda: encoded(_lab(), "TIFF"), CAT, 4),
    "16-bit gray PNG": (lambda: encoded(Image.fromarray(_GRAY.astype(np.uint16) * 257), "PNG"), _GRAY, 0),
    "16-bit gray TIFF": (lambda: encoded(Image.fromarray(_GRAY.astype(np.uint16) * 257), "TIFF"), _GRAY, 0),
    "float TIFF": (lambda: encoded(Image.fromarray(_GRAY.astype(np.float32) / 255), "TIFF"), _GRAY, 0),
    "16-bit color": (lambda: _sixteen_bit_png(CAT), CAT, 0),
    "16-bit color and alpha": (
        lambda: _sixteen_bit_png(np.dstack([CAT, _HALF_OPAQUE])), _ON_WHITE, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(_ODD))
def test_odd_kinds_of_pixels(kind: str) -> None:
    make, expected, most = _ODD[kind]
    if expected.ndim == 2:
        expected = np.dstack([expected] * 3)
    pixels = decode(make(), LIMITS).pixels.astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() <= most


@pytest.mark.parametrize("white", [255.0, np.nan])
def test_floats_of_unknown_white_are_refused_in_plain_words(white: float) -> None:
    data = encoded(Image.fromarray(np.full((64, 64), white, np.float32)), "TIFF")
    with pytest.raises(InvalidImage, match="what white is in others is unknown"):
        decode(data, LIMITS)


_FRAMES = [Image.fromarray(CAT), Image.fromarray(255 - CAT), Image.fromarray(CAT // 2)]


def _animated(format: str, **options: Any) -> bytes:
    return encoded(_FRAMES[0], format, save_all=True, append_images=_FRAMES[1:], **options)


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF", "WEBP", "AVIF", "MPO"])
def test_the_first_of_several_frames(format: str) -> None:
    data = _animated(format)
    picture = decode(data, LIMITS)
    assert picture.provenance.frames == 3
    assert np.abs(picture.pixels.astype(int) - CAT).mean() < 12
    assert decode(data, Limits(max_frames=3)).provenance.frames == 3
    with pytest.raises(ImageTooLarge) as caught:
        inspect(data, Limits(max_frames=2))
    assert caught.value.fields == {"max_frames": 2}


def test_a_multi_picture_file_is_no_animation() -> None:
    assert score_warnings.of_picture(decode(_animated("MPO"), LIMITS)) == []


def test_the_aspect_is_limited() -> None:
    with pytest.raises(ImageTooLarge) as caught:
        inspect(png_header(3_300, 32), LIMITS)
    assert caught.value.fields == {"max_aspect": 100.0, "width": 3300, "height": 32}
    assert inspect(png_header(32, 3_200), LIMITS).height == 3200


def _codes(picture: Picture) -> list[str]:
    return [caution.partition(":")[0] for caution in score_warnings.of_picture(picture)]


def _profile(padding: int = 0) -> bytes:
    """A color profile, and bytes behind it that do not compress."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile + np.random.default_rng(0).bytes(padding)


def test_profiles_that_are_not_used_are_named() -> None:
    assert _codes(decode(encoded(CAT, "PNG", icc_profile=_profile(2 << 20)), LIMITS)) == []
    for profile in (_profile(5 << 20), b"x" * 3000):
        picture = decode(encoded(CAT, "PNG", icc_profile=profile), LIMITS)
        assert _codes(picture) == ["color-profile-ignored"]
        assert (picture.pixels == CAT).all()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert _codes(decode(encoded(CAT, "JPEG", icc_profile=lab), LIMITS)) == ["color-profile-ignored"]


def test_exif_blocks_that_are_not_read_are_named() -> None:
    behind = bytes(200_000)
    picture = decode(encoded(CAT, "PNG", exif=_exif(3) + behind), LIMITS)
    assert _codes(picture) == []
    assert picture.provenance.orientation_applied
    for block in (_exif(3) + bytes(2 << 20), b"Exif\0\0" + b"\xff" * 60, b"Exif\0\0II*\0" + b"\xff" * 60):
        picture = decode(encoded(CAT, "PNG", exif=block), LIMITS)
        assert _codes(picture) == ["orientation-unknown"]
        assert not picture.provenance.orientation_applied
        assert (picture.pixels == CAT).all()
    assert _codes(decode(encoded(CAT, "JPEG", exif=Image.Exif()), LIMITS)) == []


@cache
def _packed_gigabyte() -> bytes:
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1000)) + packer.flush()
    assert len(packed) < 8 << 20
    return packed


@pytest.mark.parametrize(
    ("kind", "before"), [(b"iCCP", b"x\0\0"), (b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")]
)
def test_what_unpacks_to_a_gigabyte_is_refused(kind: bytes, before: bytes) -> None:
    file = encoded(CAT, "PNG")
    data = file[:33] + png_chunk(kind, before + _packed_gigabyte()) + file[33:]
    with pytest.raises(InvalidImage):
        inspect(data, LIMITS)


def test_tiff_compressions_of_old_are_refused_by_name() -> None:
    data = encoded(CAT, "TIFF", compression="packbits")
    old = data.replace(struct.pack("<HHIHH", 259, 3, 1, 32773, 0), struct.pack("<HHIHH", 259, 3, 1, 32809, 0))
    assert old != data
    with pytest.raises(UnsupportedMediaType, match="TIFF files of this compression") as caught:
        inspect(old, LIMITS)
    assert caught.value.fields["reason"] == "compression"
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"):
        image = Image.fromarray(CAT).convert("1" if compression == "group4" else "RGB")
        assert inspect(encoded(image, "TIFF", compression=compression), LIMITS).format == "TIFF"


_JPEG, _PNG = encoded(CAT), encoded(CAT, "PNG")


@pytest.mark.parametrize(
    ("start", "piece", "end"),
    [
        *((_JPEG[:2], piece, _JPEG[2:]) for piece in (b"\xff\xe3\0\2", b"\xff\xfe\0\2", b"\xff", b"\xff\0")),
        (_PNG[:33], png_chunk(b"prVt", b""), _PNG[33:]),
        (_PNG[:-12], png_chunk(b"IDAT", b""), _PNG[-12:]),
    ],
)
def test_files_of_a_million_pieces_are_not_gone_through(start: bytes, piece: bytes, end: bytes) -> None:
    with pytest.raises(InvalidImage, match="more pieces than are read"):
        inspect(start + piece * 1_000_000 + end, LIMITS)
    if piece != b"\xff\0":
        assert decode(start + piece * 1_000 + end, LIMITS).pixels.shape == CAT.shape


def test_damage_of_the_pixels_is_not_taken_for_damage_of_the_metadata() -> None:
    # To ask a PNG file for its orientation loads it, and a second time it is loaded it seems whole.
    data = encoded(CAT, "PNG")
    at = data.index(b"IDAT") + 4
    with pytest.raises(InvalidImage):
        decode(data[:at] + b"rubbish" + data[at + 7 :], LIMITS)
    with pytest.raises(InvalidImage):
        decode(data[: at - 8] + b"\xff\xff\xff\xffIDAT" + bytes(99), LIMITS)
