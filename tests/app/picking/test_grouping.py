"""Which photographs are of one group."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from app.picking.grouping import find_groups
from app.picking.look import THUMB_SIDE, luma_thumb
from tests.app.picking.pictures import EDITS, edited, marked, page, scenes
from tests.photographs import named

_NOON = datetime(2026, 7, 1, 12)


def test_a_look_is_small_and_upright() -> None:
    look = luma_thumb(named()["coffee"])
    height, width = named()["coffee"].shape[:2]
    assert look.luma.shape == (round(THUMB_SIDE * height / width), THUMB_SIDE)
    assert look.luma.dtype == np.uint8


def test_edits_are_found_and_scenes_stay_apart() -> None:
    looks = [luma_thumb(pixels) for scene in scenes().values() for pixels in edited(scene)]
    size = len(EDITS) + 1
    groups = find_groups(looks, [None] * len(looks), threads=2)
    assert all(len({number // size for number in group}) == 1 for group in groups), groups
    whole = [len(group) for group in groups if len(group) > 1]
    assert len(whole) == len(scenes())
    assert sum(whole) >= len(looks) - 1  # a crop of a night sky shows too little


def test_the_order_of_the_photographs_does_not_matter() -> None:
    looks = [luma_thumb(pixels) for name in ("coffee", "china") for pixels in edited(scenes()[name])]
    order = np.random.default_rng(3).permutation(len(looks)).tolist()
    groups = find_groups([looks[number] for number in order], [None] * len(looks))
    found = sorted(sorted(order[number] for number in group) for group in groups)
    assert found == find_groups(looks, [None] * len(looks))


def test_nothing_and_one_photograph() -> None:
    assert find_groups([], []) == []
    assert find_groups([luma_thumb(named()["coffee"])], [None]) == [[0]]


@pytest.mark.parametrize("picture", [page, marked])
def test_one_layout_is_not_one_picture(picture: object) -> None:
    looks = [luma_thumb(picture(seed)) for seed in range(8)]
    assert find_groups(looks, [None] * 8) == [[number] for number in range(8)]


def test_flat_pictures_are_no_group() -> None:
    looks = [luma_thumb(np.full((200, 300, 3), shade, np.uint8)) for shade in (0, 128, 128, 255)]
    assert find_groups(looks, [None] * 4) == [[0], [1], [2], [3]]


def test_neighbors_in_a_panorama_are_not_chained() -> None:
    wide = np.concatenate([named()[name][:300, :400] for name in ("coffee", "china", "chelsea")], axis=1)
    windows = [luma_thumb(wide[:, left : left + 400]) for left in range(0, 801, 80)]
    groups = find_groups(windows, [None] * len(windows))
    assert any(len(group) > 1 for group in groups)
    assert all(max(group) - min(group) <= 4 for group in groups), groups  # two steps; no overlap is five


def test_frames_of_a_burst_are_a_group_by_their_time() -> None:
    photo = scenes()["chelsea"]
    moved = photo.rotate(6, Image.Resampling.BICUBIC).crop((40, 30, photo.width - 20, photo.height - 40))
    looks = [luma_thumb(np.asarray(each)) for each in (photo.crop((0, 0, 400, 270)), moved)]
    later = [_NOON, _NOON + timedelta(seconds=600)]
    soon = [_NOON, _NOON + timedelta(seconds=0.5)]
    assert find_groups(looks, later) == [[0], [1]]
    assert find_groups(looks, soon) == [[0, 1]]
