"""The exposure of a picture, held against a plain calculation and against pictures of which it is known."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from app.imaging.metering import is_cut_out, is_monochrome, measure_exposure
from app.schemas.measured.exposure import EXPOSURE_MEASURES, MeasuredExposure
from tests.app.files import encoded
from tests.photographs import named

Pixels = NDArray[np.uint8]


def _flat(*color: int) -> Pixels:
    return np.full((40, 60, 3), color, np.uint8)


def _luminance(pixels: Pixels) -> NDArray[np.float64]:
    """``(H, W)`` linear luminance by the book: IEC 61966-2-1 and ITU-R BT.709."""
    coded = pixels / 255
    linear: NDArray[np.float64] = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    weighted: NDArray[np.float64] = linear @ np.array([0.2126, 0.7152, 0.0722])
    return weighted


@pytest.mark.parametrize(
    ("color", "luminance", "shadows", "highlights"),
    [
        ((0, 0, 0), 0.0, 1.0, 0.0),
        ((255, 255, 255), 1.0, 0.0, 1.0),
        ((128, 128, 128), 0.2159, 0.0, 0.0),
        ((10, 10, 10), 0.00304, 0.0, 0.0),  # on the straight part of the curve
        ((255, 0, 0), 0.2126, 1.0, 1.0),
        ((3, 255, 3), 0.7155, 0.0, 1.0),
        ((0, 0, 252), 0.0703, 1.0, 0.0),
        ((2, 100, 100), 0.1005, 1.0, 0.0),
        ((3, 252, 100), 0.7056, 0.0, 0.0),
        ((3, 253, 100), 0.7119, 0.0, 1.0),
    ],
)
def test_of_one_color_everything_is_known(
    color: tuple[int, int, int], luminance: float, shadows: float, highlights: float
) -> None:
    found = measure_exposure(_flat(*color))
    assert found.mean_luminance == pytest.approx(luminance, abs=1e-4)
    assert found.p99_luminance == pytest.approx(luminance, abs=1e-4)
    assert (found.clipped_shadows, found.clipped_highlights) == (shadows, highlights)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 256))
def test_of_a_small_picture_every_pixel_counts(height: int, width: int, seed: int, top: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, top, (height, width, 3)).astype(np.uint8)
    found = measure_exposure(pixels)
    expected = np.sort(_luminance(pixels), axis=None)
    assert found.mean_luminance == pytest.approx(expected.mean(), abs=5e-5)
    rank = min(expected.size - 1, int(0.99 * expected.size))
    assert found.p99_luminance == pytest.approx(expected[rank], abs=5e-5)
    assert found.clipped_shadows == pytest.approx((pixels.min(axis=2) <= 2).mean())
    assert found.clipped_highlights == pytest.approx((pixels.max(axis=2) >= 253).mean())
    assert all(0 <= getattr(found, name) <= 1 for name in EXPOSURE_MEASURES)


def test_the_brightest_parts_are_told_from_the_whole() -> None:
    pixels = _flat(20, 20, 20)
    pixels[0, :48] = 255  # two hundredths
    found = measure_exposure(pixels)
    assert found.p99_luminance == 1.0
    assert found.mean_luminance == pytest.approx(0.02 + 0.98 * 0.00700, abs=1e-4)
    pixels[0, 12:48] = 20  # half of a hundredth is no part to speak of
    assert measure_exposure(pixels).p99_luminance == pytest.approx(0.00700, abs=1e-4)


@pytest.mark.parametrize("times", [2, 5])
def test_large_pictures_are_sampled_all_over(times: int) -> None:
    photo = named()["coffee"]
    large = np.repeat(np.repeat(photo, times, axis=0), times, axis=1)
    small, sampled = measure_exposure(photo), measure_exposure(large)
    exact = _luminance(photo)
    for found in (small, sampled):
        assert found.mean_luminance == pytest.approx(exact.mean(), rel=0.01)
        assert found.p99_luminance == pytest.approx(np.quantile(exact, 0.99), rel=0.02)
        assert found.clipped_shadows == pytest.approx((photo.min(axis=2) <= 2).mean(), abs=0.005)
    # In a corner that a stripe of samples would miss.
    large[-large.shape[0] // 4 :, -large.shape[1] // 4 :] = 255
    assert measure_exposure(large).clipped_highlights == pytest.approx(
        sampled.clipped_highlights + 1 / 16, abs=0.01
    )


def test_a_view_of_other_memory_is_measured_as_its_copy() -> None:
    turned = np.rot90(named()["coffee"])[::-1, ::2]
    assert measure_exposure(turned) == measure_exposure(np.ascontiguousarray(turned))


def test_darkening_and_brightening_move_the_measures_that_limits_are_for() -> None:
    photo = named()["coffee"]
    dim = (0.15 * photo).astype(np.uint8)
    bright = np.minimum(3.2 * photo, 255).astype(np.uint8)
    before, dimmed, brightened = measure_exposure(photo), measure_exposure(dim), measure_exposure(bright)
    assert dimmed.p99_luminance < 0.03 < 0.5 < before.p99_luminance
    assert dimmed.mean_luminance < before.mean_luminance < brightened.mean_luminance
    assert brightened.clipped_highlights > before.clipped_highlights + 0.3


def test_no_pixels_have_no_exposure() -> None:
    with pytest.raises(ValueError, match="0 x 5 pixels has no exposure"):
        measure_exposure(np.zeros((5, 0, 3), np.uint8))


def test_the_names_of_measures_are_the_fields() -> None:
    assert tuple(vars(MeasuredExposure(0, 0, 0, 0))) == EXPOSURE_MEASURES


_SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
"""The matrix that most programs use."""


def _compressed(pixels: Pixels, quality: int) -> Pixels:
    with Image.open(io.BytesIO(encoded(pixels, "JPEG", quality=quality))) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", list(named()))
def test_gray_and_toned_photographs_are_monochrome(name: str) -> None:
    photo = named()[name]
    gray = np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))
    sepia = (gray * np.array([1.0, 0.87, 0.7])).astype(np.uint8)
    assert not is_monochrome(photo)
    assert not is_monochrome(_compressed(photo, 60))
    cyanotype = np.clip(gray * np.array([0.6, 0.8, 1.0]) + [0, 10, 30], 0, 255).astype(np.uint8)
    for one_tint in (gray, _compressed(gray, 50), sepia, cyanotype):
        assert is_monochrome(one_tint)
    # In fine texture, subsampling parts the tint from the tone.
    for toned in (sepia, cyanotype):
        assert is_monochrome(_compressed(toned, 80))


def test_tints_as_programs_make_them_are_monochrome() -> None:
    photo = named()["astronaut"]
    gray = Image.fromarray(photo).convert("L")
    cyanotype = np.asarray(ImageOps.colorize(gray, "#021030", "#f0f8ff", mid="#3060a0"))
    sepia = np.clip(photo @ np.array(_SEPIA).T, 0, 255).astype(np.uint8)
    assert is_monochrome(_compressed(cyanotype, 85))
    assert is_monochrome(sepia)


@pytest.mark.parametrize("background", ["#ffffff", "#fafafa", "#f7f5f0", "#eeeeee"])
def test_a_subject_on_a_white_background_is_a_cut_out(background: str) -> None:
    photo = Image.fromarray(named()["astronaut"])
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).ellipse((100, 60, 410, 460), fill=255)
    cut_out = np.asarray(Image.composite(photo, Image.new("RGB", photo.size, background), mask))
    assert is_cut_out(cut_out)
    assert is_cut_out(_compressed(cut_out, 80))
    assert not is_cut_out(np.asarray(photo))
    bright = (255 - (255 - cut_out.astype(int)) // 5).astype(np.uint8)  # overexposed all over
    assert not is_cut_out(bright)


def test_the_white_around_a_cut_out_is_not_clipped() -> None:
    photo = named()["astronaut"][100:400, 100:400]
    cut_out = np.full((500, 500, 3), 255, np.uint8)
    cut_out[200:, 100:400] = photo
    own = measure_exposure(photo).clipped_highlights
    for pixels in (cut_out, _compressed(cut_out, 85)):
        assert measure_exposure(pixels).clipped_highlights == pytest.approx(own, abs=0.02)
    # White on one side is a sky or a window.
    sky = np.concatenate([np.full((400, 300, 3), 255, np.uint8), photo])
    assert measure_exposure(sky).clipped_highlights == pytest.approx((400 + 300 * own) / 700, abs=0.01)


def test_overexposure_is_no_background() -> None:
    photo = named()["coffee"].astype(float)
    bright = np.clip(photo * 6, 0, 255).astype(np.uint8)
    clipped = (bright.max(axis=2) >= 253).mean()
    assert clipped > 0.5
    assert measure_exposure(bright).clipped_highlights == pytest.approx(clipped, abs=0.01)
