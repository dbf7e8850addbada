"""Local quality as a picture."""

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.imaging.heatmap import render, scale
from tests.photographs import named


def opened(png: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(png)) as image:
        image.verify()
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})  # no metadata either
        return np.array(image).astype(int)


def rendered(pixels: NDArray[np.uint8], values: list[list[float]], stride: int = 32) -> NDArray[np.int64]:
    return opened(render(pixels, values, stride))


def yellowness(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Red and green over blue: positive towards the bad end of the scale, negative towards the good one."""
    difference: NDArray[np.float64] = pixels[..., :2].mean(axis=-1) - pixels[..., 2]
    return difference


def gray(height: int, width: int, level: int = 128) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def test_the_worse_side_has_the_bad_color() -> None:
    photo = named()["coffee"][:384, :512]
    low_on_the_left = [[0.1] * 8 + [0.9] * 8] * 12
    picture = rendered(photo, low_on_the_left)
    assert picture.shape == photo.shape
    # Away from the scale in its corner, and from where the cells of both sides blend.
    assert (yellowness(picture[:300, : 7 * 32]) > 30).all()
    assert (yellowness(picture[:300, -7 * 32 :]) < -5).all()
    mirrored = rendered(photo, [row[::-1] for row in low_on_the_left])
    assert (yellowness(mirrored[:300, : 7 * 32]) < -5).all()
    upright = rendered(photo, [[0.1] * 16] * 6 + [[0.9] * 16] * 6)
    assert (yellowness(upright[: 5 * 32]) > 30).all()
    assert (yellowness(upright[-5 * 32 : -32]) < -5).all()


def test_a_cell_has_its_color_at_its_center() -> None:
    values = [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    picture = rendered(gray(64, 90), values)  # the last column of cells is cut off
    worst = np.unravel_index(yellowness(picture).argmax(), (64, 90))
    assert max(worst) <= 16
    across = yellowness(picture)[16, 15:48]
    assert (np.diff(across) <= 1).all()
    for column, quality in ((15, 0.0), (31, 0.5), (48, 1.0)):
        alone = rendered(gray(64, 90), [[quality]])
        assert np.abs(picture[15, column] - alone[15, column]).max() <= 4
    # Where a map has no cell, as right of QualiCLIP's last one, the outermost goes on.
    wide = rendered(gray(64, 140), values)
    assert (wide[:32, 96:] == wide[:32, 95:96]).all()


def test_the_photograph_stays_recognizable() -> None:
    photo = named()["astronaut"][:256, :256]
    luma = np.array(Image.fromarray(photo).convert("L")).astype(float)
    for quality in (0.0, 0.5, 1.0):
        picture = rendered(photo, [[quality] * 8] * 8).astype(float).mean(axis=-1)
        assert np.corrcoef(picture[:192].ravel(), luma[:192].ravel())[0, 1] > 0.99
    tinted = rendered(photo, [[0.3] * 8] * 8)[:192]
    # Grayed: what color there is comes from the map, and is the same everywhere.
    assert np.ptp(np.diff(tinted, axis=-1), axis=(0, 1)).max() <= 1


def test_low_quality_is_brighter_and_stronger() -> None:
    means = [rendered(gray(64, 64), [[quality]]).mean() for quality in (1.0, 0.75, 0.5, 0.25, 0.0)]
    assert means == sorted(means)
    assert means[-1] - means[0] > 40


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 200)])
def test_a_single_cell_and_a_constant_map_are_one_color(size: tuple[int, int]) -> None:
    single, constant = rendered(gray(*size), [[0.4]]), rendered(gray(*size), [[0.4] * 3] * 2)
    assert single.shape == (*size, 3)
    # Only the scale in the corner of the larger one differs from the rest.
    assert (single[: size[0] // 2] == single[0, 0]).all()
    assert (constant == single).all()


def test_the_scale_marks_the_best_and_the_worst() -> None:
    picture = rendered(gray(128, 256), [[0.25, 0.75]])
    bar = picture[128 - 8 - 9, 9 : 9 + 96]
    ticks = np.flatnonzero((bar == 255).all(axis=-1)) / 95
    assert ticks == pytest.approx([0.25, 0.75], abs=0.01)
    assert yellowness(picture[128 - 8 - 3, 9:11]).max() < 0 < yellowness(picture[128 - 8 - 3, 103:105]).min()
    small = rendered(gray(60, 256), [[0.25]])
    assert (small == small[0, 0]).all()


def test_the_scale_is_even_and_rises_in_lightness() -> None:
    steps = scale().astype(int)
    assert steps.shape == (256, 3)
    luma = steps @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luma) > -0.6).all()  # rounding
    assert all(late > early + 30 for early, late in pairwise(luma[::51]))
    # No jump between neighbors.
    assert np.abs(np.diff(steps, axis=0)).max() <= 6


@settings(max_examples=30, deadline=None)
@given(
    st.integers(32, 150),
    st.integers(32, 200),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 1000),
)
def test_any_map_over_any_image(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
    before = pixels.copy()
    values = generator.random((rows, columns)).tolist()
    png = render(pixels, values)
    assert opened(png).shape == (height, width, 3)
    assert (pixels == before).all()
    assert render(pixels, values) == png


@pytest.mark.parametrize(
    ("pixels", "values"),
    [
        (np.zeros((32, 32), np.uint8), [[0.5]]),
        (np.zeros((32, 32, 3), np.float32), [[0.5]]),
        (gray(32, 32), []),
        (gray(32, 32), [[]]),
        (gray(32, 32), [[0.1, 0.2], [0.3]]),
        (gray(32, 32), [[1.5]]),
        (gray(32, 32), [[float("nan")]]),
    ],
)
def test_what_is_no_image_or_no_map_is_refused(pixels: NDArray[np.uint8], values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        render(pixels, values)
