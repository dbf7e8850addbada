"""Color spaces and their conversion to sRGB, against forward formulas and printed values of standards."""

import tracemalloc

import numpy as np
import pytest

from models.color.colorimetry import ADOBE_RGB, SRGB, ColorSpace, coded_space, power_curve, to_srgb
from tests import color_spaces
from tests.color_spaces import Curve, Primaries, psnr_db, samples_in
from tests.photographs import named

COFFEE = named()["coffee"]
PATCHES = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)


def _space(primaries: int, transfer: int) -> ColorSpace:
    space = coded_space(primaries, transfer)
    assert space is not None
    return space


def test_srgb_stays_as_it_is() -> None:
    assert SRGB.is_srgb
    assert _space(1, 13).is_srgb
    assert _space(2, 2).is_srgb
    assert not _space(12, 13).is_srgb
    converted, clipped = to_srgb(PATCHES, SRGB)
    np.testing.assert_array_equal(converted, PATCHES)
    assert clipped == 0


@pytest.mark.parametrize(
    ("space", "primaries", "curve"),
    [
        (_space(1, 1), color_spaces.SRGB, color_spaces.camera_code),
        (_space(9, 14), color_spaces.BT2020, color_spaces.camera_code),
        (_space(12, 13), color_spaces.DISPLAY_P3, color_spaces.srgb_code),
        (_space(1, 4), color_spaces.SRGB, color_spaces.power_code(2.2)),
        (_space(9, 16), color_spaces.BT2020, color_spaces.pq_code),
        (_space(12, 16), color_spaces.DISPLAY_P3, color_spaces.pq_code),
        (_space(9, 18), color_spaces.BT2020, color_spaces.hlg_code),
        (ADOBE_RGB, color_spaces.ADOBE_RGB, color_spaces.power_code(563 / 256)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_was_encoded_comes_back(space: ColorSpace, primaries: Primaries, curve: Curve) -> None:
    converted, clipped = to_srgb(samples_in(COFFEE, primaries, curve), space)
    assert psnr_db(converted, COFFEE) > 42
    assert clipped < 0.001


def test_white_stays_white_whatever_its_chromaticity() -> None:
    white = np.full((2, 2, 3), 255, np.uint8)
    for primaries in (4, 8, 10, 11):
        np.testing.assert_allclose(to_srgb(white, _space(primaries, 13))[0], 255, atol=1)


@pytest.mark.parametrize(
    ("transfer", "signal", "light"),
    # BT.2408-7, table 1: 203 cd/m2 is at 58 % of PQ and 75 % of HLG; BT.2100-2: 1 of PQ is 10,000 cd/m2, 0.5
    # of HLG a twelfth of the scene's brightest light.
    [(16, 0.5806888810416109, 1.0), (16, 1.0, 10_000 / 203), (18, 0.75, 1.0), (18, 0.5, 1 / 12 / 0.26496256)],
)
def test_the_reference_white(transfer: int, signal: float, light: float) -> None:
    assert _space(9, transfer).curve(np.array(signal)) == pytest.approx(light, rel=1e-5)


@pytest.mark.parametrize("transfer", [1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18])
def test_curves_rise_from_black(transfer: int) -> None:
    light = _space(1, transfer).curve(np.linspace(0, 1, 256))
    assert (np.diff(light) >= -1e-12).all()
    assert abs(light[0]) < 0.01


def test_brighter_than_white_is_counted() -> None:
    light = np.ones((10, 10, 3))
    light[:3] = 4.0
    samples = np.rint(255 * color_spaces.pq_code(light)).astype(np.uint8)
    converted, clipped = to_srgb(samples, _space(9, 16))
    assert clipped == pytest.approx(0.3)
    assert (converted[:3] == 255).all()


def test_narrow_range() -> None:
    space = coded_space(1, 13, full_range=False)
    assert space is not None
    assert not space.is_srgb
    samples = np.array([[[0, 0, 0], [16, 16, 16], [235, 235, 235], [255, 255, 255]]], np.uint8)
    assert to_srgb(samples, space)[0][0, :, 0].tolist() == [0, 0, 255, 255]


def test_unknown_code_points() -> None:
    assert coded_space(3, 13) is None
    assert coded_space(1, 19) is None
    assert coded_space(255, 255) is None


@pytest.mark.parametrize(
    "chromaticities",
    [(0.0,) * 8, (0.3, 0.3) * 4, (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3, 0.0)],
    ids=["zeros", "one point", "dark white"],
)
def test_chromaticities_without_colors(chromaticities: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"line|white"):
        to_srgb(PATCHES, ColorSpace("", chromaticities, power_curve(2.2)))  # type: ignore[arg-type]


def test_memory_beside_the_pictures_is_bounded() -> None:
    large = np.zeros((2000, 3000, 3), np.uint8)
    to_srgb(PATCHES, ADOBE_RGB)  # the table of sRGB is made once
    tracemalloc.start()
    try:
        to_srgb(large, ADOBE_RGB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - large.nbytes < 12 << 20
