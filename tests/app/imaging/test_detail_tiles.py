"""Tiles lie where an image has most detail, and have its own pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.imaging import model_inputs
from app.imaging.decode import Picture, Provenance
from app.imaging.detail_tiles import MOST, SIDE, tile_sizes, with_most_detail
from app.imaging.model_inputs import Wanted
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing

_DRAW = np.random.default_rng(5)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((4000, 3000), [(384, 384)] * 3),
        ((800, 400), [(384, 384)] * 2),
        ((767, 383), [(384, 383)]),
        ((32, 3000), [(32, 384)] * 3),
        ((32, 32), [(32, 32)]),
    ],
)
def test_how_many_tiles_an_image_has(size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    assert tile_sizes(size) == sizes


@given(st.integers(32, 1300), st.integers(32, 1300))
def test_tiles_have_the_sizes_that_are_foretold_and_lie_apart(width: int, height: int) -> None:
    pixels = np.full((height, width, 3), 7, np.uint8)
    tiles = with_most_detail(pixels)
    assert [(tile.place.width, tile.place.height) for tile in tiles] == tile_sizes((width, height))
    covered = np.zeros((height, width), int)
    for tile in tiles:
        place = tile.place
        covered[place.top : place.top + place.height, place.left : place.left + place.width] += 1
        assert tile.pixels.shape == (place.height, place.width, 3)
    assert covered.max() == 1
    assert covered.sum() == sum(tile.pixels.size // 3 for tile in tiles)


def test_the_most_detail_comes_first() -> None:
    """Contrast by itself is no gradient: the brightest part has none but at its edges."""
    pixels = np.full((1600, 2000, 3), 100, np.uint8)
    pixels[800:, 1100:] = 255
    expected = []
    for strength, (left, top) in zip(
        (9, 30, 60, 20), ((40, 32), (808, 416), (424, 800), (1192, 32)), strict=True
    ):
        noise = _DRAW.integers(-strength, strength + 1, (SIDE, SIDE, 1))
        pixels[top : top + SIDE, left : left + SIDE] = (100 + noise).astype(np.uint8)
        expected.append((strength, left, top))
    tiles = with_most_detail(pixels)
    places = [(tile.place.left, tile.place.top) for tile in tiles]
    assert places == [(left, top) for _, left, top in sorted(expected, reverse=True)[:MOST]]
    for tile, (left, top) in zip(tiles, places, strict=True):
        assert np.array_equal(tile.pixels, pixels[top : top + SIDE, left : left + SIDE])
        assert tile.pixels.flags.c_contiguous


def test_tiles_are_of_the_whole_image_only_where_they_are_wanted() -> None:
    inputs = {"one": Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=64)}
    pixels = _DRAW.integers(0, 256, (500, 900, 3)).astype(np.uint8)
    picture = Picture(pixels, Provenance(900, 500, "PNG", 1, "", 1, False, False))
    plain, detailed = Wanted(inputs, 2**22), Wanted(inputs, 2**22, detail=True)
    assert model_inputs.fit(picture, plain).tiles == ()
    (first, _) = model_inputs.fit(picture, detailed).tiles
    place = first.place
    assert np.array_equal(first.pixels, pixels[place.top : place.top + SIDE, place.left : place.left + SIDE])
    assert plain.least((900, 500)) is not None  # a JPEG file may be decoded at a smaller scale
    assert detailed.least((900, 500)) is None
