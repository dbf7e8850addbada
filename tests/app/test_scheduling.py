"""Properties of the line: nothing lost, doubled, late or starved, and no batch over its budget."""

from hypothesis import given
from hypothesis import strategies as st

from app.scheduling import Budget, Line, Waiting

requests = st.lists(
    st.builds(
        Waiting,
        key=st.integers(),
        pixels=st.integers(1, 100),
        shape=st.sampled_from("abc"),
        deadline=st.floats(0, 100),
    ),
    max_size=40,
    unique_by=lambda waiting: waiting.key,
)
budgets = st.builds(Budget, pixels=st.integers(1, 300), count=st.integers(1, 8))


def _filled(waiting: list[Waiting[int]]) -> Line[int]:
    line: Line[int] = Line()
    for request in waiting:
        assert line.add(request)
    return line


@given(requests, budgets)
def test_all_are_taken_once_and_within_the_budget(waiting: list[Waiting[int]], budget: Budget) -> None:
    line = _filled(waiting)
    taken = []
    while batch := line.take(budget):
        assert len(batch) <= budget.count
        assert len(batch) == 1 or sum(request.pixels for request in batch) <= budget.pixels
        taken += batch
    assert len(line) == line.pixels == 0
    assert sorted(request.key for request in taken) == sorted(request.key for request in waiting)


@given(requests, budgets)
def test_the_oldest_is_always_taken(waiting: list[Waiting[int]], budget: Budget) -> None:
    line = _filled(waiting)
    left = list(waiting)
    while batch := line.take(budget):
        assert batch[0] == left[0]  # so nobody waits for more batches than stood ahead
        left = [request for request in left if request not in batch]


@given(requests, budgets)
def test_a_batch_is_full(waiting: list[Waiting[int]], budget: Budget) -> None:
    line = _filled(waiting)
    batch = line.take(budget)
    room = budget.pixels - sum(request.pixels for request in batch)
    left = [request for request in waiting if request not in batch]
    assert len(batch) == budget.count or all(request.pixels > room for request in left)


@given(requests, st.floats(0, 100), budgets)
def test_expired_and_cancelled_work_is_never_scheduled(
    waiting: list[Waiting[int]], now: float, budget: Budget
) -> None:
    line = _filled(waiting)
    cancelled = {request.key for request in waiting[::3]}
    assert all(line.cancel(key) for key in cancelled)
    assert not any(line.cancel(key) for key in cancelled)
    expired = line.expire(now)
    assert all(request.deadline <= now and request.key not in cancelled for request in expired)
    assert line.next_deadline is None or line.next_deadline > now
    while batch := line.take(budget):
        assert all(request.deadline > now and request.key not in cancelled for request in batch)


@given(requests)
def test_a_key_stands_in_line_once(waiting: list[Waiting[int]]) -> None:
    line = _filled(waiting)
    assert not any(line.add(request) for request in waiting)
    assert len(line) == len(waiting)
    assert all(request.key in line for request in waiting)


def test_a_lone_request_is_taken_at_once_however_large() -> None:
    line = _filled([Waiting(1, 10**9, "a", 1.0)])
    assert [request.key for request in line.take(Budget(pixels=1, count=1))] == [1]


def test_those_of_its_own_size_come_before_older_ones() -> None:
    line = _filled([Waiting(1, 10, "a", 1.0), Waiting(2, 10, "b", 1.0), Waiting(3, 10, "a", 1.0)])
    assert [request.key for request in line.take(Budget(pixels=20, count=8))] == [1, 3]
