"""The way of files to the device, with stand-ins for decoding and the device: order, bounds, ends."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from app.imaging.decode import Provenance
from app.inference.batching import Budget
from app.inference.tasks import Result, ScoreTask
from app.schemas.measured.exposure import MeasuredExposure
from app.scoring.pipeline import Pipeline
from app.scoring.requests import Prepared

_SIDE = 32
_BUDGET = Budget(pixels=4 * _SIDE * _SIDE, count=4, waste=0.25)


def _prepare(path: Path) -> Prepared | str:
    if path.suffix == ".bad":
        return "The image is empty."
    pixels = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    provenance = Provenance(_SIDE, _SIDE, "JPEG", 1, path.name, 1, False, False)
    return Prepared(provenance, [], MeasuredExposure(0, 0, 1, 0), (ScoreTask(pixels, ("bpclip",)),))


class _Device:
    """Gives every task an error that names the image, which is as good as a result here."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: Sequence[Prepared]) -> list[list[Result | Exception]]:
        self.batches.append(len(images))
        return [[ValueError(image.provenance.sha256)] for image in images]


def _paths(count: int) -> list[Path]:
    return [Path(f"{number}.{'bad' if number % 7 == 3 else 'jpg'}") for number in range(count)]


@pytest.mark.parametrize("threads", [1, 3])
def test_outcomes_come_in_order_each_once(threads: int) -> None:
    device = _Device()
    paths = _paths(100)
    outcomes = list(Pipeline(_prepare, device, _BUDGET, threads).go(paths))
    assert [outcome.path for outcome in outcomes] == paths
    for outcome in outcomes:
        if outcome.path.suffix == ".bad":
            assert outcome.prepared == "The image is empty."
            assert outcome.results == ()
        else:
            assert isinstance(outcome.prepared, Prepared)
            assert outcome.prepared.tasks == ()  # the pixels are let go of
            assert str(outcome.results[0]) == outcome.path.name
            assert 1 <= outcome.batch_images <= 4
    assert max(device.batches) <= 4
    assert sum(device.batches) == sum(path.suffix != ".bad" for path in paths)


def test_what_waits_while_the_device_is_busy_makes_full_batches() -> None:
    device, waiting = _Device(), threading.Event()
    decoded = 0

    def prepare(path: Path) -> Prepared | str:
        nonlocal decoded
        decoded += 1
        if decoded == 8:  # seven are decoded: the device holds four of them, or four wait
            waiting.set()
        return _prepare(path)

    def run(images: Sequence[Prepared]) -> list[list[Result | Exception]]:
        assert waiting.wait(30)
        return device(images)

    paths = [Path(f"{number}.jpg") for number in range(13)]
    assert len(list(Pipeline(prepare, run, _BUDGET, 1).go(paths))) == 13
    assert max(device.batches) == 4
    assert sum(device.batches) == 13


def test_few_files_are_on_their_way_at_a_time() -> None:
    begun = 0

    def paths() -> Iterator[Path]:
        nonlocal begun
        for number in range(500):
            begun += 1
            yield Path(f"{number}.jpg")

    pipeline = Pipeline(_prepare, _Device(), _BUDGET, 2)
    for handed, _ in enumerate(pipeline.go(paths())):
        assert begun - handed <= 2 + 2 * _BUDGET.count
    assert begun == 500


def test_who_leaves_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    outcomes = Pipeline(_prepare, _Device(), _BUDGET, 3).go(_paths(100))
    next(outcomes)
    outcomes.close()
    assert threading.active_count() == before


def test_of_no_files_comes_nothing() -> None:
    assert list(Pipeline(_prepare, _Device(), _BUDGET, 2).go([])) == []


@pytest.mark.parametrize("where", ["prepare", "run", "paths"])
def test_what_nobody_foresaw_is_raised(where: str) -> None:
    def fails(*_: object) -> Iterator[Path]:
        raise ZeroDivisionError(where)

    def paths() -> Iterator[Path]:
        yield Path("a.jpg")
        fails()

    before = threading.active_count()
    pipeline = Pipeline(
        fails if where == "prepare" else _prepare,  # type: ignore[arg-type]
        fails if where == "run" else _Device(),  # type: ignore[arg-type]
        _BUDGET,
        2,
    )
    with pytest.raises(ZeroDivisionError, match=where):
        list(pipeline.go(paths() if where == "paths" else _paths(20)))
    assert threading.active_count() == before
