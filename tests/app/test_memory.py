"""The account of memory: what is taken comes back, and the bound holds whatever comes in between."""

import gc
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.errors import Overloaded
from app.memory import Hold, Memory, installed_bytes
from app.processes.cgroup import ControlGroup

_HELD, _WORK = 400, 600


class _Owner:
    pass


def test_what_an_object_holds_comes_back_when_it_is_gone() -> None:
    memory, owner = Memory(_HELD, _WORK), _Owner()
    hold = Hold(memory)
    hold.add(300)
    hold.close_with(owner)
    assert memory.held_bytes == 300
    del owner
    gc.collect()
    assert memory.held_bytes == 0


def test_a_closed_hold_takes_nothing() -> None:
    """A decoder may read the header of an image whose request is over."""
    memory = Memory(_HELD, _WORK)
    hold = Hold(memory)
    hold.close()
    hold.add(300)
    assert (hold.count, memory.held_bytes) == (0, 0)


def test_one_alone_is_always_let_in() -> None:
    memory = Memory(_HELD, _WORK)
    Hold(memory).add(5000)
    assert memory.begin(5000)
    assert not memory.begin(1)
    with pytest.raises(Overloaded) as caught:
        Hold(memory).add(1)
    assert int(caught.value.headers["Retry-After"]) >= 1


def test_what_a_container_is_granted(tmp_path: Path) -> None:
    group, limit = ControlGroup(tmp_path), tmp_path / "memory.max"
    machine = installed_bytes(group)  # it is not there
    assert machine > 1 << 28
    limit.write_text("max\n")
    assert installed_bytes(group) == machine
    limit.write_text("123456789\n")
    assert installed_bytes(group) == 123456789
    limit.write_text("nonsense")
    assert installed_bytes(group) == machine


class _Account(RuleBasedStateMachine):
    """Requests take and give back; images of at most the size provided for begin and end."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(_HELD, _WORK)
        self.holds: list[Hold] = []
        self.working: list[int] = []

    @rule(count=st.integers(1, _HELD))
    def come(self, count: int) -> None:
        hold = Hold(self.memory)
        held = self.memory.held_bytes
        try:
            hold.add(count)
        except Overloaded:
            assert held + count > _HELD
        else:
            self.holds.append(hold)

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 9), count=st.integers(0, 500))
    def give_back(self, which: int, count: int) -> None:
        self.holds[which % len(self.holds)].release(count)

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 9))
    def go(self, which: int) -> None:
        self.holds.pop(which % len(self.holds)).close()

    @rule(count=st.integers(1, _WORK))
    def begin(self, count: int) -> None:
        if self.memory.begin(count):
            self.working.append(count)
        else:
            assert self.working  # one can always be decoded

    @precondition(lambda self: self.working)
    @rule(which=st.integers(0, 9))
    def end(self, which: int) -> None:
        self.memory.end(self.working.pop(which % len(self.working)))

    @invariant()
    def keeps_to_the_bound(self) -> None:
        assert self.memory.held_bytes == sum(hold.count for hold in self.holds)
        assert self.memory.working_bytes == sum(self.working)
        assert self.memory.held_bytes <= _HELD
        assert self.memory.working_bytes <= _WORK


TestAccount = _Account.TestCase
