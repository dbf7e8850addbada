"""What was encoded of references is kept, and changes no score."""

from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.inference.build import engine_for
from app.inference.encoded_references import References
from app.inference.engine import Engine
from app.inference.tasks import CompareResult, CompareTask
from app.settings import read_settings
from models.preprocessing import Pixels
from models.runtime.backend import OutOfMemory
from tests.photographs import named

SIZES = ((64, 96), (40, 77), (96, 32))


@pytest.fixture(scope="module")
def source(weights_folder: Path) -> dict[str, str]:
    return {"bpclip-fr": str(weights_folder / "bpclip-fr.safetensors")}


@pytest.fixture(scope="module")
def keeping(source: dict[str, str]) -> Engine:
    return Engine(source, "cpu", "float32", runtime="eager")


@pytest.fixture(scope="module")
def forgetful(source: dict[str, str]) -> Engine:
    return Engine(source, "cpu", "float32", runtime="eager", reference_cache_bytes=0)


@dataclass(frozen=True)
class Maps:
    """What was encoded of an image, in so many KiB."""

    kib: int

    @property
    def nbytes(self) -> int:
        return 1024 * self.kib

    def kept(self) -> "Maps":
        return Maps(self.kib)


def image(number: int, height: int, width: int) -> Pixels:
    photo = list(named().values())[number % 6]
    return np.ascontiguousarray(photo[number : number + height, number : number + width])


def pair(number: int, fault: int, keyed: bool, height: int = 64, width: int = 96) -> CompareTask:
    """One of several distorted images of reference `number`; of one size, it has one key."""
    reference = image(number, height, width)
    distorted = (reference // (8 * fault + 1) * (8 * fault + 1)).astype(np.uint8)
    return CompareTask(reference, distorted, reference_key=f"{number}" if keyed else "")


def found(engine: Engine, tasks: list[CompareTask]) -> NDArray[np.float64]:
    """Score and similarities of each pair, ``(n, 41)``."""
    results = engine.compare(tasks)
    assert all(isinstance(result, CompareResult) for result in results), results
    pairs = [result.full_reference for result in results if isinstance(result, CompareResult)]
    return np.array([(each.score, *each.similarities) for each in pairs])


def apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.abs(first - second).max())


def test_the_one_unused_for_longest_goes_first() -> None:
    kept = References(4096)
    for name in "abcd":
        kept.keep(name, Maps(1))
    assert (len(kept), kept.held_bytes) == (4, 4096)
    assert kept.get("a") is not None
    kept.keep("e", Maps(2))
    assert [name for name in "abcde" if kept.get(name)] == ["a", "d", "e"]
    assert kept.held_bytes == 4096
    kept.keep("a", Maps(2))  # instead of the smaller one
    assert kept.held_bytes == 4096
    assert [name for name in "abcde" if kept.get(name)] == ["a", "e"]
    kept.keep("f", Maps(5))
    assert kept.get("f") is None
    assert len(kept) == 2
    kept.clear()
    assert (len(kept), kept.held_bytes, kept.get("a")) == (0, 0, None)


cases = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans(), st.sampled_from(SIZES)),
    min_size=1,
    max_size=5,
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(batches=st.lists(cases, min_size=1, max_size=3))
def test_scores_are_the_same_with_what_is_kept_and_without(
    keeping: Engine, forgetful: Engine, batches: list[list[tuple[int, int, bool, tuple[int, int]]]]
) -> None:
    keeping.references.clear()
    for batch in batches:
        tasks = [pair(number, fault, keyed, *size) for number, fault, keyed, size in batch]
        expected = np.concatenate([found(forgetful, [replace(task, reference_key="")]) for task in tasks])
        assert apart(found(keeping, tasks), expected) <= 1e-5  # cold, warm, or some of each
        assert apart(found(keeping, tasks), expected) <= 1e-5
    assert len(forgetful.references) == 0


def test_references_differ_enough_to_be_told_apart(keeping: Engine) -> None:
    """Else the test above could pass with one reference in the place of another."""
    keeping.references.clear()
    distorted = image(0, 64, 96)
    rows = found(keeping, [CompareTask(image(n, 64, 96), distorted) for n in range(3)])
    assert min(apart(first, second) for first, second in combinations(rows, 2)) > 1e-3


def test_each_reference_is_encoded_once(keeping: Engine) -> None:
    def seen(tasks: list[CompareTask]) -> int:
        """Images of 64 x 96 that the network saw."""
        before = keeping.tally
        found(keeping, tasks)
        assert keeping.tally.padded - before.padded == keeping.tally.useful - before.useful
        return (keeping.tally.useful - before.useful) // (64 * 96)

    keeping.references.clear()
    assert seen([pair(0, 1, True), pair(0, 2, True), pair(1, 1, True)]) == 3 + 2
    assert len(keeping.references) == 2
    assert seen([pair(0, 3, True), pair(1, 2, True)]) == 2
    assert seen([pair(0, 3, True), pair(2, 2, True)]) == 2 + 1
    # Without a key nothing is kept, nor found, but one array is one reference within a batch.
    assert seen([pair(0, 3, False)]) == seen([pair(0, 3, False)]) == 2
    shared = image(5, 64, 96)
    assert seen([CompareTask(shared, image(n, 64, 96)) for n in range(3)]) == 3 + 1
    assert len(keeping.references) == 3


def test_one_key_at_two_sizes_is_two_references(keeping: Engine, forgetful: Engine) -> None:
    keeping.references.clear()
    tasks = [pair(0, 1, True, *size) for size in ((64, 96), (96, 64))]
    assert apart(found(keeping, tasks), found(forgetful, tasks)) <= 1e-5
    assert len(keeping.references) == 2


def test_what_is_kept_has_memory_of_its_own_and_keeps_to_its_bound(source: dict[str, str]) -> None:
    engine = Engine(source, "cpu", "float32", runtime="eager")
    found(engine, [pair(0, 1, True, 96, 96), pair(1, 1, True, 40, 64)])
    one = engine.references.held_bytes
    for name in (("0", 96, 96), ("1", 40, 64)):
        kept = engine.references.get(name)
        assert kept is not None
        levels = kept.maps.levels  # type: ignore[attr-defined]
        for values in levels:
            assert values.untyped_storage().nbytes() == values.numel() * values.element_size()
        height, width = (96, 96) if name[0] == "0" else (64, 64)  # whole cells
        assert levels[0].shape[-2:] == (height // 2, width // 2)
        assert levels[-1].shape[-2:] == (height // 32, width // 32)
    engine.references.capacity_bytes = one
    found(engine, [pair(2, 1, True, 96, 96)])
    assert engine.references.held_bytes <= one
    assert engine.references.get(("2", 96, 96)) is not None
    assert engine.references.get(("0", 96, 96)) is None


def test_in_half_precision(source: dict[str, str]) -> None:
    engine = Engine(source, "cpu", "bfloat16", runtime="eager")
    tasks = [pair(number, 2, True, *size) for number, size in enumerate(((64, 96), (77, 40), (64, 64)))]
    cold = found(engine, tasks)
    warm = np.concatenate([found(engine, [task]) for task in tasks])
    assert apart(cold, warm) <= 5e-3
    kept = engine.references.get(("0", 64, 96))
    assert kept is not None
    assert {values.dtype for values in kept.maps.levels} == {torch.bfloat16}  # type: ignore[attr-defined]


def test_want_of_memory_clears_them(keeping: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (torch.OutOfMemoryError("CUDA out of memory"), MemoryError()):
        found(keeping, [pair(0, 1, True)])
        assert len(keeping.references) > 0

        def full(*_: object, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(keeping._slots["bpclip-fr"].network.encoder.network, "forward", full)  # type: ignore[attr-defined]
            with pytest.raises(OutOfMemory):
                keeping.compare([pair(0, 1, True)])
        assert (len(keeping.references), keeping.references.held_bytes) == (0, 0)


@pytest.mark.parametrize(("setting", "capacity"), [(None, 256 * 2**20), (0, 0), (4096, 4096)])
def test_the_setting_is_the_bound(source: dict[str, str], setting: int | None, capacity: int) -> None:
    chosen = read_settings(bpclip_fr_weights=source["bpclip-fr"], devices="cpu", encoded_cache_bytes=setting)
    assert engine_for(chosen, models=["bpclip-fr"]).references.capacity_bytes == capacity


def test_a_pair_of_two_sizes_fails_alone(keeping: Engine) -> None:
    wrong = CompareTask(image(0, 64, 64), image(0, 64, 96))
    good, bad = keeping.compare([pair(0, 1, True), wrong])
    assert isinstance(good, CompareResult)
    assert isinstance(bad, ValueError)
