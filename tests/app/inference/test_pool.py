"""Client and worker over a real socket, with a scripted engine."""

import asyncio
import contextlib
import random
import time
from dataclasses import replace

import pytest
import zmq

from app.errors import DeadlineExceeded, InternalError, PoisonInput, Starting, WorkerUnavailable
from app.inference import pool as client_module
from app.inference import protocol
from app.inference.pool import Pool
from app.inference.protocol import Casualties, Done, Job
from app.inference.tasks import ScoreTask
from tests.app.inference.scripted import PIXELS, POISON, RESULT, Bench, ask, dealer, until, with_pool


def test_a_lone_request_is_answered(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        done = await ask(pool)
        assert done.results == (RESULT,)
        assert (done.batch_images, done.batch_pixels, done.first) == (1, 1024, True)
        assert (done.useful_pixels, done.padded_pixels) == (1024, 2048)
        assert pool.pixels_per_s > 0
        state = pool.state()
        assert (state.restarts, state.device, state.memory_bytes) == (0, "cpu", 5_000_000)
        assert (state.budget_pixels, state.waiting, state.casualties) == (10**6, 0, None)

    with_pool(bench, story)


def test_what_waits_goes_together(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        batches: list[Done] = []
        pool.links[0]._on_batch = batches.append
        bench.engine.go.clear()
        asked = [asyncio.create_task(ask(pool))]
        await until(lambda: bench.engine.batches)
        asked += [asyncio.create_task(ask(pool)) for _ in range(5)]
        await until(lambda: len(bench.worker._line) == 5)
        await until(lambda: pool.state().waiting == 5)
        bench.engine.go.set()
        answers = await asyncio.gather(*asked)
        assert bench.engine.batches == [1, 4, 1]
        assert sorted(done.batch_images for done in answers) == [1, 1, 4, 4, 4, 4]
        assert [done.batch_images for done in batches] == [1, 4, 1]

    with_pool(bench, story)


def test_work_that_cannot_start_in_time_is_dropped(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        first = asyncio.create_task(ask(pool))
        await until(lambda: bench.engine.batches)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await ask(pool, 0.2)
        assert time.monotonic() - began < 2
        bench.engine.go.set()
        assert (await first).results
        assert bench.engine.batches == [1]

    with_pool(bench, story)


def test_what_has_started_is_waited_for(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        asked = asyncio.create_task(ask(pool, 0.2))
        await asyncio.sleep(1.0)
        bench.engine.go.set()
        assert (await asked).results == (RESULT,)

    with_pool(bench, story)


def test_cancelled_work_is_dropped(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        first = asyncio.create_task(ask(pool))
        await until(lambda: bench.engine.batches)
        second = asyncio.create_task(ask(pool))
        await until(lambda: len(bench.worker._line) == 1)
        second.cancel()
        await until(lambda: len(bench.worker._line) == 0)
        bench.engine.go.set()
        await first
        await ask(pool)
        assert bench.engine.batches == [1, 1]
        assert pool.links[0].outstanding_pixels == 0

    with_pool(bench, story)


def test_callers_that_leave_at_any_moment_leave_nothing_behind(bench: Bench) -> None:
    chance = random.Random(5)

    async def leave(asked: "asyncio.Task[Done]", seconds: float) -> None:
        await asyncio.sleep(seconds)
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked

    async def story(pool: Pool) -> None:
        moments = [chance.choice((0.0, 0.3)) * chance.random() for _ in range(1000)]
        asked = [asyncio.create_task(ask(pool)) for _ in moments]
        leaving = [leave(*pair) for pair in zip(asked, moments, strict=True)]
        await asyncio.gather(*leaving)
        # Some left before they were sent, some from the line, some when they had their answer.
        assert 0 < sum(not task.cancelled() for task in asked) < 1000
        (link,) = pool.links
        assert (link._pending, link.outstanding_pixels) == ({}, 0)
        assert (await ask(pool)).results == (RESULT,)
        # Whatever was sent for them has been read by now.
        assert (bench.worker._jobs, len(bench.worker._line), bench.worker._line.pixels) == ({}, 0, 0)

    with_pool(bench, story)


def test_a_client_that_dies_leaves_no_work_behind(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        aboard = asyncio.create_task(ask(pool))
        await until(lambda: bench.engine.batches)
        with zmq.Context() as context, dealer(context, bench.endpoint) as mortal:
            for number in range(50):
                job = Job(number, time.monotonic() + 60, 1024, (ScoreTask(PIXELS, ("bpclip",)),))
                mortal.send_multipart(protocol.pack_job(job))
            waiting = asyncio.create_task(ask(pool))
            await until(lambda: len(bench.worker._line) == 51)
        await until(lambda: len(bench.worker._line) == 1)
        assert len(bench.worker._jobs) == 1
        bench.engine.go.set()
        await asyncio.gather(aboard, waiting)
        assert bench.engine.batches == [1, 1]

    with_pool(bench, story)


def test_a_task_that_raises_is_a_fault_of_ours(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def story(pool: Pool) -> None:
        checks = bench.engine.checks
        bench.engine.failing = True
        with pytest.raises(InternalError):
            await ask(pool)
        # Before anybody is told so, the device is made sure of.
        assert bench.engine.checks == checks + 1
        bench.engine.failing = False
        assert (await ask(pool)).results

    with_pool(bench, story)
    assert "scripted" in caplog.text


def test_memory_for_half_a_batch(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        asked = [asyncio.create_task(ask(pool))]
        await until(lambda: bench.engine.batches)
        asked += [asyncio.create_task(ask(pool)) for _ in range(4)]
        await until(lambda: len(bench.worker._line) == 4)
        bench.engine.capacity = 1
        bench.engine.go.set()
        assert [done.failure for done in await asyncio.gather(*asked)] == [None] * 5
        assert bench.engine.batches == [1, 4, 2, 1, 1, 2, 1, 1]
        await until(lambda: pool.state().budget_pixels == 2**16)

    with_pool(bench, story)


def test_no_memory_for_a_single_image(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.capacity = 0
        with pytest.raises(WorkerUnavailable, match="not enough memory"):
            await ask(pool)
        bench.engine.capacity = 1
        assert (await ask(pool)).results

    with_pool(bench, story)


def test_a_restarted_worker_gets_the_work_again(bench: Bench) -> None:
    resent: list[int] = []

    async def story(pool: Pool) -> None:
        (link,) = pool.links
        link._on_resend = resent.append
        bench.engine.go.clear()
        asked = [asyncio.create_task(ask(pool, 0.5))]
        await until(lambda: bench.engine.batches)
        asked += [asyncio.create_task(ask(pool)) for _ in range(2)]
        await until(lambda: len(bench.worker._line) == 2)
        pending = list(link._pending.values())
        await _end_and_start(bench, pool)
        # All are answered, the first although its time to start is long over: it had started.
        assert all(done.results for done in await asyncio.gather(*asked))
        assert pool.state().restarts == 1
        # What only waited is none the worse for it.
        assert [(one.deaths, one.job.company) for one in pending] == [(1, 1), (0, None), (0, None)]

    with_pool(bench, story)
    assert resent == [3]


def test_a_death_is_laid_to_a_job_once(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        asked = asyncio.create_task(ask(pool))
        await until(lambda: bench.engine.batches)
        (link,) = pool.links
        ((number, pending),) = link._pending.items()
        # Two workers after one another say it, where the first of them ended before it had done anything.
        said = replace(pool.state(), casualties=Casualties("the first", 2, (number, 17)))
        for boot in ("the second", "the third"):
            await link._learn(replace(said, boot=boot))
        assert (pending.deaths, pending.job.company) == (1, 1)
        bench.engine.go.set()
        assert (await asked).results

    with_pool(bench, story)


def test_poison_ends_up_alone_and_nobody_else_pays(bench: Bench) -> None:
    bench.stop()
    bench.most_images = 8
    bench.start()

    async def keep(pool: Pool) -> None:
        while True:
            await until(lambda: bench.ended)
            bench.ended = None
            bench.thread.join()
            bench.start()

    async def story(pool: Pool) -> None:
        keeping = asyncio.create_task(keep(pool))
        bench.engine.go.clear()
        first = asyncio.create_task(ask(pool))
        await until(lambda: bench.engine.batches)
        poison = asyncio.create_task(ask(pool, pixels=POISON))
        innocent = [asyncio.create_task(ask(pool)) for _ in range(7)]
        await until(lambda: len(bench.worker._line) == 8)
        bench.engine.go.set()
        await until(lambda: bench.restarts == 2)
        newcomers = [asyncio.create_task(ask(pool)) for _ in range(20)]
        await asyncio.sleep(0)
        late = [pool.links[0]._pending[number] for number in sorted(pool.links[0]._pending)[-20:]]
        answers = await asyncio.gather(first, *innocent, *newcomers)
        assert all(done.results for done in answers)
        with pytest.raises(PoisonInput):
            await poison
        # At most from eight through four and two to one, and twice alone. It may be alone sooner: a worker
        # that is free begins with the first job that arrives.
        assert 2 <= bench.restarts - 1 <= 5
        assert {pending.deaths for pending in late} == {0}
        keeping.cancel()

    with_pool(bench, story)


def test_without_a_worker(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        absent = Pool([replace(bench.endpoint, address=bench.endpoint.address + "-absent")])
        absent.open()
        try:
            assert not absent.ready
            assert not absent.started
            with pytest.raises(Starting):
                absent.state()
            with pytest.raises(WorkerUnavailable):
                await ask(absent, 0.2)
        finally:
            await absent.close()

    with_pool(bench, story)


def test_silence_is_not_readiness(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pool: Pool) -> None:
        monkeypatch.setattr(client_module, "_SILENCE_S", 0.0)
        assert not pool.ready
        assert pool.started

    with_pool(bench, story)


async def _end_and_start(bench: Bench, pool: Pool) -> None:
    """Ends the worker while a batch is on the device, and starts it again."""
    engine, (link,) = bench.engine, pool.links
    bench.worker.stop()
    # It hears no more of its engine once it waits for it.
    await until(lambda: bench.worker._runner._orders.qsize())
    engine.go.set()
    await asyncio.to_thread(bench.thread.join)
    cost = link.cost
    await until(lambda: link.state is None)
    assert link.cost == cost is not None  # what waits still tells how long it will take
    bench.start()
