"""Who is told at once that decoding would take too long: by what is expected, and by what was measured."""

import sys
import time
from itertools import chain
from types import SimpleNamespace

import pytest

from app.errors import Overloaded
from app.imaging.decode import Header
from app.imaging.limits import Limits
from app.imaging.model_inputs import Wanted
from app.imaging.sandbox.process import Request
from app.imaging.sandbox.turns import Turns
from app.imaging.sandbox.work import Asker, Work
from app.memory import Memory

_TIME_S = 30.0
_HEADER = Header(width=10_000, height=5_000, format="PNG")
_SMALL = Header(width=1000, height=1000, format="JPEG")


def _work(*, keep: bool) -> Work:
    request = Request(b"", Limits(), Wanted({}, 1, False), keep)
    return Work(request, time.monotonic() + _TIME_S, lambda _: None, Asker("somebody"))


def _turns() -> Turns:
    return Turns(2, Memory(sys.maxsize, sys.maxsize))


def _opened(turns: Turns, header: Header = _HEADER, *, keep: bool) -> Work:
    """An image that a decoder has opened."""
    work = _work(keep=keep)
    turns.enter(work)
    assert turns.next() is work
    turns.settle(work, header)
    return work


def _decoded(turns: Turns, seconds: float, header: Header = _HEADER, *, keep: bool) -> None:
    work = _opened(turns, header, keep=keep)
    turns.end(work, seconds, decoded=True)
    turns.leave(work)


def _accepted(turns: Turns, *, keep: bool) -> list[Work]:
    """Those that come at once before one is told to come later."""
    opened: list[Work] = []

    def come() -> None:
        while len(opened) < 100:
            opened.append(_opened(turns, keep=keep))

    with pytest.raises(Overloaded) as refusal:
        come()
    assert 1 <= int(refusal.value.headers["Retry-After"]) <= 60
    return opened


def test_a_reference_counts_with_the_comparison_that_follows() -> None:
    """50 million pixels take 1.5 s as a reference and 6 to be compared; there are 30 s, and two decoders."""
    assert 3 <= len(_accepted(_turns(), keep=True)) <= 5
    assert len(_accepted(_turns(), keep=False)) > 15


def test_a_pair_that_was_given_up_owes_nothing() -> None:
    turns = _turns()
    for _ in range(20):
        work = _opened(turns, keep=True)
        turns.end(work, 0.1, decoded=False)
        turns.leave(work)


def test_one_alone_is_tried_whatever_is_expected() -> None:
    turns = _turns()
    _decoded(turns, 500.0, keep=True)
    _decoded(turns, 1.0, keep=True)


def test_what_was_never_measured_is_expected_to_be_as_slow_as_the_rest() -> None:
    turns = _turns()
    for _ in range(20):
        _decoded(turns, 0.1, _SMALL, keep=False)  # some four times as long as assumed
    assert len(_accepted(turns, keep=True)) == 1


def test_waits_that_were_longer_than_expected_are_expected_to_be_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late_s = 0.0
    monkeypatch.setattr(
        "app.imaging.sandbox.turns.time", SimpleNamespace(monotonic=lambda: time.monotonic() + late_s)
    )
    turns = _turns()
    usual = len(_accepted(_turns(), keep=False))
    opened = [_opened(turns, keep=False) for _ in range(15)]
    late_s = 1000.0
    _end_all(turns, opened)
    late_s = 0.0
    opened = _accepted(turns, keep=False)
    assert 3 <= len(opened) <= 2 / 3 * usual
    _end_all(turns, opened)
    for _ in range(30):  # none has to wait
        _decoded(turns, 1.5, keep=False)
    assert len(_accepted(turns, keep=False)) > 2 / 3 * usual


def _end_all(turns: Turns, opened: list[Work]) -> None:
    """Two are being decoded, the others wait."""
    for work in chain(opened[:2], (turns.next() for _ in opened[2:])):
        assert work is not None
        turns.end(work, 1.5, decoded=True)
