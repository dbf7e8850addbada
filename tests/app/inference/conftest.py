"""A worker with a scripted engine, running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.inference.worker import executor
from tests.app.inference.scripted import Bench, ScriptedEngine


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """It is stopped in the end."""
    monkeypatch.setattr(executor, "score_canary", ScriptedEngine.score_canary)
    bench = Bench(tmp_path)
    bench.start()
    yield bench
    bench.engine.go.set()
    bench.stop()
