"""Agreement measures against hand-made numbers, scipy's own fit, and the laws that they obey."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from models.correlation import Agreement, agreement, bootstrap_interval, fit_logistic, krcc, plcc, rmse, srcc

MEASURES = [srcc, krcc, plcc, rmse, agreement, bootstrap_interval, fit_logistic]

scores = st.lists(st.integers(0, 1000), min_size=5, max_size=40).filter(lambda values: len(set(values)) > 1)


def noisy(n: int = 300, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Predictions in [0, 1] and targets in about [10, 90] that saturate at both ends."""
    generator = np.random.default_rng(seed)
    predicted = generator.uniform(0, 1, n)
    target = 10 + 80 / (1 + np.exp(-(predicted - 0.45) / 0.1)) + generator.normal(0, 4, n)
    return predicted, target


def test_rank_correlations_by_hand() -> None:
    predicted, target = [1, 2, 3, 4, 5], [2, 1, 3, 5, 4]
    # Rank differences 1, 1, 0, 1, 1: 1 - 6 * 4 / (5 * 24). Of ten pairs, eight agree: (8 - 2) / 10.
    assert srcc(predicted, target) == pytest.approx(0.8)
    assert krcc(predicted, target) == pytest.approx(0.6)


def test_ties_share_a_rank() -> None:
    # Ranks 1, 2.5, 2.5, 4, 5 against 1..5: their Pearson correlation is 9.5 / sqrt(9.5 * 10).
    assert srcc([1, 2, 2, 3, 4], [1, 2, 3, 4, 5]) == pytest.approx(np.sqrt(9.5 / 10))
    # tau-b: nine agreeing pairs of ten, one tied on one side.
    assert krcc([1, 2, 2, 3, 4], [1, 2, 3, 4, 5]) == pytest.approx(9 / np.sqrt(9 * 10))


@given(scores, st.randoms(use_true_random=False))
def test_rank_correlations_see_only_the_order(values: list[int], random: Random) -> None:
    other = values.copy()
    random.shuffle(other)
    curved = [value**3 - 7 for value in values]
    assert srcc(curved, other) == pytest.approx(srcc(values, other))
    assert krcc(curved, other) == pytest.approx(krcc(values, other))
    assert srcc([-value for value in values], other) == pytest.approx(-srcc(values, other))


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(scores, st.randoms(use_true_random=False))
def test_the_fit_is_never_worse_than_a_line(values: list[int], random: Random) -> None:
    target = [value + random.randint(0, 300) for value in values]
    if len(set(target)) == 1:
        return
    slope, intercept = np.polyfit(values, target, 1)
    line_rmse = np.sqrt(np.mean((slope * np.array(values) + intercept - target) ** 2))
    assert rmse(values, target) <= line_rmse * (1 + 1e-9) + 1e-9
    assert -1 <= plcc(values, target) <= 1


@pytest.mark.parametrize("direction", [1, -1])
def test_an_exact_logistic_is_recovered(direction: int) -> None:
    predicted = np.linspace(-3, 5, 60)
    target = 20 + 60 / (1 + np.exp(-direction * (predicted - 0.7) / 0.4))
    fit = fit_logistic(predicted, target)
    assert fit.curve == "logistic"
    np.testing.assert_allclose(fit.fitted, target, atol=1e-4)
    assert plcc(predicted, target) == pytest.approx(1.0)
    assert rmse(predicted, target) == pytest.approx(0.0, abs=1e-4)


def test_the_fit_is_the_one_that_scipy_finds() -> None:
    predicted, target = noisy()

    def logistic(x: NDArray[np.float64], upper: float, lower: float, middle: float, width: float) -> Any:
        return (upper - lower) / (1 + np.exp(-(x - middle) / abs(width))) + lower

    parameters, _ = optimize.curve_fit(logistic, predicted, target, p0=[90, 10, 0.5, 0.1])
    expected = logistic(predicted, *parameters)
    np.testing.assert_allclose(fit_logistic(predicted, target).fitted, expected, atol=1e-2)
    assert plcc(predicted, target) == pytest.approx(np.corrcoef(expected, target)[0, 1], abs=1e-5)
    assert rmse(predicted, target) == pytest.approx(np.sqrt(np.mean((expected - target) ** 2)), abs=1e-5)


def test_the_fit_straightens_a_curved_relation() -> None:
    predicted, target = noisy()
    assert plcc(predicted, target) > np.corrcoef(predicted, target)[0, 1] + 0.01


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e6)])
def test_the_unit_of_predictions_does_not_matter(scale: float, shift: float) -> None:
    predicted, target = noisy()
    moved = predicted * scale + shift
    assert rmse(moved, target) == pytest.approx(rmse(predicted, target), rel=1e-5)


def test_a_fit_that_does_not_converge_becomes_a_line_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted, target = noisy()
    search = optimize.least_squares

    def give_up(*arguments: Any, **options: Any) -> Any:
        return search(*arguments, **(options | {"max_nfev": 2}))

    monkeypatch.setattr(optimize, "least_squares", give_up)
    result = agreement(predicted, target)
    assert result.curve == "linear"
    assert result.plcc == pytest.approx(np.corrcoef(predicted, target)[0, 1])


def test_agreement_gathers_the_measures() -> None:
    predicted, target = noisy()
    assert agreement(predicted, target) == Agreement(
        n=300,
        srcc=srcc(predicted, target),
        plcc=plcc(predicted, target),
        krcc=krcc(predicted, target),
        rmse=rmse(predicted, target),
        srcc_interval=bootstrap_interval(predicted, target),
        curve="logistic",
    )


def test_the_bootstrap_is_seeded_and_narrows_with_more_images() -> None:
    predicted, target = noisy()
    low, high = bootstrap_interval(predicted, target, seed=3)
    assert (low, high) == bootstrap_interval(predicted, target, seed=3)
    assert (low, high) != bootstrap_interval(predicted, target, seed=4)
    assert low < srcc(predicted, target) < high
    few_low, few_high = bootstrap_interval(predicted[:30], target[:30], seed=3)
    assert few_high - few_low > 2 * (high - low)
    narrow_low, narrow_high = bootstrap_interval(predicted, target, confidence=0.5, seed=3)
    assert low < narrow_low < narrow_high < high


@pytest.mark.slow
def test_the_bootstrap_covers_what_it_promises() -> None:
    generator = np.random.default_rng(0)
    correlation = 0.6
    truth = 6 / np.pi * np.arcsin(correlation / 2)  # Spearman's correlation of a bivariate normal
    covered = 0
    for _ in range(60):
        x, y = generator.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 60).T
        low, high = bootstrap_interval(x, y, resamples=200)
        covered += low <= truth <= high
    assert 52 <= covered <= 60


def test_the_bootstrap_ends_where_most_draws_are_constant() -> None:
    low, high = bootstrap_interval([0, 0, 0, 0, 1], [0, 0, 0, 0, 1], resamples=20)
    assert low == pytest.approx(1.0)
    assert high == pytest.approx(1.0)


def test_equal_weights_give_exactly_what_none_give() -> None:
    predicted, target = noisy(60)
    assert agreement(predicted, target, np.full(60, 0.1)) == agreement(predicted, target)


@settings(max_examples=50, deadline=None)
@given(scores, st.randoms(use_true_random=False))
def test_a_pair_of_weight_two_is_the_same_pair_twice(values: list[int], random: Random) -> None:
    target = [value + random.randint(0, 300) for value in values]
    times = [random.randint(1, 4) for _ in values]
    if len(set(target)) == 1:
        return
    often = np.repeat(values, times), np.repeat(target, times)
    for measure in (srcc, krcc):
        assert measure(values, target, times) == pytest.approx(measure(*often), abs=1e-9)


def test_weighted_values_are_those_of_repeated_pairs() -> None:
    predicted, target = noisy(80)
    times = np.random.default_rng(0).integers(1, 5, 80)
    weighted, often = (
        agreement(predicted, target, times * 0.01),
        agreement(np.repeat(predicted, times), np.repeat(target, times)),
    )
    for name in ("srcc", "krcc", "plcc", "rmse"):
        assert getattr(weighted, name) == pytest.approx(getattr(often, name), rel=1e-5), name
    assert (weighted.n, weighted.curve, often.curve) == (80, "logistic", "logistic")


def test_weighted_rank_correlations_are_scipys() -> None:
    generator = np.random.default_rng(5)
    x, y = generator.integers(0, 30, 600), generator.integers(0, 30, 600)  # many ties, more than one strip
    y += x
    weights = generator.choice([1, 3], 600)
    often = np.repeat(x, weights), np.repeat(y, weights)
    assert srcc(x, y, weights) == pytest.approx(stats.spearmanr(*often).statistic)
    assert krcc(x, y, weights) == pytest.approx(stats.kendalltau(*often).statistic)


def test_weights_move_all_measures_towards_the_part_that_weighs_more() -> None:
    predicted, target = noisy(200)
    spoilt = np.concatenate([target[:100], np.random.default_rng(0).permutation(target[100:])])
    heavy = np.repeat([8.0, 1.0], 100)
    plain, weighted = agreement(predicted, spoilt), agreement(predicted, spoilt, heavy)
    for name in ("srcc", "krcc", "plcc"):
        assert getattr(weighted, name) > getattr(plain, name) + 0.1, name
    assert weighted.rmse < plain.rmse - 1
    assert weighted.srcc_interval[0] < weighted.srcc < weighted.srcc_interval[1]
    assert weighted.srcc_interval[0] > plain.srcc_interval[0]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1, 1, 1], "one weight for each of the 5"),
        ([1, 1, 1, 1, 0], "not positive"),
        ([1, 1, 1, 1, -1], "not positive"),
        ([1, 1, 1, 1, float("nan")], "not positive"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(
    measure: Callable[..., object], weights: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure([1, 2, 3, 4, 5], [1, 3, 2, 4, 5], weights)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], "at least 5"),
        ([], [], "at least 5"),
        ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], "All predictions are equal"),
        ([1, 2, 3, 4, 5], [2, 2, 2, 2, 2], "All targets are equal"),
        ([1, 2, 3, 4, float("nan")], [1, 2, 3, 4, 5], "Some predictions are not finite"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, float("inf")], "Some targets are not finite"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4], "one length"),
        ([[1, 2, 3, 4, 5]], [[1, 2, 3, 4, 5]], "two lists"),
    ],
)
def test_what_cannot_agree_is_refused(
    measure: Callable[..., object], predicted: list[Any], target: list[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(predicted, target)


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"confidence": 0.0}, {"resamples": 0}])
def test_a_bootstrap_without_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="bootstrap"):
        bootstrap_interval(*noisy(), **options)
