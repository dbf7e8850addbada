"""What all tests share: markers, small random weights, and an environment without anybody's settings."""

import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.bpclip.model import BPCLIP, compact
from models.checkpoints.architecture import RESNET
from models.checkpoints.format import save
from models.checkpoints.metadata import Metadata
from models.checkpoints.state_dict import stored
from models.preprocessing import CLIP_MEAN, CLIP_STD, Preprocessing
from models.qualiclip.model import PROMPTS, QualiCLIP, QualiCLIPConfig
from tests.markers import KINDS, PURE, no_process

_LONGEST_SIDE = 384


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that has no mark of a kind as pure."""
    for item in items:
        if not any(mark.name in KINDS for mark in item.iter_markers()):
            item.add_marker(PURE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Fixtures of a pure test start no process."""
    yield from _guarded(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A pure test starts no process."""
    yield from _guarded(item)


def _guarded(item: pytest.Item) -> Generator[None, None, None]:
    if item.get_closest_marker(PURE) is None:
        yield
        return
    with no_process(item.nodeid):
        yield


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``MODEL.safetensors`` of random weights in tiny architectures, for the three models."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        tiny = QualiCLIPConfig(embed_dim=32, layers=(1, 1, 1, 1), width=8, head_width=32, text_layers=0)
        _save(folder, "qualiclip", QualiCLIP(tiny), tiny.as_metadata())
        for name, full_reference in (("bpclip", False), ("bpclip-fr", True)):
            config = replace(
                compact(full_reference),
                encoder=RESNET,
                rectified=False,
                layers=(1, 1, 1, 1),
                channels=(8, 8, 16, 16),
                stem_channels=8,
                inner_width=16,
                text_width=32,
            )
            _save(folder, name, BPCLIP(config), config.as_metadata())
    return folder


@pytest.fixture(scope="session")
def weights_environment(weights_folder: Path) -> dict[str, str]:
    """The settings that make the service load the random weights."""
    return {
        "IQA_QUALICLIP_WEIGHTS": str(weights_folder / "qualiclip.safetensors"),
        "IQA_BPCLIP_WEIGHTS": str(weights_folder / "bpclip.safetensors"),
        "IQA_BPCLIP_FR_WEIGHTS": str(weights_folder / "bpclip-fr.safetensors"),
    }


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings() -> None:
    """Tests do not see the settings of whoever runs them, nor the width of a terminal."""
    for name in [name for name in os.environ if name.startswith("IQA_") or name == "COLUMNS"]:
        del os.environ[name]


def _save(folder: Path, name: str, model: torch.nn.Module, architecture: dict[str, object]) -> None:
    tensors = stored(model.state_dict())
    metadata = Metadata(
        model=name,
        name=f"{name}-tiny",
        architecture=architecture,
        preprocessing=Preprocessing(mean=CLIP_MEAN, std=CLIP_STD, longest_side=_LONGEST_SIDE),
        prompts=list(PROMPTS) if name == "qualiclip" else [],
        text_encoder=False,
        license="Apache-2.0",
        source="random numbers",
        training_data="none",
        validated_sides=(64, _LONGEST_SIDE),
        created="2025-01-01",
    )
    save(folder / f"{name}.safetensors", tensors, metadata)
