"""On a CUDA device nothing changes but speed and precision; without one these tests are skipped.

pytest -m gpu
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from app.inference.canary import score_canary
from app.inference.engine import Engine
from app.inference.tasks import CompareResult, CompareTask, ScoreResult, ScoreTask
from models.preprocessing import Pixels
from tests.photographs import named

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

SOURCES = dict.fromkeys(("qualiclip", "bpclip", "bpclip-fr"), "bundled")
MODELS = ("qualiclip", "bpclip")


def crops() -> list[Pixels]:
    """Parts of photographs, no two of a size."""
    generator = np.random.default_rng(3)
    parts = []
    for pixels in named().values():
        for _ in range(2):
            height, width = generator.integers(32, 300, 2)
            parts.append(np.ascontiguousarray(pixels[:height, :width]))
    return parts


def scores(engine: Engine, batches: Sequence[Sequence[Pixels]]) -> list[float]:
    """Of both no-reference models and the full-reference one, for each image."""
    found = []
    for batch in batches:
        tasks: list[ScoreTask | CompareTask] = []
        for pixels in batch:
            tasks.append(ScoreTask(pixels, MODELS))
            tasks.append(CompareTask(pixels, pixels // 16 * 16))
        for result in engine.run(tasks):
            assert not isinstance(result, Exception), result
            if isinstance(result, ScoreResult):
                found += [result.models[name].score for name in MODELS]
            else:
                found.append(result.full_reference.score)
    return found


@pytest.fixture(scope="module")
def reference() -> list[float]:
    return scores(Engine(SOURCES, "cpu", "float32"), [[pixels] for pixels in crops()])


@pytest.mark.parametrize(
    ("dtype", "among_themselves", "from_float32"),
    [("float32", 1e-4, 1e-3), ("bfloat16", 5e-3, 0.01), ("float16", 5e-3, 0.01)],
)
def test_scores_keep_to_the_contract(
    dtype: str, among_themselves: float, from_float32: float, reference: list[float]
) -> None:
    engine = Engine(SOURCES, "cuda", dtype)
    alone = scores(engine, [[pixels] for pixels in crops()])
    together = scores(engine, [crops()])
    assert together == pytest.approx(alone, abs=among_themselves)
    assert together == pytest.approx(reference, abs=from_float32)
    score_canary(engine)
    assert engine.memory_bytes > 0


def test_half_precision_is_chosen_by_itself() -> None:
    engine = Engine(SOURCES, "auto")
    assert engine.device.startswith("cuda")
    assert engine.dtype_name == "bfloat16"


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-3), ("bfloat16", 0.01)])
def test_local_quality_and_kept_references(dtype: str, bound: float) -> None:
    """A cell is held to what a score is held to; on a CPU bfloat16 stays within 0.001."""
    cpu, cuda = Engine(SOURCES, "cpu", "float32"), Engine(SOURCES, "cuda", dtype)
    pixels = crops()[:6]
    for name in MODELS:
        tasks = [ScoreTask(each, MODELS, quality_map=name) for each in pixels]
        for task, together in zip(tasks, cuda.score(tasks), strict=True):
            (alone,), (expected,) = cuda.score([task]), cpu.score([task])
            maps = [
                np.array(result.models[name].quality_map)
                for result in (together, alone, expected)
                if isinstance(result, ScoreResult)
            ]
            assert len(maps) == 3
            assert np.abs(maps[0] - maps[1]).max() <= (1e-4 if dtype == "float32" else bound)
            assert np.abs(maps[0] - maps[2]).max() <= bound
    pairs = [
        CompareTask(each, each // 16 * 16, reference_key=str(number)) for number, each in enumerate(pixels)
    ]
    cold, mixed = cuda.compare(pairs[:3]), cuda.compare(pairs)
    assert cuda.references.held_bytes > 0
    warm = [cuda.compare([pair])[0] for pair in pairs]
    scored = [
        [result.full_reference.score for result in results if isinstance(result, CompareResult)]
        for results in (cold, mixed[:3], warm, mixed)
    ]
    bound = 1e-5 if dtype == "float32" else 5e-3
    assert scored[1] == pytest.approx(scored[0], abs=bound)
    assert scored[3] == pytest.approx(scored[2], abs=bound)
    assert len(scored[3]) == len(pairs)
