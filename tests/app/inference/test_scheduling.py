"""Properties of the line, on a virtual clock: nothing lost, doubled, late or starved, no batch too large."""

import random
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.inference.batching import Budget, SideBySide, SizedItem, Waiting, padded_pixels
from app.inference.scheduling import LOOK_AHEAD, Line

NEVER = 1e9
ROOMY = Budget(pixels=10**9, count=1000, waste=1000.0)
"""As good as no budget."""

sides = st.integers(1, 30)
# Often alike, as they are in life, so that batches of several form.
shapes = st.sampled_from([(8, 8), (8, 9), (10, 8), (20, 30)]) | st.tuples(sides, sides)
items = st.builds(lambda slot, shape: SizedItem(slot, *shape), st.sampled_from("ab"), shapes)
loads = st.lists(items, min_size=1, max_size=3).map(tuple)
companies = st.none() | st.integers(1, 5)
budgets = st.builds(
    Budget,
    pixels=st.sampled_from([10**6, 2000, 300]),
    count=st.sampled_from([8, 5, 2]),
    waste=st.sampled_from([0.25, 1.0, 0.0]),
)


def _items(batch: Iterable[Waiting[int]]) -> list[SizedItem]:
    return [item for waiting in batch for item in waiting.items]


def _lined_up(
    *sizes: tuple[int, int], companies: Iterable[int | None] | None = None, deadline: float = NEVER
) -> Line[int]:
    """A line of one-image requests of these heights and widths, whose keys count from 0."""
    line: Line[int] = Line()
    companies = [None] * len(sizes) if companies is None else companies
    for key, ((height, width), company) in enumerate(zip(sizes, companies, strict=True)):
        assert line.add(Waiting(key, (SizedItem("a", height, width),), deadline, company))
    return line


def _keys(batch: Iterable[Waiting[int]]) -> list[int]:
    return [waiting.key for waiting in batch]


def _check_batch(batch: list[Waiting[int]], budget: Budget) -> None:
    """That a batch keeps within its budget, and did so after every addition."""
    for size in range(2, len(batch) + 1):
        members = batch[:size]
        padded = padded_pixels(_items(members))
        assert size <= budget.count
        assert padded <= budget.pixels
        assert padded <= (1 + budget.waste) * sum(member.pixels for member in members)
    companies = [member.company for member in batch]
    if any(company is not None for company in companies):
        assert all(company is not None and len(batch) <= company for company in companies)


@dataclass
class _Expected:
    """A request in line, as a naive observer keeps it."""

    waiting: Waiting[int]
    ahead: int  # requests that stood before it when it came
    batches: int = field(default=0)  # formed since, without it


class Device(RuleBasedStateMachine):
    """A device that takes one batch at a time and needs time in proportion to the padded pixels.

    Beside the line stands a list of all that should wait, in the order of arrival; whatever the line does is
    held against it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line()
        self.expected: dict[int, _Expected] = {}
        self.arrived = 0
        self.now = 0.0
        self.busy_until: float | None = None
        self.ended: list[int] = []  # keys of all that were scheduled, cancelled or expired

    @initialize(budget=budgets)
    def start(self, budget: Budget) -> None:
        self.budget = budget

    @rule(budget=budgets)
    def change_the_budget(self, budget: Budget) -> None:
        self.budget = budget  # as a worker does that ran out of memory

    @rule(
        loads=st.lists(loads, min_size=1, max_size=8),
        patience=st.sampled_from([NEVER, 50.0, 5.0, 0.5]),
        company=companies,
    )
    def arrive(self, loads: list[tuple[SizedItem, ...]], patience: float, company: int | None) -> None:
        for load in loads:
            waiting = Waiting(self.arrived, load, self.now + patience, company)
            self.arrived += 1
            self.expected[waiting.key] = _Expected(waiting, ahead=len(self.expected))
            assert self.line.add(waiting)
        self.take_if_idle()

    @rule(data=st.data())
    @precondition(lambda self: self.expected)
    def cancel(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.expected)))
        assert self.line.cancel(key)
        assert not self.line.cancel(key)
        self.leave(key)

    @rule(data=st.data())
    @precondition(lambda self: self.expected)
    def arrive_twice(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.expected)))
        assert not self.line.add(Waiting(key, (SizedItem("a", 1, 1),), NEVER))

    @rule()
    @precondition(lambda self: self.ended)
    def cancel_too_late(self) -> None:
        assert not self.line.cancel(self.ended[-1])

    @rule(seconds=st.floats(0.1, 5.0))
    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            events = [time for time in (self.busy_until, self.line.next_deadline) if time is not None]
            assert all(time >= self.now for time in events)
            self.now = min([until, *events])
            if self.busy_until == self.now:
                self.busy_until = None
            self.expire()
            self.take_if_idle()
            if self.now == until:
                break

    @rule()
    @precondition(lambda self: self.busy_until is not None)
    def finish(self) -> None:
        assert self.busy_until is not None
        self.pass_time(self.busy_until - self.now)

    @rule()
    def work_off(self) -> None:
        while self.busy_until is not None:
            self.finish()
        assert not self.line
        assert sorted(self.ended) == list(range(self.arrived))  # each once

    def expire(self) -> None:
        late = [key for key, request in self.expected.items() if request.waiting.deadline <= self.now]
        assert _keys(self.line.expire(self.now)) == late
        for key in late:
            self.leave(key)

    def take_if_idle(self) -> None:
        if self.busy_until is not None:
            return
        self.expire()
        batch = self.line.take(self.budget)
        if not batch:
            assert not self.expected
            return
        assert batch[0].key == next(iter(self.expected))  # the oldest
        _check_batch(batch, self.budget)
        for waiting in batch:
            assert self.expected[waiting.key].waiting is waiting
            self.leave(waiting.key)
        for request in self.expected.values():
            request.batches += 1
            assert request.batches <= request.ahead  # so that the next but so many reaches it
        self.busy_until = self.now + padded_pixels(_items(batch)) / 100

    def leave(self, key: int) -> None:
        del self.expected[key]
        self.ended.append(key)

    @invariant()
    def the_line_knows_what_waits(self) -> None:
        waiting = [request.waiting for request in self.expected.values()]
        assert len(self.line) == len(waiting)
        assert all(request.key in self.line for request in waiting)
        assert self.line.pixels == sum(request.pixels for request in waiting)
        assert self.line.next_deadline == min((request.deadline for request in waiting), default=None)

    @invariant()
    def nobody_waits_for_an_idle_device(self) -> None:
        assert self.busy_until is not None or not self.expected


TestDevice = Device.TestCase
TestDevice.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, report_multiple_bugs=False
)


@pytest.mark.parametrize(
    ("images", "pixels"),
    [
        ([], 0),
        ([("a", 3, 5)], 15),
        ([("a", 3, 5), ("a", 4, 2)], 2 * 4 * 5),
        ([("a", 3, 5), ("b", 4, 2)], 15 + 8),
        ([("a", 3, 5), ("b", 4, 2), ("a", 1, 7), ("b", 4, 2), ("a", 1, 1)], 3 * 3 * 7 + 2 * 4 * 2),
    ],
)
def test_padded_pixels(images: list[tuple[str, int, int]], pixels: int) -> None:
    assert padded_pixels(SizedItem(*image) for image in images) == pixels


def test_a_lone_request_is_taken_at_once_however_large() -> None:
    line = _lined_up((1000, 1000))
    assert _keys(line.take(Budget(pixels=1, count=1, waste=0.0))) == [0]
    assert line.take(ROOMY) == []


def test_one_that_exceeds_the_budget_goes_alone() -> None:
    line = _lined_up((100, 100), (1, 1), (100, 100))
    assert _keys(line.take(Budget(pixels=9999, count=8, waste=9.0))) == [0]


@settings(deadline=None)
@given(st.integers(1, 60), sides, sides, budgets)
def test_those_of_one_size_share_full_batches_without_padding(
    number: int, height: int, width: int, budget: Budget
) -> None:
    line = _lined_up(*[(height, width)] * number)
    most = max(1, min(budget.count, budget.pixels // (height * width)))
    while batch := line.take(budget):
        assert len(batch) == min(most, number)
        assert padded_pixels(_items(batch)) == sum(waiting.pixels for waiting in batch)
        number -= len(batch)
    assert number == 0


def test_those_that_need_no_padding_come_first_and_among_them_the_older() -> None:
    line = _lined_up((8, 8), (8, 7), (8, 8), (7, 8), (8, 8))
    assert _keys(line.take(Budget(pixels=10**6, count=2, waste=9.0))) == [0, 2]
    assert _keys(line.take(Budget(pixels=10**6, count=2, waste=9.0))) == [1, 4]


def test_of_equal_fits_the_older_comes_first() -> None:
    line = _lined_up((8, 8), (8, 7), (7, 8), (8, 7))
    assert _keys(line.take(ROOMY)) == [0, 1, 2, 3]


def test_landscape_and_portrait_share_a_batch_only_for_want_of_better() -> None:
    landscape, portrait = (768, 1024), (1024, 768)
    queue = (landscape, portrait, landscape, portrait, landscape)
    line = _lined_up(*queue)
    three = Budget(pixels=10**9, count=3, waste=0.5)
    assert _keys(line.take(three)) == [0, 2, 4]
    assert _keys(line.take(three)) == [1, 3]
    assert _keys(_lined_up(landscape, portrait).take(three)) == [0, 1]  # a third of padding
    assert _keys(_lined_up(landscape, portrait).take(Budget(10**9, 3, waste=0.25))) == [0]


def test_a_thumbnail_is_not_padded_to_a_photo_under_cover_of_others_that_fit() -> None:
    photos = [(100, 100)] * 20
    line = _lined_up(*photos, (10, 10))
    # 21 tensors of 10,000 pixels would keep within the waste.
    assert padded_pixels([SizedItem("a", *size) for size in [*photos, (10, 10)]]) < 1.25 * (
        20 * 100 * 100 + 100
    )
    assert _keys(line.take(Budget(pixels=10**9, count=32, waste=0.25))) == list(range(20))


@settings(deadline=None)
@given(st.lists(loads, min_size=2, max_size=20), budgets)
def test_batches_keep_within_the_budget_and_nobody_adds_more_padding_than_pixels(
    loads: list[tuple[SizedItem, ...]], budget: Budget
) -> None:
    line: Line[int] = Line()
    for key, load in enumerate(loads):
        line.add(Waiting(key, load, NEVER))
    while batch := line.take(budget):
        _check_batch(batch, budget)
        for size in range(1, len(batch)):
            before, after = padded_pixels(_items(batch[:size])), padded_pixels(_items(batch[: size + 1]))
            assert after - before <= 2 * batch[size].pixels


def test_each_image_of_a_request_counts() -> None:
    line: Line[int] = Line()
    small, large = SizedItem("a", 8, 8), SizedItem("a", 9, 9)
    for key, load in enumerate([(small,), (small, small), (large,)]):
        line.add(Waiting(key, load, NEVER))
    # Three small images grow with the large one, to 4 * 81 pixels of 3 * 64 + 81; two would keep within 15 %.
    assert _keys(line.take(Budget(pixels=1000, count=8, waste=0.15))) == [0, 1]


def test_slots_do_not_pad_one_another() -> None:
    line: Line[int] = Line()
    for key, (slot, side) in enumerate([("a", 8), ("a", 4), ("b", 3), ("b", 3)]):
        line.add(Waiting(key, (SizedItem(slot, side, side),), NEVER))
    assert _keys(line.take(Budget(pixels=1000, count=8, waste=0.0))) == [0, 2, 3]


def test_who_stands_too_far_behind_is_not_considered() -> None:
    behind = [(1, 8)] * LOOK_AHEAD
    budget = Budget(pixels=10**9, count=2, waste=0.0)
    assert _keys(_lined_up((8, 8), *behind, (8, 8)).take(budget)) == [0]
    assert _keys(_lined_up((8, 8), *behind[1:], (8, 8)).take(budget)) == [0, LOOK_AHEAD]


def test_a_mixed_queue_needs_fewer_batches_and_less_padding_than_in_order_of_arrival() -> None:
    draw = random.Random(3)
    cameras = [(768, 1024), (1024, 768), (576, 1024), (384, 512)]
    sizes = [
        draw.choice(cameras) if draw.random() < 0.5 else (draw.randint(64, 256), draw.randint(64, 256))
        for _ in range(600)
    ]
    budget = Budget(pixels=8 * 2**20, count=32, waste=0.25)
    line = _lined_up(*sizes)
    batches = []
    while batch := line.take(budget):
        _check_batch(batch, budget)
        batches.append(batch)
    in_order: list[list[SizedItem]] = [[]]
    for item in (SizedItem("a", *size) for size in sizes):
        trial = [*in_order[-1], item]
        padded = padded_pixels(trial)
        useful = sum(one.height * one.width for one in trial)
        if len(trial) <= budget.count and padded <= min(budget.pixels, (1 + budget.waste) * useful):
            in_order[-1] = trial
        else:
            in_order.append([item])
    assert len(batches) < len(in_order) / 4
    useful = sum(height * width for height, width in sizes)
    padding = sum(padded_pixels(_items(batch)) for batch in batches) - useful
    assert padding < 0.1 * useful


def test_suspects_share_batches_with_suspects_only() -> None:
    line = _lined_up(*[(8, 8)] * 5, companies=[None, 4, None, 4, 4])
    assert _keys(line.take(ROOMY)) == [0, 2]
    assert _keys(line.take(ROOMY)) == [1, 3, 4]


def test_suspects_keep_their_place_by_age() -> None:
    line = _lined_up(*[(8, 8)] * 4, companies=[2, None, None, 2])
    assert _keys(line.take(ROOMY)) == [0, 3]
    line = _lined_up(*[(8, 8)] * 3, companies=[None, 2, None])
    assert _keys(line.take(Budget(10**9, 1, 0.0))) == [0]
    assert _keys(line.take(ROOMY)) == [1]
    assert _keys(line.take(ROOMY)) == [2]


@pytest.mark.parametrize(
    ("companies", "batches"),
    [
        ([1, 1, 1], [[0], [1], [2]]),
        ([2, 2, 2, 2], [[0, 1], [2, 3]]),
        ([3, 1, 3, 3, 3], [[0, 2, 3], [1], [4]]),  # who must stand alone is passed over
        ([4, 4, 2, 4], [[0, 1, 3], [2]]),  # nor does one that wants small company enter a larger one
        ([4, 2, 4, 4], [[0, 1], [2, 3]]),  # but an older one limits those that follow
    ],
)
def test_the_smallest_company_counts(companies: list[int], batches: list[list[int]]) -> None:
    line = _lined_up(*[(8, 8)] * len(companies), companies=companies)
    assert [_keys(line.take(ROOMY)) for _ in batches] == batches
    assert not line


def test_suspects_keep_within_the_budget_too() -> None:
    line = _lined_up(*[(8, 8)] * 4, companies=[9, 9, 9, 9])
    assert _keys(line.take(Budget(pixels=10**6, count=3, waste=0.0))) == [0, 1, 2]
    assert _keys(line.take(Budget(pixels=8 * 8, count=3, waste=0.0))) == [3]


def test_the_expired_come_oldest_first_whatever_their_deadlines() -> None:
    line: Line[int] = Line()
    for key, (deadline, company) in enumerate([(3.0, None), (1.0, 2), (9.0, None), (2.0, None), (3.0, 2)]):
        line.add(Waiting(key, (SizedItem("a", 1, 1),), deadline, company))
    assert line.next_deadline == 1.0
    assert _keys(line.expire(0.5)) == []
    assert _keys(line.expire(3.0)) == [0, 1, 3, 4]
    assert line.next_deadline == 9.0


def test_a_key_may_come_again_with_another_deadline() -> None:
    line: Line[int] = Line()
    for deadline in (1.0, 5.0):
        assert line.add(Waiting(7, (SizedItem("a", 1, 1),), deadline))
        assert line.cancel(7)
    assert line.add(Waiting(7, (SizedItem("a", 1, 1),), 9.0))
    assert line.next_deadline == 9.0
    assert line.expire(5.0) == []
    assert _keys(line.take(ROOMY)) == [7]


def test_requests_that_left_are_forgotten() -> None:
    class Key:
        """Unlike a number, can be watched."""

    draw = random.Random(5)
    line: Line[Key] = Line()
    alive: weakref.WeakSet[Key] = weakref.WeakSet()
    stay: dict[Key, float] = {}
    most = 0
    for number in range(3000):
        key, deadline = Key(), draw.uniform(1.0, 2.0)
        alive.add(key)
        line.add(Waiting(key, (SizedItem("a", 1, 1),), deadline))
        if number % 100 == 0:
            stay[key] = deadline
        else:
            line.cancel(key)
        most = max(most, len(alive))
    assert most < 200
    del key
    while stay:
        first = min(stay, key=stay.__getitem__)
        assert line.next_deadline == stay.pop(first)
        line.cancel(first)
    assert line.next_deadline is None


def test_side_by_side_the_oldest_come_first_as_far_as_the_budget_goes() -> None:
    budget = Budget(pixels=250, count=3, waste=0.0, policy=SideBySide())
    line: Line[int] = Line()
    for number, side in enumerate((10, 12, 3, 5, 4)):  # 100, 144, 9, 25 and 16 pixels, of all shapes alike
        line.add(Waiting(number, (SizedItem("a", side, side),), deadline=1.0))
    assert _keys(line.take(budget)) == [0, 1]  # together 244; the third would be too much, the others too
    assert _keys(line.take(budget)) == [2, 3, 4]
    line.add(Waiting(9, (SizedItem("a", 100, 100),), deadline=1.0))
    assert _keys(line.take(budget)) == [9]  # too large for any budget, and served all the same


def test_side_by_side_suspects_keep_their_company() -> None:
    budget = Budget(pixels=10**6, count=8, waste=0.0, policy=SideBySide())
    line: Line[int] = Line()
    for number, company in enumerate((3, 2, 3, 3)):
        line.add(Waiting(number, (SizedItem("a", 8, 8),), deadline=1.0, company=company))
    assert _keys(line.take(budget)) == [0, 1]
    assert _keys(line.take(budget)) == [2, 3]


def _of_callers(line: Line[int], *callers: tuple[str, bool]) -> None:
    for caller, bulk in callers:
        key = len(line) + 1000 * line._arrived
        assert line.add(Waiting(key, (SizedItem("a", 10, 10),), NEVER, caller=caller, bulk=bulk))


ONE_AT_A_TIME = Budget(pixels=10**9, count=1, waste=0.0)


def test_callers_take_turns_whatever_one_of_them_sends() -> None:
    line: Line[int] = Line()
    _of_callers(line, *[("flood", False)] * 20, ("other", False), ("other", False))
    served = [line.take(ONE_AT_A_TIME)[0].caller for _ in range(4)]
    assert served == ["flood", "other", "flood", "other"]


def test_bulk_requests_get_a_fifth_beside_single_ones() -> None:
    line: Line[int] = Line()
    _of_callers(line, *[("one", True)] * 20, *[("one", False)] * 20)
    served = [line.take(ONE_AT_A_TIME)[0].bulk for _ in range(20)]
    assert sum(served) == 4
    assert served[0]  # it came first


def test_a_caller_that_was_away_saves_nothing_up() -> None:
    line: Line[int] = Line()
    for _ in range(50):
        _of_callers(line, ("steady", False))
        line.take(ONE_AT_A_TIME)
    _of_callers(line, *[("steady", False)] * 4, *[("back", False)] * 4)
    served = [line.take(ONE_AT_A_TIME)[0].caller for _ in range(4)]
    assert sorted(served) == ["back", "back", "steady", "steady"]


def test_what_is_remembered_of_callers_is_bounded() -> None:
    line: Line[int] = Line()
    for number in range(5000):
        _of_callers(line, (f"{number}", False))
        assert line.take(ONE_AT_A_TIME)
    assert len(line._levels) <= 1100
    assert not line._flows
