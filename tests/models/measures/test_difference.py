"""The map of differences: its scale, its grid, and that it marks what was distorted."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.measures.difference import CELL, NOTICEABLE, difference_map
from models.preprocessing import Pixels
from tests.photographs import named

_SPOILT = {
    "blur": lambda photo: np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(2))),
    "noise": lambda photo: _noisy(photo),
    "jpeg": lambda photo: _jpeg(photo, 30),
    "dark": lambda photo: (0.6 * photo).astype(np.uint8),
}


def _noisy(photo: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 12, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def _jpeg(photo: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def test_identical_is_zero_and_black_on_white_is_one() -> None:
    photo = named()["coffee"]
    assert not difference_map(photo, photo).any()
    black, white = (np.full((32, 48, 3), level, np.uint8) for level in (0, 255))
    np.testing.assert_allclose(difference_map(black, white), np.ones((2, 3)), atol=1e-3)


def test_a_distance_is_that_of_oklab() -> None:
    """Of pure red and pure green, by the values of Oklab's description in CSS Color 4."""
    red, green = np.zeros((2, CELL, CELL, 3), np.uint8)
    red[..., 0], green[..., 1] = 255, 255
    distance = np.linalg.norm(np.subtract([0.62796, 0.22486, 0.12585], [0.86644, -0.23389, 0.1795]))
    assert difference_map(red, green)[0, 0] == pytest.approx(distance, abs=1e-3)


def test_cells_at_the_edges_are_means_of_what_they_have() -> None:
    photo = np.zeros((CELL + 1, 2 * CELL + 4, 3), np.uint8)
    changed = photo.copy()
    changed[-1, -4:] = 255
    found = difference_map(photo, changed)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(1, abs=1e-3)
    assert found.sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", _SPOILT)
@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_the_half_that_was_distorted_is_marked(name: str, kind: str) -> None:
    photo = named()[name]
    middle = photo.shape[1] // 2 // CELL * CELL
    spoilt = photo.copy()
    spoilt[:, middle:] = _SPOILT[kind](photo)[:, middle:]
    found = difference_map(photo, _jpeg(spoilt, 90)) >= NOTICEABLE
    left, right = found[:, : middle // CELL], found[:, middle // CELL :]
    assert right.sum() > 9 * left.sum()
    assert right.mean() > 0.2


def test_two_shapes_have_no_map() -> None:
    photo = named()["coffee"]
    with pytest.raises(ValueError, match="one shape"):
        difference_map(photo, photo[:-1])
