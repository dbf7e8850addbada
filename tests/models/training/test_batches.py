"""Batches of cells: functions of seed and index, whose places mean what they say."""

import random

import numpy as np
import pytest
import torch

from models.training.batches import (
    PairBatches,
    RatedBatches,
    VariantBatches,
    any_two,
    of_every_kind,
    some_cells,
)
from models.training.labels import GOOD
from models.training.variants import Variants, plan


@pytest.fixture(scope="module")
def plans() -> list[Variants]:
    return [plan(seed, chains=4, parts=2, compounds=2, ladders=("webp",)) for seed in range(5)]


@pytest.fixture(scope="module")
def variants(plans: list[Variants]) -> VariantBatches:
    rows = len(plans[0].faults)
    # Every picture is filled with a number of its own.
    cells = np.arange(5 * rows, dtype=np.float16).reshape(5, rows, 1, 1, 1)
    cells = np.broadcast_to(cells, (5, rows, 6, 6, 3))
    return VariantBatches(cells, plans, of_every_kind, good=True, batch=2, seed=3)


def test_an_epoch_sees_every_photograph_once_with_its_own_number() -> None:
    worths = [place / 12 for place in range(12)]
    cells = np.broadcast_to(np.arange(12, dtype=np.float16).reshape(12, 1, 1, 1, 1), (12, 1, 5, 7, 3))
    batches = RatedBatches(cells, worths, batch=4, seed=1)
    seen = [batches[index] for index in range(3)]
    assert sorted(float(worth) for batch in seen for worth in batch.worth) == pytest.approx(worths)
    for batch in seen:
        assert 1 <= batch.cells.shape[1] <= 3
        torch.testing.assert_close(batch.cells[:, 0, 0, 0].float() / 12, batch.worth, atol=1e-3, rtol=0)
    again, other = RatedBatches(cells, worths, batch=4, seed=1)[2], RatedBatches(cells, worths, batch=4)[2]
    assert all(torch.equal(a, b) for a, b in zip(seen[2], again, strict=True))
    assert not torch.equal(other.worth, again.worth)


def test_places_are_those_of_the_plans(variants: VariantBatches, plans: list[Variants]) -> None:
    rows = len(plans[0].faults)
    for index in range(6):
        batch = variants[index]
        photograph, row = np.divmod(batch.cells[:, 0, 0, 0].numpy().astype(int), rows)
        assert len(batch.cells) == 2 * (2 + 2 * 3 + 2 + 5 + 3 * (index % 2))
        for better, worse, gap in zip(batch.better, batch.worse, batch.gap, strict=True):
            assert photograph[better] == photograph[worse]
            orders = plans[photograph[better]].orders
            assert (row[better], row[worse], pytest.approx(float(gap))) in [
                (each.better, each.worse, each.gap) for each in orders
            ]
        assert row[batch.equal].tolist() == [[0, 1]] * 2
        assert (batch.labels[batch.equal[:, 0]] == GOOD).all()
        assert batch.chains.shape == (2 * (3 + 4), 3)  # a ladder is climbed step by step
        assert batch.severity.shape == (14, 20, 3)
        for untouched, milder, worse in row[batch.chains]:
            assert (untouched, worse) == (0, milder + 1)
    assert all(torch.equal(a, b) for a, b in zip(variants[4], variants[4], strict=True))


def test_of_photographs_with_faults_of_their_own_any_units_are_shown(plans: list[Variants]) -> None:
    shown = {type(any_two(plans[0], 0, random.Random(seed))[0]).__name__ for seed in range(40)}
    assert shown == {"Chain", "FramePart", "Compound"}
    cells = np.zeros((5, len(plans[0].faults), 5, 5, 3), np.float16)
    batches = VariantBatches(cells, plans, any_two, good=False, batch=3, seed=2)
    for index in range(8):
        batch = batches[index]
        assert not (batch.labels == GOOD).any()
        assert batch.chains.shape[1:] == (3,)
        assert batch.severity.shape[1:] == (20, 3)


def test_pairs_have_the_target_and_the_labels_of_their_variant(plans: list[Variants]) -> None:
    rows = len(plans[0].faults)
    numbers = torch.arange(5.0 * rows).reshape(5, rows)
    cells = np.broadcast_to(numbers.numpy().astype(np.float16)[:, :, None, None, None], (5, rows, 6, 6, 3))
    batches = PairBatches(cells, plans, numbers / 1000, batch=2, rows=4, seed=1)
    seen = set()
    for index in range(80):
        batch = batches[index]
        place = batch.cells[:, 0, 0, 0].int()
        torch.testing.assert_close(batch.target, place / 1000)
        for one, labels in zip(place.tolist(), batch.labels, strict=True):
            assert torch.equal(labels, plans[one // rows].labels(good=True)[one % rows])
        assert len(set(place.tolist())) == 8
        seen |= set(place.tolist())
    assert len(seen) > 4 * rows


def test_the_same_places_of_every_picture_are_seen() -> None:
    cells = torch.arange(12).reshape(1, 3, 4, 1) + torch.tensor([0, 100])[:, None, None, None]
    seen, places = some_cells(cells, 5)
    assert seen.dtype == torch.float32
    assert len(set(places.tolist())) == 5
    assert torch.equal(seen[0, :, 0], places.float())
    assert torch.equal(seen[1, :, 0], places.float() + 100)
    assert torch.equal(some_cells(cells, None)[0], cells.flatten(1, 2).float())
