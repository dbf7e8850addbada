"""The bucket, on a clock that the tests turn."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.auth.token_bucket import BURST_S, Bucket

_RATES = st.integers(1, 10**9).map(float)
_PAUSES = st.floats(0, 1000, allow_nan=False)
_REQUESTS = st.lists(st.tuples(_PAUSES, st.integers(1, 10**8)), max_size=50)


@given(rate=_RATES, requests=_REQUESTS)
def test_nobody_gets_more_than_the_rate_a_burst_and_the_last_request(
    rate: float, requests: list[tuple[float, int]]
) -> None:
    bucket, now, granted, last = Bucket(rate, 0.0), 0.0, 0, 0
    for pause, pixels in requests:
        now += pause
        if bucket.wait_s(now) == 0:
            bucket.charge(pixels, now)
            granted, last = granted + pixels, pixels
    assert granted <= (BURST_S * rate + rate * now + last) * (1 + 1e-9) + 1


@given(rate=_RATES, requests=_REQUESTS)
def test_who_waits_as_long_as_is_said_is_let_in(rate: float, requests: list[tuple[float, int]]) -> None:
    bucket, now = Bucket(rate, 0.0), 0.0
    for pause, pixels in requests:
        now += pause
        wait_s = bucket.wait_s(now)
        # The header has whole seconds.
        assert bucket.wait_s(now + math.ceil(wait_s)) == 0
        if wait_s > 1e-3:
            assert bucket.wait_s(now + wait_s - 1.5 / rate - 1e-6) > 0  # and not long before
        bucket.charge(pixels, now)


@given(rate=_RATES, requests=_REQUESTS)
def test_the_level_is_never_above_a_burst(rate: float, requests: list[tuple[float, int]]) -> None:
    bucket, now = Bucket(rate, 0.0), 0.0
    for pause, pixels in requests:
        now += pause
        assert bucket.level(now) <= BURST_S * rate
        assert (bucket.wait_s(now) == 0) == (bucket.level(now) > 0)
        bucket.charge(pixels, now)


def test_it_is_full_at_first_and_can_be_overdrawn_once() -> None:
    bucket = Bucket(100.0, 50.0)
    assert bucket.level(50.0) == 1000
    bucket.charge(999, 50.0)
    assert bucket.wait_s(50.0) == 0
    bucket.charge(5001, 50.0)
    assert bucket.level(50.0) == -5000
    assert bucket.wait_s(50.0) == 50.01
    assert bucket.wait_s(100.0) == 0.01
    assert bucket.wait_s(100.02) == 0


def test_times_out_of_order_do_no_harm() -> None:
    bucket = Bucket(100.0, 10.0)
    bucket.charge(500, 20.0)
    bucket.charge(100, 19.0)
    assert bucket.level(20.0) == 400
    assert bucket.level(21.0) == 500


def test_a_changed_rate_keeps_what_is_there() -> None:
    bucket = Bucket(100.0, 0.0)
    bucket.charge(1500, 0.0)
    bucket.change_rate(1000.0, 1.0)
    assert bucket.level(1.0) == -400
    assert bucket.level(2.0) == 600
    bucket.change_rate(10.0, 2.0)
    assert bucket.level(2.0) == 100  # ten seconds' worth
