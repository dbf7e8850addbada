"""The cost of work, as it is fitted: in a stream of thumbnails not everything seems to take long."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cost import Cost, CostFit

_TRUE = Cost(0.008, 200e-9)
_PRIOR = Cost(0.002, 300e-9)

observations = st.lists(
    st.tuples(st.integers(1, 64), st.integers(1, 10**8), st.floats(1e-6, 1e3)), min_size=1, max_size=50
)


def _fitted(sizes: list[int], times: int = 200, noise: float = 0.0) -> CostFit:
    fit, chance = CostFit(_PRIOR), random.Random(3)
    for _ in range(times):
        requests, pixels = chance.randint(1, 8), chance.choice(sizes)
        seconds = _TRUE.seconds(requests, requests * pixels) * chance.uniform(1 - noise, 1 + noise)
        fit.observe(requests, requests * pixels, seconds)
    return fit


def test_both_parts_are_found_where_sizes_differ() -> None:
    cost = _fitted([2_000, 400_000, 1_200_000], noise=0.3).cost
    assert cost.request_s == pytest.approx(_TRUE.request_s, rel=0.15)
    assert cost.pixel_s == pytest.approx(_TRUE.pixel_s, rel=0.15)


@pytest.mark.parametrize("side", [32, 64])
def test_thumbnails_do_not_collapse_the_rate(side: int) -> None:
    fit = _fitted([2 * side * side])
    assert fit.cost.seconds(1, 2 * side * side) == pytest.approx(_TRUE.seconds(1, 2 * side * side), rel=0.05)
    assert fit.cost.pixels_per_s > 0.5 * _PRIOR.pixels_per_s


def test_what_equal_images_cost_is_found_whatever_the_prior() -> None:
    fit = _fitted([400_000])
    assert fit.cost.seconds(1, 400_000) == pytest.approx(_TRUE.seconds(1, 400_000), rel=0.05)


def test_old_observations_fade() -> None:
    fit = _fitted([2_000, 400_000])
    for _ in range(200):
        fit.observe(1, 400_000, 1.0)
    assert fit.cost.seconds(1, 400_000) == pytest.approx(1.0, rel=0.05)


@given(observations)
def test_no_observation_makes_work_free(seen: list[tuple[int, int, float]]) -> None:
    fit = CostFit(_PRIOR)
    for requests, pixels, seconds in seen:
        fit.observe(requests, pixels, seconds)
        assert fit.cost.request_s >= 0
        assert fit.cost.pixel_s > 0
        assert fit.cost.pixels_per_s > 0


def test_a_cost_can_be_shared() -> None:
    assert Cost(1.0, 2.0).times(2.0).seconds(3, 4) == 2 * (3 + 8)
