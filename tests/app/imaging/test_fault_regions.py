"""A fault of one part of a photograph is found there; photographs as they are have none with a place."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from app.imaging.fault_regions import find_regions
from app.schemas.measured.regions import NO_REGIONS, FaultRegions
from models.faults import Region
from tests.photographs import named

Pixels = NDArray[np.uint8]
NAMES = ("astronaut", "china", "coffee", "flower")


def blurred(photo: Pixels, radius: float = 4) -> Pixels:
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius)))


def noisy(photo: Pixels) -> Pixels:
    grain = np.random.default_rng(1).normal(0, 30, photo.shape)
    return np.clip(photo + grain, 0, 255).astype(np.uint8)


def darkened(photo: Pixels) -> Pixels:
    return (255 * (0.08 * (photo / 255) ** 2.2) ** (1 / 2.2)).astype(np.uint8)


def compressed(photo: Pixels, quality: int = 6) -> Pixels:
    data = io.BytesIO()
    Image.fromarray(photo).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))


def moved(photo: Pixels, pixels: int = 13) -> Pixels:
    """Blurred along its rows, as by a camera that was not held still."""
    shifted = [np.roll(photo, shift, axis=1).astype(float) for shift in range(pixels)]
    return np.mean(shifted, axis=0).astype(np.uint8)


def within(region: Region, photo: Pixels, spoilt: Pixels) -> Pixels:
    """The photograph with one part replaced."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    x, y = x / width, y / height
    place = {
        "left": x < 0.5,
        "right": x > 0.5,
        "top": y < 0.5,
        "bottom": y > 0.5,
        "center": ((x - 0.5) / 0.28) ** 2 + ((y - 0.5) / 0.36) ** 2 < 1,
    }[region]
    return np.where(place[..., None], spoilt, photo)


@pytest.mark.parametrize("region", ["left", "right", "top", "bottom", "center"])
@pytest.mark.parametrize(
    ("fault", "spoil"),
    [("blur", blurred), ("noise", noisy), ("underexposed", darkened), ("compression", compressed)],
)
def test_the_part_that_was_spoilt_is_found(
    fault: str, spoil: Callable[[Pixels], Pixels], region: Region
) -> None:
    found = []
    for name in NAMES:
        photo = named()[name]
        spoilt = within(region, photo, spoil(photo))
        found.append(getattr(find_regions(spoilt, spoilt), fault))
    assert found.count(region) >= len(NAMES) - 1, found


@pytest.mark.parametrize("sigma", [1.4, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_that_is_soft_all_over_has_no_soft_part_and_nothing_sharp(
    name: str, sigma: float
) -> None:
    soft = blurred(named()[name], sigma)
    found = find_regions(soft, soft)
    assert (found.blur, found.sharp_subject) == ("whole", False)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "flower"])
def test_a_sharp_subject_before_a_blurred_background_is_no_soft_part(name: str) -> None:
    photo = named()[name]
    height, width = photo.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    subject = ((x / width - 0.5) / 0.24) ** 2 + ((y / height - 0.55) / 0.34) ** 2 < 1
    portrait = np.where(subject[..., None], photo, blurred(photo, 8))
    found = find_regions(portrait, portrait)
    assert (found.blur, found.sharp_subject) == ("whole", True)


@pytest.mark.parametrize("name", ["astronaut", "china", "flower"])
def test_softness_that_grows_with_the_distance_from_a_plane_is_no_soft_half(name: str) -> None:
    photo = named()[name]
    height = photo.shape[0]
    away = np.abs(np.arange(height) / height - 0.8)[:, None, None]
    focused = photo
    for distance, radius in ((0.3, 0.5), (0.4, 1.0), (0.5, 2.0), (0.6, 3.0), (0.7, 5.0)):
        focused = np.where(away > distance, blurred(photo, radius), focused)
    found = find_regions(focused, focused)
    assert (found.blur, found.sharp_subject) == ("whole", True)


@pytest.mark.parametrize("name", NAMES)
def test_what_motion_has_blurred_is_not_sharp(name: str) -> None:
    photo = named()[name]
    assert find_regions(photo, photo).sharp_subject
    assert not find_regions(moved(photo), None).sharp_subject


@pytest.mark.parametrize("name", NAMES)
def test_blocks_and_grain_all_over_are_seen(name: str) -> None:
    photo = named()[name]
    untouched, blocky, grainy = (
        find_regions(each, each) for each in (photo, compressed(photo), noisy(photo))
    )
    assert (untouched.blocks, untouched.grainy) == (False, False)
    assert blocky.blocks
    assert grainy.grainy
    assert not find_regions(compressed(photo)[:, 3:], compressed(photo)[:, 3:]).blocks


@pytest.mark.parametrize("name", ["china", "coffee", "flower"])
def test_coarse_grain_is_seen_and_is_not_blocks(name: str) -> None:
    """As a camera leaves it that takes a photograph in the dark, smooths and scales it."""
    dark = (0.3 * blurred(named()[name], 1)).astype(float)
    grain = np.random.default_rng(1).normal(0, 12, (*dark.shape[:2], 1))
    grain = blurred(np.clip(128 + 2 * grain, 0, 255).astype(np.uint8)[..., 0], 1)[..., None] - 128.0
    taken = np.clip(dark + grain, 0, 255).astype(np.uint8)
    found = find_regions(compressed(taken, 75), compressed(taken, 75))
    assert (found.grainy, found.blocks) == (True, False)
    smooth = compressed(dark.astype(np.uint8), 75)
    assert not find_regions(smooth, smooth).grainy


@pytest.mark.parametrize("name", NAMES)
def test_a_stamp_on_a_blurred_photograph_is_no_subject(name: str) -> None:
    soft = blurred(named()[name], 3).copy()
    soft[-60:-44, 20:44] = soft[-30:-22, 20:40] = 255
    assert not find_regions(soft, None).sharp_subject


def test_strong_colors_and_contrast_are_seen() -> None:
    photo = named()["coffee"]
    gray = photo.mean(axis=2, keepdims=True)
    faded = (gray + 0.2 * (photo - gray)).astype(np.uint8)
    flat = (100 + 0.3 * (photo - 100.0)).astype(np.uint8)
    found = [find_regions(each, each) for each in (photo, faded, flat)]
    assert [each.vivid for each in found] == [True, False, False]
    assert [each.contrasty for each in found] == [True, True, False]


def test_blocks_are_looked_for_only_where_they_would_lie() -> None:
    photo = named()["china"]
    spoilt = within("left", photo, compressed(photo))
    assert find_regions(spoilt, None).compression == "whole"


def test_a_picture_of_few_cells_has_no_parts() -> None:
    photo = noisy(named()["china"])
    assert find_regions(photo[:60], photo[:60]) == NO_REGIONS
    assert find_regions(photo[:, :63], photo[:, :63]) == NO_REGIONS
    thumbnail = within("left", photo, noisy(photo))[:150, :200]
    assert find_regions(thumbnail, thumbnail) == NO_REGIONS
    flat = np.full((400, 400, 3), 7, np.uint8)
    assert find_regions(flat, flat) == FaultRegions()
