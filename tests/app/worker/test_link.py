"""Client and worker over a real socket, with a scripted engine."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import DeadlineExceeded, InternalError, Starting, WorkerUnavailable
from app.scheduling import Budget
from app.worker import client as client_module
from app.worker import loop
from app.worker.client import Pool
from app.worker.loop import Worker
from app.worker.tasks import ModelResult, ScoreResult, ScoreTask
from app.worker.wire import Done

PIXELS = np.zeros((32, 32, 3), np.uint8)
RESULT = ScoreResult({"bpclip": ModelResult(0.5, (), (), (), (), None, 32, 32)})


class ScriptedEngine:
    """Answers with one result after another's permission."""

    device, dtype_name, max_scored_pixels, models = "cpu", "float32", 4096, ("bpclip",)

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.failing = False

    def cards(self) -> tuple[()]:
        return ()

    def score(self, tasks: list[ScoreTask]) -> list[ScoreResult | Exception]:
        self.batches.append(len(tasks))
        assert self.go.wait(20)
        return [RuntimeError("scripted") if self.failing else RESULT for _ in tasks]


class Bench:
    """A worker in a thread that can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/worker"
        self.engine = ScriptedEngine()
        self.restarts = -1

    def start(self) -> None:
        self.restarts += 1
        self.worker = Worker(
            self.endpoint, lambda: self.engine, Budget(10**6, 4), restarts=self.restarts  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        self.thread = threading.Thread(target=self.worker.run)
        self.thread.start()

    def stop(self) -> None:
        self.worker.stop()
        self.thread.join()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(loop, "score_canary", lambda engine: None)
    bench = Bench(tmp_path)
    bench.start()
    yield bench
    bench.engine.go.set()
    bench.stop()


def _with_pool(bench: Bench, story: Callable[[Pool], Coroutine[Any, Any, None]], warm: bool = True) -> None:
    async def tell() -> None:
        pool = Pool([bench.endpoint])
        pool.open()
        try:
            await _until(lambda: pool.ready or not warm)
            await asyncio.wait_for(story(pool), 30)
        finally:
            await pool.close()

    asyncio.run(tell())


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def _ask(pool: Pool, seconds: float = 20.0) -> Coroutine[Any, Any, Done]:
    return pool.ask([ScoreTask(PIXELS, ("bpclip",))], 1024, time.monotonic() + seconds)


def test_a_lone_request_is_answered(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        done = await _ask(pool)
        assert done.results == (RESULT,)
        assert (done.batch_images, done.batch_pixels, done.first) == (1, 1024, True)
        assert pool.pixels_per_s > 0
        assert (pool.state().restarts, pool.state().device) == (0, "cpu")

    _with_pool(bench, story)


def test_what_waits_goes_together(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        asked = [asyncio.create_task(_ask(pool))]
        await _until(lambda: bench.engine.batches)
        asked += [asyncio.create_task(_ask(pool)) for _ in range(5)]
        await _until(lambda: len(bench.worker._line) == 5)
        bench.engine.go.set()
        answers = await asyncio.gather(*asked)
        assert bench.engine.batches == [1, 4, 1]
        assert sorted(done.batch_images for done in answers) == [1, 1, 4, 4, 4, 4]
        assert sum(done.first for done in answers) == 3

    _with_pool(bench, story)


def test_work_that_cannot_start_in_time_is_dropped(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        first = asyncio.create_task(_ask(pool))
        await _until(lambda: bench.engine.batches)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await _ask(pool, 0.2)
        assert time.monotonic() - began < 2
        bench.engine.go.set()
        assert (await first).results
        assert bench.engine.batches == [1]

    _with_pool(bench, story)


def test_what_has_started_is_waited_for(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        asked = asyncio.create_task(_ask(pool, 0.2))
        await asyncio.sleep(1.0)
        bench.engine.go.set()
        assert (await asked).results == (RESULT,)

    _with_pool(bench, story)


def test_cancelled_work_is_dropped(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.go.clear()
        first = asyncio.create_task(_ask(pool))
        await _until(lambda: bench.engine.batches)
        second = asyncio.create_task(_ask(pool))
        await _until(lambda: len(bench.worker._line) == 1)
        second.cancel()
        await _until(lambda: len(bench.worker._line) == 0)
        bench.engine.go.set()
        await first
        await _ask(pool)
        assert bench.engine.batches == [1, 1]
        assert pool.links[0].outstanding_pixels == 0

    _with_pool(bench, story)


def test_a_task_that_raises_is_a_fault_of_ours(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def story(pool: Pool) -> None:
        bench.engine.failing = True
        with pytest.raises(InternalError):
            await _ask(pool)
        bench.engine.failing = False
        assert (await _ask(pool)).results

    _with_pool(bench, story)
    assert "scripted" in caplog.text


def test_a_restarted_worker_gets_the_work_again(bench: Bench) -> None:
    resent: list[int] = []

    async def story(pool: Pool) -> None:
        pool.links[0]._on_resend = resent.append
        bench.engine.go.clear()
        asked = [asyncio.create_task(_ask(pool, 0.5))]
        await _until(lambda: bench.engine.batches)
        asked += [asyncio.create_task(_ask(pool)) for _ in range(2)]
        await _until(lambda: len(bench.worker._line) == 2)
        bench.worker.stop()
        await asyncio.sleep(0.5)  # it hears no more of its engine now
        bench.engine.go.set()
        await asyncio.to_thread(bench.thread.join)
        await _until(lambda: not pool.ready)
        bench.start()
        # All are answered, the first although its time to start is long over: it had started.
        assert all(done.results for done in await asyncio.gather(*asked))
        assert pool.state().restarts == 1

    _with_pool(bench, story)
    assert resent == [3]


def test_a_worker_that_dies_with_it_again_and_again_ends_a_job(bench: Bench) -> None:
    async def story(pool: Pool) -> None:
        asked = asyncio.create_task(_ask(pool))
        bench.engine.go.clear()
        (link,) = pool.links
        for _ in range(3):
            await _until(lambda: link._pending)
            # As the worker would announce it; this one lives and knows the job already.
            next(iter(link._pending.values())).started_at = time.monotonic()
            link._forget_worker()
        with pytest.raises(WorkerUnavailable):
            await asked

    bench.engine.go.clear()
    _with_pool(bench, story)


def test_without_a_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pool: Pool) -> None:
        absent = Pool([bench.endpoint + "-absent"])
        absent.open()
        try:
            assert not absent.ready
            assert not absent.started
            with pytest.raises(Starting):
                absent.state()
            with pytest.raises(WorkerUnavailable):
                await _ask(absent, 0.2)
        finally:
            await absent.close()

    _with_pool(bench, story)


def test_silence_is_not_readiness(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(pool: Pool) -> None:
        monkeypatch.setattr(client_module, "_SILENCE_S", 0.0)
        assert not pool.ready
        assert pool.started

    _with_pool(bench, story)
