"""Displacements of real photographs are found, and other distortions are not taken for one."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from models.alignment import FURTHEST, displacement
from tests.photographs import named

_MARGIN = FURTHEST + 2
_Pixels = NDArray[np.uint8]


def _shifted(photo: _Pixels, right: int, down: int) -> tuple[_Pixels, _Pixels]:
    """Two cuts of a photograph, the content of the second displaced against the first."""
    height, width = (side - 2 * _MARGIN for side in photo.shape[:2])
    cuts = [
        photo[_MARGIN - y : _MARGIN - y + height, _MARGIN - x : _MARGIN - x + width]
        for x, y in ((0, 0), (right, down))
    ]
    return cuts[0], cuts[1]


def _jpeg(photo: _Pixels, quality: int) -> _Pixels:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "china", "flower"])
@pytest.mark.parametrize("shift", [(1, 0), (-3, 5), (16, -16), (FURTHEST - 1, 2)])
def test_a_shift_is_found_to_a_pixel(name: str, shift: tuple[int, int]) -> None:
    reference, moved = _shifted(named()[name], *shift)
    found = displacement(reference, _jpeg(moved, 75))
    assert found is not None
    assert (found.x, found.y) == pytest.approx(shift, abs=1)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "china"])
@pytest.mark.parametrize("share", [0.01, 0.03])
def test_a_crop_that_was_scaled_up_again_is_found(name: str, share: float) -> None:
    photo = Image.fromarray(named()[name])
    width, height = photo.size
    left, wide, tall = round(share * width), round((1 - share) * width), round((1 - share) * height)
    cropped = photo.crop((left, 0, left + wide, tall)).resize(photo.size, Image.Resampling.BICUBIC)
    found = displacement(np.array(photo), np.array(cropped))
    assert found is not None
    assert found.x == pytest.approx((width / 2 - left) * width / wide - width / 2, abs=1)
    assert found.y == pytest.approx((height / 2) * height / tall - height / 2, abs=1)
    assert found.scale == pytest.approx(1 / (1 - share), abs=0.004)


@pytest.mark.parametrize("name", list(named()))
def test_what_lies_where_it_should_is_not_displaced(name: str) -> None:
    photo = Image.fromarray(named()[name])
    noise = np.random.default_rng(1).normal(0, 25, named()[name].shape)
    small = (photo.width // 4, photo.height // 4)
    for changed in (
        photo,
        _jpeg(named()[name], 5),
        photo.filter(ImageFilter.GaussianBlur(5)),
        photo.resize(small).resize(photo.size),
        ImageEnhance.Brightness(photo).enhance(2),
        ImageEnhance.Contrast(photo).enhance(0.3),
        (named()[name] + noise).clip(0, 255).astype(np.uint8),
    ):
        assert displacement(named()[name], np.array(changed)) is None


def test_too_little_to_tell() -> None:
    coffee = named()["coffee"]
    assert displacement(np.full((400, 400, 3), 90, np.uint8), np.full((400, 400, 3), 91, np.uint8)) is None
    assert displacement(coffee[:40, :40], coffee[5:45, 5:45]) is None  # no window is large enough
    assert displacement(coffee[:300, :300], coffee[60:360, 60:360]) is None  # further than is looked for
    assert displacement(coffee[:300, :300], named()["astronaut"][:300, :300]) is None
