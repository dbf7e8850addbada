"""Limits: what devices make is taken by default, and no format takes more memory than one image may."""

from dataclasses import replace

import pytest

from app.errors import ImageTooLarge
from app.imaging.decode import decode
from app.imaging.formats.registry import FORMATS
from app.imaging.limits import Limits, check_memory, check_size
from tests.app.files import encoded
from tests.photographs import named

_LIMITS = Limits()
_DEVICES = ((8160, 6144), (8192, 6144), (8256, 6192), (16_382, 3932), (12_000, 9000))
_FULL = 50_000_000


@pytest.mark.parametrize(("width", "height"), _DEVICES)
def test_what_phones_make_is_taken(width: int, height: int) -> None:
    check_size(width, height, _LIMITS)
    check_memory("JPEG", width, height, 8, _LIMITS)
    if width * height < 70_000_000:  # phones write their photographs and panoramas as HEIC too
        check_memory("HEIC", width, height, 25, _LIMITS)


def test_every_format_is_read_up_to_50_million_pixels() -> None:
    for limits in (_LIMITS, Limits(max_pixels=_FULL), Limits(max_pixels=10**6)):
        side = min(limits.max_pixels, _FULL)
        for each in FORMATS:
            check_memory(each.name, side, 1, each.bytes_per_pixel, limits)


def test_memory_is_bounded_whatever_the_format() -> None:
    for pixels in (10**6, _FULL, 120_000_000, 10**9):
        limits = Limits(max_pixels=pixels)
        assert limits.decoding_bytes == max(30 * min(pixels, _FULL), 14 * pixels)
        for each in FORMATS:
            most = limits.decoding_bytes // each.bytes_per_pixel
            check_memory(each.name, most, 1, each.bytes_per_pixel, limits)
            with pytest.raises(ImageTooLarge) as caught:
                check_memory(each.name, most + 1, 1, each.bytes_per_pixel, limits)
            assert caught.value.fields["max_pixels"] == most


def test_a_jpeg_file_may_be_larger_if_it_is_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = named()["coffee"]  # 400 x 600 pixels
    monkeypatch.setattr(Limits, "decoding_bytes", 240_000 * 10)
    limits = replace(_LIMITS, max_pixels=10**6)
    for format in ("PNG", "TIFF", "WEBP"):
        with pytest.raises(ImageTooLarge, match=r"may have \d+ pixels where all"):
            decode(encoded(photo, format), limits, lambda size: (150, 100))
    assert decode(encoded(photo), limits, lambda size: (150, 100)).pixels.shape == (100, 150, 3)
    with pytest.raises(ImageTooLarge, match="A JPEG image may have 133333 pixels"):
        decode(encoded(photo), limits)
    with pytest.raises(ImageTooLarge):
        decode(encoded(photo), limits, lambda size: size)
