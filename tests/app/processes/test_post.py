"""When a process counts as hung, when its service as unwell, and how long its next start waits."""

from itertools import pairwise
from typing import cast

from app.processes.child import Child
from app.processes.post import Post, ProcessLimits


async def _start(restarts: int) -> Child:
    raise NotImplementedError


def _post() -> Post:
    post = Post("worker", _start, ProcessLimits(10, 15, 60))
    post.began(cast("Child", object()), 0.0)
    return post


def test_a_process_that_was_ready_is_restarted_at_once_however_often_it_is_killed() -> None:
    post = _post()
    for number in range(12):
        post.ready, post.ready_at = True, 100.0 * number
        assert post.died(100.0 * number + 3.0) == 0.0
        assert not post.ready
    assert post.restarts == 12


def test_quick_deaths_are_waited_after_ever_longer() -> None:
    post = _post()
    pauses = []
    for number in range(40):
        post.ready, post.ready_at = number % 2 == 0, 10.0  # too soon after readiness, or before it
        pauses.append(post.died(10.5))
    assert pauses[0] <= 0.5
    assert all(later == min(2 * sooner, 30.0) for sooner, later in pairwise(pauses))
    assert pauses[-1] == 30.0
    post.ready, post.ready_at = True, 20.0
    assert post.died(30.0) == 0.0
    assert post.died(31.0) == pauses[0]


def test_a_silent_process_is_overdue() -> None:
    post = _post()
    for now in (10.0, 20.0, 30.0):
        post.heard({"event": "beat"}, now)
        assert post.overdue(now + 15.0) is None
        assert post.overdue(now + 15.1) == "has been silent for 15 s"
    post.heard({"event": "ready"}, 31.0)
    assert post.overdue(41.0) is None
    assert post.overdue(41.1) == "has been silent for 10 s"
    post.died(42.0)
    assert post.overdue(99.0) is None  # there is no process


def test_one_that_does_nothing_is_overdue_sooner() -> None:
    post = _post()
    for event in ("beat", "ready"):
        post.heard({"event": event}, 20.0)
        assert post.overdue(25.0, 5.0) is None
        assert post.overdue(25.1, 4.1) == "has been silent for 5 s and does nothing"
        assert post.overdue(25.1, 1.0) is None  # it has done something lately
        post.heard({"event": "beat"}, 26.0)
        assert post.overdue(30.9, 10.0) is None


def test_a_process_that_reports_and_is_never_ready_is_overdue() -> None:
    post = _post()
    for second in range(1, 61):
        post.heard({"event": "beat"}, float(second))
        assert post.overdue(float(second)) is None
    post.heard({"event": "beat"}, 61.0)
    assert post.overdue(61.0) == "is not ready 60 s after its start"


def test_time_in_which_nothing_could_be_heard_does_not_count() -> None:
    post = _post()
    post.heard({"event": "ready"}, 5.0)
    post.excuse(600.0)
    assert post.overdue(614.0) is None
    assert post.overdue(615.1) is not None


def test_a_process_is_unwell_from_when_it_was_well_last() -> None:
    post = _post()
    post.heard({"event": "ready"}, 5.0)
    post.heard({"event": "beat", "ready": True}, 6.0)
    assert post.unwell_s(100.0) == 0.0
    post.heard({"event": "beat", "ready": False}, 7.0)
    assert post.unwell_s(16.0) == 10.0
    post.died(17.0)
    post.began(cast("Child", object()), 18.0)
    assert post.unwell_s(26.0) == 20.0
    post.heard({"event": "ready"}, 27.0)
    assert post.unwell_s(28.0) == 0.0
