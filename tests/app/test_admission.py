"""Admission: a budget in pixels."""

from contextlib import ExitStack

import pytest

from app.admission import Admission
from app.errors import Overloaded


def _refusal(admission: Admission, pixels: int) -> int:
    with pytest.raises(Overloaded) as caught, admission.admit(pixels):
        pass
    return int(caught.value.headers["Retry-After"])


def test_a_full_queue_refuses_and_says_when_to_come_again() -> None:
    admission = Admission(1000, patience_s=1000, rate=lambda: 10.0)
    with ExitStack() as held:
        held.enter_context(admission.admit(600))
        held.enter_context(admission.admit(400))
        assert _refusal(admission, 200) == 20
        assert admission.queued_pixels == 1000
    assert admission.queued_pixels == 0


def test_one_request_is_always_let_in() -> None:
    admission = Admission(10, patience_s=1, rate=lambda: 1.0)
    with admission.admit(10_000):
        assert _refusal(admission, 1) >= 1


def test_a_queue_that_would_only_expire_is_full() -> None:
    admission = Admission(10**9, patience_s=30, rate=lambda: 100.0)
    with admission.admit(2_900):
        assert _refusal(admission, 200) == 1


def test_a_failure_gives_its_room_back() -> None:
    admission = Admission(10, patience_s=1, rate=lambda: 0.0)
    with pytest.raises(RuntimeError), admission.admit(5):
        raise RuntimeError
    assert admission.queued_pixels == 0
