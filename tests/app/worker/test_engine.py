"""The engine in process, with small random weights on the CPU."""

from pathlib import Path

import pytest

from app.worker.canary import CanaryFailed, score_canary
from app.worker.engine import DeviceUnavailable, Engine, resolve_device
from app.worker.tasks import CompareResult, CompareTask, ScoreResult, ScoreTask
from models.adjectives import WORDS
from models.loading import load_model
from models.weights import WeightsNotFound
from tests.photographs import named

BOTH = ("qualiclip", "bpclip")


@pytest.fixture(scope="module")
def sources(weights_folder: Path) -> dict[str, str]:
    return {name: str(weights_folder / f"{name}.safetensors") for name in (*BOTH, "bpclip-fr")}


@pytest.fixture(scope="module")
def engine(sources: dict[str, str]) -> Engine:
    return Engine(sources, "cpu")


def _score(engine: Engine, *tasks: ScoreTask) -> list[ScoreResult]:
    results = engine.score(tasks)
    assert all(isinstance(result, ScoreResult) for result in results), results
    return [result for result in results if isinstance(result, ScoreResult)]


def test_a_score_is_the_models_own(engine: Engine, sources: dict[str, str]) -> None:
    pixels = named()["coffee"]
    (result,) = _score(engine, ScoreTask(pixels, BOTH))
    assert list(result.models) == list(BOTH)
    for name, model in result.models.items():
        loaded = load_model(name, sources[name])  # type: ignore[arg-type]
        preprocessing = loaded.metadata.preprocessing
        output = loaded.module(preprocessing.tensor(preprocessing.fit(pixels, None)))
        assert model.score == pytest.approx(output.score.item(), abs=1e-5)
        assert model.similarities == pytest.approx(output.similarities[0].tolist(), abs=1e-5)
        assert len(model.probabilities) == len(WORDS)
        assert (model.width, model.height) == (384, 256)
    assert len(result.models["qualiclip"].prompt_probabilities) == 7
    assert result.models["bpclip"].prompt_probabilities == ()


def test_a_score_does_not_depend_on_its_neighbours(engine: Engine) -> None:
    photographs = list(named().values())
    tasks = [ScoreTask(pixels, BOTH) for pixels in (*photographs, *photographs[::-1])]
    together = _score(engine, *tasks)
    for task, result in zip(tasks, together, strict=True):
        (alone,) = _score(engine, task)
        for name in BOTH:
            assert result.models[name].score == pytest.approx(alone.models[name].score, abs=1e-5)


def test_models_answer_in_the_order_asked_for(engine: Engine) -> None:
    tasks = [ScoreTask(named()["coffee"], models) for models in (("bpclip", "qualiclip"), ("qualiclip",))]
    assert [list(result.models) for result in _score(engine, *tasks)] == [
        ["bpclip", "qualiclip"],
        ["qualiclip"],
    ]


def test_large_images_are_scaled_down_to_the_pixels_allowed(sources: dict[str, str]) -> None:
    engine = Engine({"bpclip": sources["bpclip"]}, "cpu", max_scored_pixels=64 * 64)
    (result,) = _score(engine, ScoreTask(named()["astronaut"], ("bpclip",)))
    assert (result.models["bpclip"].width, result.models["bpclip"].height) == (64, 64)


def test_only_the_culprit_of_a_batch_pays(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = named()["coffee"], named()["coffee"] * 0
    forward = engine._forward

    def fragile(loaded, images, words):  # type: ignore[no-untyped-def]
        if any((image == image[:, :1, :1]).all() for image in images[0]):
            raise RuntimeError("black")
        return forward(loaded, images, words)

    monkeypatch.setattr(engine, "_forward", fragile)
    results = engine.score([ScoreTask(pixels, ("bpclip",)) for pixels in (good, bad, good)])
    assert [isinstance(result, ScoreResult) for result in results] == [True, False, True]
    assert isinstance(results[1], RuntimeError)


def test_pairs(engine: Engine) -> None:
    reference, distorted = named()["coffee"], 255 - named()["coffee"]
    same, other = engine.compare(
        [CompareTask(reference, reference), CompareTask(reference, distorted, BOTH, signal=False)]
    )
    assert isinstance(same, CompareResult)
    assert isinstance(other, CompareResult)
    assert same.signal is not None
    assert same.signal.psnr_db is None
    assert (same.reference.models, other.signal) == ({}, None)
    assert list(other.distorted.models) == list(BOTH)
    (alone,) = engine.compare([CompareTask(reference, distorted)])
    assert isinstance(alone, CompareResult)
    assert alone.full_reference.score == pytest.approx(other.full_reference.score, abs=1e-5)


def test_cards_describe_what_is_loaded(engine: Engine) -> None:
    cards = {card.name: card for card in engine.cards()}
    assert list(cards) == [*BOTH, "bpclip-fr"]
    assert cards["qualiclip"].weights == "qualiclip-tiny"
    assert len(cards["qualiclip"].prompt_pairs) == 7
    assert cards["bpclip"].prompt_pairs == ()
    assert cards["bpclip"].parameters > 1000
    assert engine.models == BOTH


def test_half_precision_stays_close(sources: dict[str, str], engine: Engine) -> None:
    half = Engine(sources, "cpu", "bfloat16")
    assert half.dtype_name == "bfloat16"
    (rough,), (exact,) = (_score(e, ScoreTask(named()["coffee"], BOTH)) for e in (half, engine))
    for name in BOTH:
        assert rough.models[name].score == pytest.approx(exact.models[name].score, abs=0.1)
        assert rough.models[name].score != exact.models[name].score


def test_a_model_that_is_not_loaded(sources: dict[str, str]) -> None:
    engine = Engine({"bpclip": sources["bpclip"]}, "cpu")
    (result,) = engine.score([ScoreTask(named()["coffee"], BOTH)])
    assert isinstance(result, ValueError)


def test_what_cannot_be_loaded_has_a_sentence(sources: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match="There is no weights file"):
        Engine({"bpclip": str(tmp_path / "none")}, "cpu")
    with pytest.raises(DeviceUnavailable, match="cuda:99 was asked for, but torch sees"):
        resolve_device("cuda:99")


def test_the_canary(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    score_canary(engine)
    monkeypatch.setattr(engine, "_forward", lambda *_: 1 / 0)
    with pytest.raises(CanaryFailed, match="canary image: division by zero"):
        score_canary(engine)
