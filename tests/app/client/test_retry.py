"""When is tried again: pure rules on invented times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.errors import ClientError, Problem, Unreachable
from app.client.retry import Attempts, Pace, Patience, pause

_DICE = st.floats(0, 1, exclude_max=True)


def _full(retry_after: float | None = 3.0) -> Problem:
    return Problem("Full.", slug="overloaded", status=429, retry_after=retry_after)


def _spent(retry_after: float | None = 3.0) -> Problem:
    return Problem("Spent.", slug="rate-limited", status=429, retry_after=retry_after)


_BROKEN = Unreachable("The connection broke.")


@given(st.integers(0, 3600), st.integers(1, 100), _DICE)
def test_retry_after_is_waited_for_in_full_and_not_by_all_to_the_same_moment(
    seconds: int, failures: int, dice: float
) -> None:
    wait = pause(_full(float(seconds)), failures, dice)
    assert seconds < wait < seconds + 1.1
    if seconds and dice > 0.01:
        assert wait > pause(_full(float(seconds)), failures, 0.0)


@given(st.integers(1, 10_000), _DICE)
def test_without_it_the_pause_is_random_below_a_bound_that_doubles(failures: int, dice: float) -> None:
    wait = pause(_BROKEN, failures, dice)
    assert 0.05 <= wait <= max(0.05, min(10.0, 2.0 ** (min(failures, 20) - 3)))


def test_attempts_are_counted() -> None:
    attempts = Attempts(Patience(3, 1000.0), 0.0)
    assert attempts.after(_BROKEN, 1.0, 0.5) is not None
    assert attempts.after(_BROKEN, 2.0, 0.5) is not None
    assert attempts.after(_BROKEN, 3.0, 0.5) is None


def test_no_attempt_is_begun_when_patience_is_over() -> None:
    attempts = Attempts(Patience(100, 10.0), 0.0)
    assert attempts.after(_full(), 5.0, 0.0) is not None
    assert attempts.after(_full(), 7.1, 0.0) is None


def test_what_asks_for_more_than_the_patience_is_not_waited_for() -> None:
    assert Attempts(Patience(100, 60.0), 0.0).after(_full(61.0), 0.0, 0.0) is None


@pytest.mark.parametrize(
    "error",
    [
        Problem("Damaged.", slug="invalid-image", status=422),
        Problem("A bug.", slug="internal-error", status=500),
        Problem("No.", slug="unauthorized", status=401),
        ClientError("Something else."),
    ],
)
def test_what_does_not_pass_is_not_tried_again(error: ClientError) -> None:
    assert Attempts(Patience(100, 60.0), 0.0).after(error, 0.0, 0.0) is None


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 1.0), (1, -1.0), (1, float("inf")), (1, float("nan"))])
def test_patience_has_an_end(attempts: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="attempts"):
        Patience(attempts, seconds)


def _allowed(pace: Pace, now: float) -> int:
    """How many more requests could be sent."""
    before = pace.active
    while pace.wait(now) == 0:
        pace.active += 1
    found, pace.active = pace.active - before, before
    return found


def test_a_refusal_holds_all_and_halves_their_number() -> None:
    pace = Pace(8, Patience(10, 60.0))
    assert _allowed(pace, 0.0) == 8
    assert pace.failed(_spent(3.0), 0.0, 1.0, 0.0) == 0
    assert pace.wait(1.0) == pytest.approx(3.05)
    assert _allowed(pace, 5.0) == 4


def test_a_full_queue_holds_the_refused_alone_and_as_many_go_on_as_were_taken() -> None:
    pace = Pace(8, Patience(10, 60.0))
    pace.active = 8
    for _ in range(5):
        assert pace.failed(_full(3.0), 0.0, 1.0, 0.0) == pytest.approx(3.05)
        pace.active -= 1
    assert pace.wait(1.0) is None  # three are under way, and that is what there is room for
    pace.active -= 1
    assert pace.wait(1.0) == 0
    pace.answered()
    assert _allowed(pace, 1.0) == 1
    for _ in range(32):
        pace.answered()
    assert _allowed(pace, 1.0) == 2  # and one more, to see


def test_a_queue_that_others_fill_holds_all() -> None:
    pace = Pace(8, Patience(10, 60.0))
    pace.active = 1
    assert pace.failed(_full(3.0), 0.0, 1.0, 0.0) == 0
    assert pace.wait(1.0) == pytest.approx(3.05)


def test_a_queue_that_will_be_full_for_longer_than_the_patience_ends_the_run() -> None:
    for active in (1, 8):
        pace = Pace(8, Patience(10, 60.0))
        pace.active = active
        assert pace.failed(_full(61.0), 0.0, 1.0, 0.0) is None


def test_what_was_under_way_with_the_refused_one_is_not_counted_again() -> None:
    pace = Pace(8, Patience(10, 60.0))
    for number in range(8):
        assert pace.failed(_spent(3.0), began=0.0, now=1.0 + number / 100, dice=0.0) == 0
    assert pace.wait(1.0) == pytest.approx(3.05)
    assert _allowed(pace, 5.0) == 4


def test_answers_bring_the_number_back() -> None:
    pace = Pace(8, Patience(10, 60.0))
    pace.failed(_spent(), 0.0, 1.0, 0.0)
    pace.answered()
    assert _allowed(pace, 100.0) == 4  # slowly, where it was too much before
    for _ in range(4 * 32):
        pace.answered()
    assert _allowed(pace, 100.0) == 8


@pytest.mark.parametrize("error", [_BROKEN, Problem("Not yet.", slug="starting", status=503, retry_after=2)])
def test_where_nobody_was_one_goes_ahead_and_all_follow(error: ClientError) -> None:
    pace = Pace(8, Patience(10, 60.0))
    pace.failed(error, 0.0, 1.0, 0.0)
    assert _allowed(pace, 100.0) == 1
    for _ in range(7):
        pace.answered()
    assert _allowed(pace, 100.0) == 8


def test_a_run_ends_when_nothing_was_answered_for_as_long_as_its_patience() -> None:
    pace = Pace(8, Patience(1, 60.0))
    now = 0.0
    failures = 0
    while pace.failed(_BROKEN, now, now, 0.9) is not None:
        failures += 1
        now += pace.wait(now) or 0.0
    assert 50 <= now <= 60
    assert 8 <= failures <= 20


def test_an_answer_begins_the_patience_anew() -> None:
    pace = Pace(8, Patience(1, 60.0))
    assert pace.failed(_spent(), 0.0, 0.0, 0.0) is not None
    assert pace.failed(_spent(), 50.0, 50.0, 0.0) is not None
    pace.answered()
    assert pace.failed(_spent(), 100.0, 100.0, 0.0) is not None


def test_a_pause_of_whoever_iterates_is_no_failure_of_the_service() -> None:
    pace = Pace(8, Patience(1, 60.0))
    pace.answered()
    assert pace.failed(_spent(), 10_000.0, 10_000.0, 0.0) is not None


@given(st.integers(1, 64), st.lists(st.tuples(st.sampled_from([None, _full(), _spent(), _BROKEN]), _DICE)))
def test_whatever_happens_at_least_one_may_go_on_and_never_too_many(
    most: int, events: list[tuple[ClientError | None, float]]
) -> None:
    pace = Pace(most, Patience(10, 1e9))
    now = 0.0
    for event, dice in events:
        now += pace.wait(now) or 0.0
        pace.active += _allowed(pace, now)
        if event is None:
            pace.answered()
        else:
            assert pace.failed(event, now, now, dice) is not None
        pace.active = 0
        assert 1 <= _allowed(pace, now + 100) <= most
