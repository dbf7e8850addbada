"""Remembered values, and work that several wait for."""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DeadlineExceeded, InvalidImage
from app.scoring.cache import Cache

ROOM = 1 << 20


class Work:
    """Work that ends when it is told to, and counts how often it was begun."""

    def __init__(self, value: bytes = b"value") -> None:
        self.value = value
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> bytes:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.value


def run(story: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(limited())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_was_asked_once_is_remembered() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](ROOM, len), Work()
        work.go.set()
        assert await cache.get("a", math.inf, work) == (b"value", "miss")
        assert await cache.get("a", math.inf, work) == (b"value", "hit")
        assert await cache.get("b", math.inf, work) == (b"value", "miss")
        assert work.begun == 2

    run(story())


def test_callers_join_what_is_in_work() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](ROOM, len), Work()
        callers = [asyncio.create_task(cache.get("a", math.inf, work)) for _ in range(3)]
        await settle()
        work.go.set()
        outcomes = [outcome for _, outcome in await asyncio.gather(*callers)]
        assert sorted(outcomes) == ["joined", "joined", "miss"]
        assert work.begun == 1

    run(story())


def test_what_is_larger_than_all_room_is_not_remembered() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](2000, len), Work(bytes(1000))
        work.go.set()
        assert (await cache.get("a", math.inf, work))[1] == "miss"
        assert (await cache.get("a", math.inf, work))[1] == "miss"
        assert (cache.held_bytes, len(cache)) == (0, 0)

    run(story())


def test_off_means_that_everybody_works() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](0, len), Work()
        callers = [asyncio.create_task(cache.get("a", math.inf, work)) for _ in range(3)]
        await settle()
        callers[0].cancel()
        await settle()
        assert (work.begun, work.cancelled) == (3, 1)
        work.go.set()
        assert [await caller for caller in callers[1:]] == [(b"value", "miss")] * 2

    run(story())


def test_work_goes_on_when_the_one_who_began_it_leaves() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](ROOM, len), Work()
        first, second = (asyncio.create_task(cache.get("a", math.inf, work)) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        assert work.cancelled == 0
        work.go.set()
        assert await second == (b"value", "joined")
        assert first.cancelled()

    run(story())


def test_work_that_nobody_waits_for_is_cancelled_and_not_joined() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](ROOM, len), Work()
        callers = [asyncio.create_task(cache.get("a", math.inf, work)) for _ in range(3)]
        await settle()
        for caller in callers[:2]:
            caller.cancel()
        await settle()
        assert (work.begun, work.cancelled) == (1, 0)
        callers[2].cancel()
        await settle()
        assert work.cancelled == 1
        another = asyncio.create_task(cache.get("a", math.inf, work))
        await settle()
        work.go.set()
        assert await another == (b"value", "miss")
        assert work.begun == 2

    run(story())


def test_who_comes_while_work_is_being_cancelled_begins_anew() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](ROOM, len), Work()
        caller = asyncio.create_task(cache.get("a", math.inf, work))
        await settle()
        caller.cancel()
        await asyncio.sleep(0)  # the caller has left; its work has not noticed yet
        work.go.set()
        assert await cache.get("a", math.inf, work) == (b"value", "miss")

    run(story())


def test_an_error_is_everybodys_and_is_not_remembered() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](ROOM, len), Work()
        work.error = InvalidImage()
        callers = [asyncio.create_task(cache.get("a", math.inf, work)) for _ in range(2)]
        await settle()
        work.go.set()
        errors = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(error) for error in errors] == [InvalidImage, InvalidImage]
        work.error = None
        assert await cache.get("a", math.inf, work) == (b"value", "miss")

    run(story())


def test_work_that_may_start_too_late_is_not_joined() -> None:
    async def story() -> None:
        cache, patient, hasty = Cache[bytes](ROOM, len), Work(b"patient"), Work(b"hasty")
        first = asyncio.create_task(cache.get("a", 1000.0, patient))
        await settle()
        second = asyncio.create_task(cache.get("a", 500.0, hasty))
        await settle()
        assert hasty.begun == 1
        hasty.go.set()
        assert await second == (b"hasty", "miss")
        patient.go.set()
        assert await first == (b"patient", "miss")
        # Either is right; what came first stays.
        assert await cache.get("a", math.inf, patient) == (b"hasty", "hit")

    run(story())


def test_who_has_time_left_begins_anew_where_the_other_had_none() -> None:
    async def story() -> None:
        cache, late, again = Cache[bytes](ROOM, len), Work(), Work(b"again")
        late.error = DeadlineExceeded()
        first = asyncio.create_task(cache.get("a", 0.0, late))
        await settle()
        second = asyncio.create_task(cache.get("a", math.inf, again))
        third = asyncio.create_task(cache.get("a", 0.0, again))
        await settle()
        late.go.set()
        again.go.set()
        with pytest.raises(DeadlineExceeded):
            await first
        with pytest.raises(DeadlineExceeded):
            await third
        assert await second == (b"again", "miss")

    run(story())


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4000)), max_size=60))
def test_there_are_never_more_bytes_than_allowed(asked: list[tuple[int, int]]) -> None:
    async def story() -> None:
        cache = Cache[bytes](8000, len)
        for key, size in asked:
            work = Work(bytes(size))
            work.go.set()
            await cache.get(key, math.inf, work)
            assert 0 <= cache.held_bytes <= 8000
            # What was asked last is there, if it fits at all.
            assert (await cache.get(key, math.inf, work))[1] == "hit"
        assert (cache.held_bytes > 0) == bool(len(cache))

    run(story())


def test_what_was_used_longest_ago_goes_first() -> None:
    async def story() -> None:
        cache, work = Cache[bytes](3 * 1024 + 20, len), Work()
        work.go.set()
        for key in ("a", "b", "c", "a", "d"):
            await cache.get(key, math.inf, work)
        outcomes = [(await cache.get(key, math.inf, work))[1] for key in ("a", "c", "d", "b")]
        assert outcomes == ["hit", "hit", "hit", "miss"]

    run(story())
