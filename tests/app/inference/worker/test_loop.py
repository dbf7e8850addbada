"""The canary in the worker's loop, and messages that nobody should send."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
import zmq

from app.errors import WorkerUnavailable
from app.inference import protocol
from app.inference.canary import CanaryFailed
from app.inference.pool import Pool
from app.inference.worker import loop
from tests.app.inference.scripted import POISON, Bench, ask, dealer, until, with_pool


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_CHECK_S", 0.02)


def test_the_canary_is_scored_again_and_again(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        before = bench.engine.checks
        await until(lambda: bench.engine.checks > before + 3)  # with nothing else to do
        before, answered = bench.engine.checks, 0
        while bench.engine.checks < before + 3:  # and between batches
            assert (await ask(pool)).results
            answered += 1
        assert answered

    with_pool(bench, story)


def test_what_the_canary_said_last_is_told(bench: Bench) -> None:
    """Where there was no memory to score it, that is what it said before."""

    async def story(pool: Pool) -> None:
        first = pool.state()
        assert first.canary
        await until(lambda: pool.state().canary["bpclip"] > first.canary["bpclip"])
        assert first.canary_at < pool.state().canary_at <= time.monotonic()
        bench.engine.capacity = 0
        before = bench.engine.checks
        await until(lambda: bench.engine.checks > before + 1)  # the one before may have had memory
        kept = bench.worker._state.canary_at
        await until(lambda: bench.engine.checks > before + 4)
        assert bench.worker._state.canary_at == kept

    with_pool(bench, story)


def test_a_worker_whose_canary_fails_ends(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.broken = True
        await until(lambda: not pool.ready)
        await asyncio.to_thread(bench.thread.join)

    with_pool(bench, story)
    assert isinstance(bench.ended, CanaryFailed)


def test_a_worker_whose_canary_fails_at_once_is_never_warm(bench: Bench) -> None:
    bench.stop()
    bench.start(broken=True)
    bench.thread.join()
    assert isinstance(bench.ended, CanaryFailed)
    assert not bench.worker._state.warm


def test_a_check_that_finds_no_memory_proves_nothing(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.capacity = 0
        before = bench.engine.checks
        await until(lambda: bench.engine.checks > before + 1)
        bench.engine.capacity = 1
        assert (await ask(pool)).results

    with_pool(bench, story)


def test_nonsense_ends_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def story(pool: Pool) -> None:
        with zmq.Context() as context, dealer(context, bench.endpoint) as fool:
            for frames in (
                [protocol.JOB],
                [protocol.JOB, b"{}"],
                [protocol.CANCEL, b"{"],
                [protocol.CANCEL],
                [b"what"],
            ):
                fool.send_multipart(frames)
            fool.send(protocol.HELLO)
            assert await asyncio.to_thread(fool.poll, 5000)  # all of it has been read
            assert (await ask(pool)).results

    with_pool(bench, story)
    assert caplog.text.count("cannot be read") >= 4


def test_only_who_knows_the_secret_is_answered(bench: Bench) -> None:
    guesses = ("a guess", bench.endpoint.secret[:-1], bench.endpoint.secret + "!")

    async def story(pool: Pool) -> None:
        with zmq.Context() as context, ExitStack() as stack:
            strangers = [dealer(context, replace(bench.endpoint, secret=guess)) for guess in guesses]
            strangers.append(context.socket(zmq.DEALER))  # without any mechanism
            strangers[-1].linger = 0
            strangers[-1].connect(bench.endpoint.address)
            friend = dealer(context, bench.endpoint)
            for socket in (*strangers, friend):
                stack.enter_context(socket)
                socket.send(protocol.HELLO)
            assert await asyncio.to_thread(friend.poll, 5000)
            assert not any([await asyncio.to_thread(stranger.poll, 100) for stranger in strangers])
            assert len(bench.worker._router.clients) == 2  # the friend, and the pool
        assert (await ask(pool)).results

    with_pool(bench, story)


def test_a_secret_is_not_shown(bench: Bench) -> None:
    assert bench.endpoint.secret not in repr(bench.endpoint)


def test_the_rate_is_known_before_the_first_batch(bench: Bench) -> None:
    """From the canary, so that the first crowd is not let in blindly."""

    async def story(pool: Pool) -> None:
        assert pool.pixels_per_s > 0
        began = time.monotonic()
        done = await ask(pool)
        assert done.pixels_per_s >= 1024 / (time.monotonic() - began)

    with_pool(bench, story)


def test_an_image_that_was_alone_when_memory_ran_out_is_not_poison(bench: Bench) -> None:
    """The kernel's choice says nothing of the image. It is not tried for ever either."""

    async def keep() -> None:
        while True:
            await until(lambda: bench.ended)
            bench.ended = None
            bench.thread.join()
            bench.start(out_of_memory=True)

    async def story(pool: Pool) -> None:
        keeping = asyncio.create_task(keep())
        with pytest.raises(WorkerUnavailable):
            await ask(pool, pixels=POISON)
        assert bench.restarts - 1 > 2  # poison is found after two
        await until(lambda: pool.ready)
        assert (await ask(pool)).results
        keeping.cancel()

    with_pool(bench, story)
