"""Untrained weights: a full-size network in a healthy range, and nobody takes it for a trained one."""

from pathlib import Path

import pytest
import torch
from torch import nn

from app.inference.engine import Engine
from app.inference.tasks import ScoreResult, ScoreTask
from app.settings import read_settings
from models.checkpoints.errors import WeightsUntrained
from models.checkpoints.saving import save
from models.checkpoints.sources import read
from models.loading import LoadedModel, load_model
from models.qualiclip.model import QualiCLIP, QualiCLIPConfig
from tests.app.running import Server
from tests.benchmarks import untrained
from tests.photographs import photographs


@pytest.fixture(scope="module", params=["qualiclip", "bpclip"])
def model(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def file(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained.write(tmp_path_factory.mktemp("untrained"), seed=3, models=[model])[model]


@pytest.fixture
def tiny_untrained(weights_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The settings for the tests' tiny weights, those of bpclip said to be untrained."""
    weights = read(Path(weights_environment["IQA_BPCLIP_WEIGHTS"]), "bpclip")
    path = tmp_path / "tiny.safetensors"
    save(path, weights.tensors, weights.metadata.model_copy(update={"untrained": True}))
    return {**weights_environment, "IQA_BPCLIP_WEIGHTS": str(path)}


@pytest.fixture(scope="module")
def loaded(model: str, file: Path) -> LoadedModel:
    return load_model(model, file, allow_untrained=True)


@pytest.mark.slow
def test_they_are_full_size_and_say_what_they_are(model: str, file: Path, loaded: LoadedModel) -> None:
    weights = read(file, model)
    assert weights.metadata.untrained
    assert {tensor.dtype for tensor in weights.tensors.values()} == {torch.float16}
    assert sum(each.numel() for each in loaded.module.parameters()) > 35_000_000


@pytest.mark.slow
@torch.inference_mode()
def test_activations_are_those_of_a_trained_network(loaded: LoadedModel) -> None:
    spread: dict[str, float] = {}
    norms = {name: part for name, part in loaded.module.named_modules() if isinstance(part, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_hook(
            lambda _, __, output, name=name: spread.update({name: float(output.std())})
        )
    preprocessing = loaded.metadata.preprocessing
    loaded.module(preprocessing.tensor(photographs()[1][:224, :288]))
    assert spread.keys() == norms.keys()
    assert len(spread) > 40
    # Whitened by the statistics of photographs, then scaled by 0.5 to 1 and shifted by about 0.1.
    assert {name: value for name, value in spread.items() if not 0.1 < value < 3.0} == {}
    assert all(float(norm.running_var.std()) > 0 for norm in norms.values() if norm.running_var is not None)


@pytest.mark.slow
def test_half_precision_keeps_to_its_bound(model: str, file: Path) -> None:
    exact, half = (_scores(model, file, dtype) for dtype in ("float32", "bfloat16"))
    assert len(set(exact)) == len(exact)  # the images are told apart
    assert max(abs(a - b) for a, b in zip(exact, half, strict=True)) < 0.01  # the HTTP contract's


def test_a_seed_gives_the_same_bytes(
    tmp_path: Path, weights_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = load_model("qualiclip", weights_environment["IQA_QUALICLIP_WEIGHTS"]).module.config
    assert isinstance(tiny, QualiCLIPConfig)
    monkeypatch.setattr(untrained, "_model", lambda name: QualiCLIP(tiny))
    first, again, other = (
        untrained.write(tmp_path / str(number), seed, ["qualiclip"])["qualiclip"].read_bytes()
        for number, seed in enumerate((1, 1, 2))
    )
    assert first == again != other


def test_the_engine_refuses_them_unless_told_otherwise(tiny_untrained: dict[str, str]) -> None:
    path = tiny_untrained["IQA_BPCLIP_WEIGHTS"]
    with pytest.raises(WeightsUntrained, match=r"^[^\n]+IQA_ALLOW_UNTRAINED=true\.$"):
        Engine({"bpclip": path}, "cpu", "float32")
    assert Engine({"bpclip": path}, "cpu", "float32", allow_untrained=True).models == ("bpclip",)


@pytest.mark.process
def test_the_service_does_not_start_with_them(tiny_untrained: dict[str, str]) -> None:
    server = Server(tiny_untrained)
    try:
        assert server.wait() == 1
        log = "".join(server.log)
    finally:
        server.close()
    assert "holds untrained weights" in log
    assert "Traceback" not in log


def test_the_switch_is_off_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not read_settings().allow_untrained
    monkeypatch.setenv("IQA_ALLOW_UNTRAINED", "1")
    assert read_settings().allow_untrained


def _scores(model: str, file: Path, dtype: str) -> list[float]:
    engine = Engine({model: str(file)}, "cpu", dtype, allow_untrained=True)
    results = engine.score([ScoreTask(photo[:160, :192], (model,)) for photo in photographs()])
    return [result.models[model].score for result in results if isinstance(result, ScoreResult)]
