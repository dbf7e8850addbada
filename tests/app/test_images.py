"""From bytes to pixels, and what is refused on the way."""

import hashlib
import io

import numpy as np
import pytest
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
from app.images import Limits, decode, inspect, supported_formats
from tests.app.files import encoded, png_header, turned
from tests.photographs import named

CAT = named()["chelsea"]
LIMITS = Limits()


@pytest.mark.parametrize(
    ("format", "name"), [("PNG", "PNG"), ("TIFF", "TIFF"), ("BMP", "BMP"), ("GIF", "GIF"), ("JPEG", "JPEG"),
                         ("WEBP", "WebP"), ("AVIF", "AVIF")],
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


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
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
        (png_header(8_000, 7_000), ImageTooLarge),
        (png_header(30_001, 40), ImageTooLarge),
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
