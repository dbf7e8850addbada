"""The decoders' line on a virtual clock: shares, order, lanes; nothing lost, nothing starved."""

import weakref
from collections import Counter
from collections.abc import Callable, Hashable

from hypothesis import given, settings
from hypothesis import strategies as st

from app.imaging.sandbox.line import SMALL_S, DecodeLine, Turn

BIG, LITTLE = 1.0, 0.01


class _Decoders:
    """Decoders that take what the line gives them, each for as long as its image costs."""

    def __init__(self, count: int) -> None:
        self.line: DecodeLine[str] = DecodeLine(count)
        self.count = count
        self.now = 0.0
        self.busy: list[tuple[float, Turn[str]]] = []
        self.order: list[tuple[float, Turn[str]]] = []

    def come(self, caller: Hashable, cost_s: float, *, bulk: bool = False, urgent: bool = False) -> Turn[str]:
        turn = Turn(f"{caller}", caller, bulk, self.now, cost_s, urgent)
        self.line.put(turn)
        return turn

    def work_until(self, end: float, arriving: Callable[["_Decoders"], None] | None = None) -> None:
        step = 0.05
        while self.now < end:
            if arriving is not None:
                arriving(self)
            for until, turn in [each for each in self.busy if each[0] <= self.now]:
                self.busy.remove((until, turn))
                self.line.done(turn, turn.cost_s)
            while len(self.busy) < self.count and (turn := self.line.take(self.now)) is not None:
                self.order.append((self.now, turn))
                self.busy.append((self.now + turn.cost_s, turn))
            self.now += step

    def started(self) -> dict[Turn[str], float]:
        return {turn: at for at, turn in self.order}


def test_a_flood_delays_only_its_own_caller() -> None:
    decoders = _Decoders(1)
    for _ in range(50):
        decoders.come("flood", SMALL_S)
    decoders.work_until(1.0)
    late = decoders.come("other", SMALL_S)
    decoders.work_until(3.0)
    assert decoders.started()[late] - late.since <= 2 * SMALL_S + 0.1


def test_callers_share_by_time_and_not_by_number() -> None:
    decoders = _Decoders(1)
    for _ in range(200):
        decoders.come("short", 0.05)
        decoders.come("long", 0.15)
    decoders.work_until(12.0)
    seconds: Counter[str] = Counter()
    for _, turn in decoders.order:
        seconds[turn.item] += turn.cost_s  # type: ignore[assignment]
    assert 0.8 < seconds["short"] / seconds["long"] < 1.25


def test_bulk_gets_a_quarter_and_does_not_starve() -> None:
    decoders = _Decoders(1)
    for _ in range(200):
        decoders.come("one", 0.1, bulk=True)
        decoders.come("one", 0.1)
    decoders.work_until(20.0)
    share = sum(turn.bulk for _, turn in decoders.order) / len(decoders.order)
    assert 0.15 < share < 0.25


def test_short_images_go_first_but_not_for_ever() -> None:
    decoders = _Decoders(1)
    large = decoders.come("one", BIG)
    decoders.work_until(30.0, lambda each: each.come("one", 0.05) and None)
    assert 0 < decoders.started()[large] < BIG / 0.1 + 1.0


def test_small_images_do_not_wait_for_large_ones() -> None:
    decoders = _Decoders(2)
    decoders.line.take_this(decoders.come("one", LITTLE), 0.0)  # small ones come
    for _ in range(20):
        decoders.come("one", BIG)
    decoders.work_until(0.1)
    assert [turn.cost_s for _, turn in decoders.order] == [BIG]
    small = decoders.come("one", LITTLE)
    decoders.work_until(0.3)
    assert decoders.started()[small] - small.since <= 0.051


def test_without_small_images_large_ones_take_every_decoder() -> None:
    decoders = _Decoders(2)
    for _ in range(4):
        decoders.come("one", BIG)
    decoders.work_until(0.1)
    assert len(decoders.busy) == 2


def test_a_caller_has_half_of_the_decoders_while_others_wait() -> None:
    decoders = _Decoders(4)
    for _ in range(20):
        decoders.come("flood", BIG)
    decoders.line.take(0.0)
    decoders.line.take(0.0)
    other = decoders.come("other", 2 * BIG)
    assert decoders.line.take(0.0) is other
    assert decoders.line.take(0.0) is not None  # no other caller waits now


def test_what_others_wait_for_goes_first() -> None:
    decoders = _Decoders(1)
    for _ in range(5):
        decoders.come("one", LITTLE)
    distorted = decoders.come("one", BIG, urgent=True)
    assert decoders.line.take(0.0) is distorted


def test_what_has_no_room_waits_without_being_overtaken_for_ever() -> None:
    decoders = _Decoders(2)
    large = decoders.come("one", BIG)
    decoders.now = 20.0
    small = decoders.come("two", LITTLE)
    room = False

    def fits(turn: Turn[str]) -> bool:
        return room or turn is not large

    # No large image is being decoded, so small ones must make room for this one.
    assert decoders.line.take(20.0, fits) is None
    room = True
    assert decoders.line.take(20.0, fits) is large
    assert decoders.line.take(20.0, fits) is small


def test_the_wait_is_foretold() -> None:
    line: DecodeLine[str] = DecodeLine(1)
    for number in range(10):
        line.put(Turn("", "one", False, float(number) / 1000, BIG))
    assert 9.0 <= line.wait_s(Turn("", "one", False, 1.0, BIG), 1.0) <= 10.5
    # Another caller's share comes at once.
    assert line.wait_s(Turn("", "two", False, 1.0, BIG), 1.0) <= 1.0
    assert line.wait_s(Turn("", "one", False, 1.0, LITTLE), 1.0) == 0.0


arrivals = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0.001, 2.0), st.booleans(), st.booleans(), st.floats(0, 5)),
    max_size=60,
)


@given(st.integers(1, 4), arrivals, st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost_or_doubled(
    count: int, coming: list[tuple[str, float, bool, bool, float]], data: st.DataObject
) -> None:
    decoders = _Decoders(count)
    turns, gone = [], set()
    for caller, cost_s, bulk, urgent, pause in coming:
        turns.append(decoders.come(caller, cost_s, bulk=bulk, urgent=urgent))
        decoders.work_until(decoders.now + pause)
        leaving = data.draw(st.sampled_from(turns))
        if decoders.line.remove(leaving):
            gone.add(leaving)
        assert not decoders.line.remove(leaving)
    decoders.work_until(decoders.now + 2.0 * len(turns) + 5.0)
    assert len(decoders.line) == 0
    assert abs(decoders.line.cost_s) < 1e-6
    assert Counter(turn for _, turn in decoders.order) == Counter(set(turns) - gone)


def test_those_that_are_served_are_forgotten() -> None:
    decoders = _Decoders(1)
    for number in range(2500):
        decoders.come(number, LITTLE)
        turn = decoders.line.take(float(number))
        assert turn is not None
        decoders.line.done(turn, LITTLE)
    assert len(decoders.line._flows) <= 1100
    for number in range(10):
        decoders.come(number, LITTLE)
    assert len(decoders.line.clear()) == 10
    assert decoders.line.take(0.0) is None


def test_what_has_left_or_was_taken_is_not_held() -> None:
    class Item:
        pass

    line: DecodeLine[Item] = DecodeLine(2)
    turns = [Turn(Item(), "one", False, float(number), cost) for number in range(9) for cost in (LITTLE, BIG)]
    for turn in turns:
        line.put(turn)
    items = [weakref.ref(turn.item) for turn in turns]
    taken = line.take(0.0)
    assert taken is not None
    line.done(taken, LITTLE)
    for turn in turns:
        assert line.remove(turn) == (turn is not taken)
    del turn, turns, taken
    assert not any(item() for item in items)
