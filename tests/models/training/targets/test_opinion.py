"""The opinion of photographs that were never scored."""

import numpy as np
import pytest

from models.training.targets.opinion import clean_looks, opinions, pooled


def cells(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float16)


def test_pooling_is_mean_deviation_and_maximum() -> None:
    some = cells(9, 2, 3, 4, 5)
    found = pooled(some)
    assert found.shape == (9, 2, 15)
    flat = some.astype(np.float32).reshape(9, 2, 12, 5)
    expected = [flat.mean(axis=2), flat.std(axis=2, ddof=1), flat.max(axis=2)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=-1), atol=1e-5)


def test_what_looks_like_distorted_copies_comes_last() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 6)).astype(np.float32)
    variants = rng.normal(size=(30, 5, 6)).astype(np.float32)
    variants[:, 2:, 0] -= 5  # distortions lower the first feature
    looks = clean_looks(features, variants)
    assert np.corrcoef(looks, features[:, 0])[0, 1] > 0.95


def test_both_opinions_weigh_alike_and_ranks_are_spread_evenly() -> None:
    photographs, variants = cells(12, 1, 2, 2, 3), cells(8, 4, 2, 2, 3, seed=1)
    first = [(place + 0.5) / 12 for place in range(12)]
    found = opinions(photographs, first, variants)
    assert found.min() > 0
    assert found.max() < 1
    assert found.mean() == pytest.approx(0.5)
    other = opinions(photographs, first[::-1], variants)
    assert np.corrcoef(found, first)[0, 1] > 0.2 > -0.2 > np.corrcoef(other, first)[0, 1]
