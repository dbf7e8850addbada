"""The variants of a photograph: what is known of them, and that a seed decides everything."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from models.training.labels import BAD, GOOD, UNKNOWN
from models.training.variants import ORDERED_VARIANTS, Chain, Compound, FramePart, Variants, plan
from tests.photographs import named

COUNTS = {"chains": 4, "parts": 2, "compounds": 1}


@pytest.fixture(scope="module")
def photo() -> Tensor:
    pixels = np.ascontiguousarray(named()["coffee"][100:196, 200:296])
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def test_places_follow_one_another() -> None:
    variants = plan(3, **COUNTS)
    assert len(variants.faults) == 2 + 2 * 4 + 2 * 2 + 3
    places = [place for unit in variants.units for place in range(unit.first, unit.first + len(unit.faults))]
    assert places == list(range(2, len(variants.faults)))
    assert len({chain.name for chain in variants.chains}) == 4


def test_untouched_is_above_every_distorted_copy() -> None:
    for seed in range(30):
        variants = plan(seed, **COUNTS)
        below = {order.worse for order in variants.orders if order.better == 0}
        wholes = {part.first + 1 for part in variants.parts}  # they are below their part
        assert below | wholes == set(range(2, len(variants.faults)))
        assert all(order.gap > 0 for order in variants.orders)
        assert all({order.better, order.worse}.isdisjoint({1}) for order in variants.orders), (
            "1 is equal to 0"
        )


def test_ladders_are_there_besides_at_all_levels(photo: Tensor) -> None:
    variants = plan(3, **COUNTS, ladders=("gain", "export-jpeg"))
    assert variants.units[:-2] == plan(3, **COUNTS).units
    assert [ladder.name for ladder in variants.ladders] == ["gain", "export-jpeg"]
    assert len(variants.faults) == 17 + 10
    assert variants.faults[-1] == (("export-jpeg", 5),)
    assert len(variants.ladders[0].orders) == 15
    of_photo = variants.make(photo).float()
    further = [(each - of_photo[0]).abs().mean() for each in of_photo[17:22]]
    assert sorted(further) == further


def test_some_names_are_always_among_the_chains() -> None:
    for seed in range(20):
        names = [chain.name for chain in plan(seed, **COUNTS, always=("webp", "gain")).chains]
        assert names[:2] == ["webp", "gain"]
        assert len(set(names)) == 4


def test_a_seed_decides_the_plan_and_the_pictures(photo: Tensor) -> None:
    assert plan(5, **COUNTS) == plan(5, **COUNTS) != plan(6, **COUNTS)
    made = plan(5, **COUNTS).make(photo)
    assert made.shape == (17, 3, 96, 96)
    assert made.dtype == torch.uint8
    assert torch.equal(made, plan(5, **COUNTS).make(photo))


def test_the_harmless_one_looks_the_same_and_the_others_differ(photo: Tensor) -> None:
    made = plan(1, **COUNTS).make(photo).float()
    assert torch.equal(made[0], (photo * 255).round())
    assert 0 < (made[1] - made[0]).abs().mean() < 6
    assert all((picture != made[0]).any() for picture in made[2:])


def test_a_chain_is_one_accident_at_two_levels() -> None:
    levels = Counter()
    for seed in range(200):
        for chain in plan(seed, chains=3, parts=0, compounds=0).chains:
            mild, severe = chain.levels
            assert chain.name in ORDERED_VARIANTS
            assert [(each.better, each.worse, each.gap) for each in chain.orders] == [
                (0, chain.first, mild),
                (0, chain.first + 1, severe),
                (chain.first, chain.first + 1, severe - mild),
            ]
            levels[severe - mild] += 1
    assert min(levels) == 1
    assert levels[1] > 0.55 * levels.total()


def test_outside_its_part_a_photograph_is_untouched(photo: Tensor) -> None:
    part = FramePart(2, "dimming", 5, (0, 0.5, 0, 1), feather=0)
    inside, everywhere = part.make(photo, torch.Generator().manual_seed(0))
    assert torch.equal(inside[:, 48:], photo[:, 48:])
    torch.testing.assert_close(inside[:, :48], everywhere[:, :48])
    feathered, _ = FramePart(2, "dimming", 5, (0, 0.5, 0, 1), feather=8).make(photo, torch.Generator())
    border = (feathered - photo).abs().mean((0, 2))[40:56]
    assert border[0] > border[8] > border[-1] >= 0


def test_compounded_faults_lie_one_upon_the_other(photo: Tensor) -> None:
    faults = (("dimming", 3), ("jpeg", 4), ("gain", 2))
    compound = Compound(2, faults)
    assert compound.faults == (faults[:1], faults[:2], faults)
    assert [(each.better, each.worse) for each in compound.orders] == [(0, 2), (2, 3), (0, 3), (3, 4), (0, 4)]
    first, second, _ = compound.make(photo, torch.Generator().manual_seed(0))
    assert first.mean() < 0.6 * photo.mean()
    assert abs(second.mean() - first.mean()) < 0.02


def test_labels_say_what_a_fault_made_true() -> None:
    variants = Variants(0, 95, (Chain(2, "white-noise", (1, 5)),), (), ())
    known = variants.labels(good=True)
    assert known.shape == (4, 20)
    assert (known[:2] == GOOD).all()
    assert (known[3] == BAD).any()
    assert (known[3] == GOOD).any(), "words of other dimensions stay true"
    other = variants.labels(good=False)
    assert torch.equal(other == BAD, known == BAD)
    assert (other[known != BAD] == UNKNOWN).all()
