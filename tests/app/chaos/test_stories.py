"""The stories of tests/benchmarks/chaos, told shortly: what must never happen does not. No time is judged."""

import numpy as np
import pytest

from tests.app.files import encoded
from tests.benchmarks.chaos import drain, kills, memory, overload, poison, vanish
from tests.benchmarks.chaos.story import Story
from tests.photographs import named

pytestmark = pytest.mark.system

Settings = dict[str, str | None]


@pytest.fixture
def settings(weights_environment: dict[str, str]) -> Settings:
    """Of a small and patient service: how fast the machine is must not matter."""
    return {**weights_environment, "IQA_TIMEOUT_S": "120", "IQA_DECODE_PROCESSES": None}


@pytest.fixture
def story() -> Story:
    return Story("shortly")


@pytest.fixture(scope="module")
def thumbnail() -> bytes:
    return encoded(named()["coffee"][:96, :128])


@pytest.mark.slow
def test_kills_lose_nothing(story: Story, settings: Settings, photo: bytes) -> None:
    kills.tell(story, settings, photo, kills=2, alive_s=0.3, clients=6)
    assert not story.faults, story.report()


@pytest.mark.slow
def test_overload_is_refused_with_429_and_nothing_else(
    story: Story, settings: Settings, photo: bytes
) -> None:
    small_queue = {**settings, "IQA_QUEUE_PIXELS": str(16 * 2 * 384 * 256)}
    overload.tell(story, small_queue, photo, clients=16, capacity_s=1.0, offered_s=2.0, times=10.0)
    assert not story.faults, story.report()


@pytest.mark.slow
def test_clients_that_vanish_leave_nothing_behind(story: Story, settings: Settings) -> None:
    # Large files and small batches: what a batch needs is small beside what the vanished would leave.
    large = encoded(np.tile(named()["coffee"], (2, 1, 1)), "PNG")
    vanish.tell(story, {**settings, "IQA_BATCH_IMAGES": "2"}, large, clients=150)
    assert not story.faults, story.report()


@pytest.mark.parametrize("http_processes", [1, 2])
def test_drain_answers_what_was_accepted(
    story: Story, settings: Settings, photo: bytes, http_processes: int
) -> None:
    several = {**settings, "IQA_HTTP_PROCESSES": str(http_processes)}
    drain.tell(story, several, photo, clients=12, delay_s=0.5, under_load_s=0.3)
    assert not story.faults, story.report()


@pytest.mark.slow
def test_memory_settles(story: Story, settings: Settings) -> None:
    # One model's kernels of each size are as many as the others'.
    environment = {**settings, "IQA_BATCH_IMAGES": "4", "IQA_MODELS": "bpclip"}
    memory.tell(story, environment, requests=800, sample_every=200)
    assert not story.faults, story.report()


@pytest.mark.slow
def test_poison_is_refused_and_nobody_beside_it_pays(
    story: Story, settings: Settings, thumbnail: bytes
) -> None:
    poison.tell(story, settings, thumbnail, culprits=1, clients=6, patience_s=120.0)
    assert not story.faults, story.report()
