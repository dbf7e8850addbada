"""What all tests share: markers, small random weights, and an environment without anybody's settings.

Nothing here imports torch: the process that hands out the tests to the workers of pytest has no need of it.
"""

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import models.runtime  # noqa: F401  # before any test imports openvino itself
from app.cpu import cores
from tests.markers import KINDS, PURE, longest_files_first, no_process

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One for each core, and one more unless all tests are pure: the others often wait for processes."""
    return cores() + (not config.option.markexpr.startswith("pure"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays to the end; looking through it for garbage takes a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test that has no mark of a kind as pure; among several workers, long files come first."""
    for item in items:
        if not any(mark.name in KINDS for mark in item.iter_markers()):
            item.add_marker(PURE)
    if hasattr(config, "workerinput"):
        longest_files_first(items)


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
    from tests.tiny_weights import write

    folder = tmp_path_factory.mktemp("weights")
    write(folder)
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
