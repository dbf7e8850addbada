"""Whose body is slow, and who gives way to whom: on a clock, without connections."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry, Counter

from app.errors import Overloaded
from app.http.door import BodyProgress, ConnectionLimits, Door
from app.http.holdings import Holdings
from app.memory import Memory
from app.scoring.uploads import Account, Intake

_LIMITS = ConnectionLimits(most=9, head_s=60, body_s=60)


class Caller:
    """A connection whose body arrives, and the account of its request."""

    def __init__(self, door: Door, holdings: Holdings, intake: Intake, name: str, began: float) -> None:
        self.left = self.held = False
        self.account = Account(intake)
        self.progress = door.receiving[self] = BodyProgress(began)
        holdings.enter(self.account, name, self.progress)

    def sends(self, count: int, now: float) -> None:
        self.progress.came(count, now)
        self.account.take(count)

    def leave(self) -> None:
        raise AssertionError("It is not idle.")

    def leave_slow(self) -> None:
        self.left = True
        self.account.close()

    def has_sent(self) -> bool:
        raise AssertionError("It is not idle.")

    def held_up(self) -> bool:
        return self.held


class Idler:
    """A connection without a request, as far as the service has read."""

    def __init__(self, door: Door, *, sent: bool) -> None:
        self.left, self.sent = False, sent
        door.idle[self] = None

    def leave(self) -> None:
        self.left = True

    def leave_slow(self) -> None:
        raise AssertionError("It has no body.")

    def has_sent(self) -> bool:
        return self.sent

    def held_up(self) -> bool:
        return False


class World:
    """A door and holdings of 1000 bytes, and their callers."""

    def __init__(self) -> None:
        counter = Counter("refused", "Refused.", ("reason",), registry=CollectorRegistry())
        self.door = Door(_LIMITS, counter)
        self.intake = Intake(1000, Memory(1 << 31, 1 << 31))
        self.holdings = Holdings(self.intake)
        self.holdings.door = self.door

    def caller(self, name: str, began: float = 0.0) -> Caller:
        return Caller(self.door, self.holdings, self.intake, name, began)

    def make_room(self, caller: Caller, count: int) -> None:
        asyncio.run(self.holdings.make_room(caller.account, count))


@pytest.fixture
def world() -> World:
    return World()


def test_a_body_is_slow_when_it_has_stopped_or_trickles() -> None:
    steady, trickling, stopped = BodyProgress(0.0), BodyProgress(0.0), BodyProgress(0.0)
    stopped.came(10**9, 0.1)
    for tenth in range(1, 51):
        steady.came(10_000, tenth / 10)
        trickling.came(1, tenth / 10)
        assert not steady.slow(tenth / 10)
        assert trickling.slow(tenth / 10) == (tenth >= 20)
    assert not stopped.slow(2.0)
    assert stopped.slow(2.2)
    assert (steady.total, trickling.total) == (500_000, 50)


def test_what_the_service_does_not_read_is_not_slow(world: World) -> None:
    caller = world.caller("a")
    caller.held = True
    assert not world.door.end_slow(100.0)
    caller.held = False
    assert not world.door.end_slow(101.0)
    assert world.door.end_slow(102.1)
    assert caller.left


def test_the_slowest_body_so_far_makes_room_for_a_connection(world: World) -> None:
    """Before it can be called slow: crowds that take turns would keep all others out."""
    slow, slower, steady, held, new = (world.caller(name) for name in "abcde")
    held.held = True
    slow.sends(900, 0.1)
    slower.sends(30, 0.1)
    steady.progress.came(30_000, 0.2)
    new.progress.excuse(0.2)
    for expected in (slower, slow):
        assert not world.door.end_slow(0.3)
        assert world.door.make_room(0.3)
        assert expected.left
    assert not world.door.make_room(0.3)
    assert not any(caller.left for caller in (steady, held, new))


def test_whose_request_has_just_come_is_not_idle(world: World) -> None:
    asking, idle, slow = Idler(world.door, sent=True), Idler(world.door, sent=False), world.caller("a")
    assert world.door.make_room(5.0)
    assert (asking.left, idle.left, slow.left) == (False, True, False)
    assert world.door.make_room(5.0)
    assert (asking.left, slow.left) == (False, True)
    assert not world.door.make_room(5.0)


def test_the_largest_slow_body_gives_way(world: World) -> None:
    small, large = world.caller("a"), world.caller("b")
    small.sends(100, 0.0)
    large.sends(600, 0.0)
    assert world.door.release_bytes(500, 5.0)
    assert (small.left, large.left) == (False, True)
    assert not world.door.release_bytes(500, 5.0, "c")


def test_a_caller_has_half_of_what_may_be_held_and_others_the_rest(world: World) -> None:
    first, second, other = (world.caller(name, _now()) for name in "aab")
    first.sends(400, _now())
    world.make_room(second, 100)
    second.sends(100, _now())
    with pytest.raises(Overloaded, match="one client"):
        world.make_room(second, 1)
    world.make_room(other, 400)
    assert not first.left


def test_one_request_alone_may_be_larger_than_a_share(world: World) -> None:
    first = world.caller("a", _now())
    first.sends(500, _now())
    world.make_room(first, 500)


def test_slow_bodies_of_a_caller_give_way_to_his_others(world: World) -> None:
    slow, others, newcomer = world.caller("a"), world.caller("b"), world.caller("a")
    slow.sends(500, -10.0)
    others.sends(300, -10.0)
    world.make_room(newcomer, 100)
    assert (slow.left, others.left) == (True, False)


def test_where_all_is_held_any_slow_body_gives_way(world: World) -> None:
    slow, newcomer = world.caller("a"), world.caller("b")
    slow.sends(950, -10.0)
    world.make_room(newcomer, 100)
    assert slow.left


def _now() -> float:
    """On the clock of event loops."""
    return time.monotonic()
