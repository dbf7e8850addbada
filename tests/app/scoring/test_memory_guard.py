"""Who is rejected while memory is short."""

from pathlib import Path

import pytest

from app.errors import Overloaded, WorkerUnavailable
from app.processes.cgroup import ControlGroup
from app.scoring.memory_guard import MemoryGuard


def _use(folder: Path, used: int) -> None:
    for name, text in {"max": "1000", "current": str(used), "stat": "inactive_file 0"}.items():
        (folder / f"memory.{name}").write_text(f"{text}\n")


def test_comparisons_go_first_and_then_everything(tmp_path: Path) -> None:
    now = 0.0
    guard = MemoryGuard(ControlGroup(tmp_path), None, lambda: now)
    guard.require(comparison=True)  # nothing is known
    for used, comparisons, others in ((850, True, True), (851, False, True), (950, False, True)):
        now += 1.0
        _use(tmp_path, used)
        assert _let_in(guard, comparison=True) is comparisons
        assert _let_in(guard, comparison=False) is others
    now += 1.0
    _use(tmp_path, 951)
    for comparison in (True, False):
        with pytest.raises(WorkerUnavailable):
            guard.require(comparison=comparison)
    _use(tmp_path, 100)
    now += 0.4  # it was looked at just now
    assert not _let_in(guard, comparison=False)
    now += 0.2
    assert _let_in(guard, comparison=True)


def test_large_images_go_with_the_comparisons(tmp_path: Path) -> None:
    now = 0.0
    guard = MemoryGuard(ControlGroup(tmp_path), None, lambda: now)
    for used, refused in ((850, False), (851, True), (990, True), (100, False)):
        now += 1.0
        _use(tmp_path, used)
        guard.require_for_image(12_000_000)
        if refused:
            with pytest.raises(Overloaded):
                guard.require_for_image(12_000_001)
        else:
            guard.require_for_image(12_000_001)


def _let_in(guard: MemoryGuard, *, comparison: bool) -> bool:
    try:
        guard.require(comparison=comparison)
    except (Overloaded, WorkerUnavailable):
        return False
    return True
