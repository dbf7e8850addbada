"""A worker with a scripted engine, running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.worker import runner
from tests.app.worker.scripted import Bench, ScriptedEngine


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """It is stopped in the end."""
    monkeypatch.setattr(runner, "score_canary", ScriptedEngine.score_canary)
    bench = Bench(tmp_path)
    bench.start()
    yield bench
    bench.engine.go.set()
    bench.stop()
