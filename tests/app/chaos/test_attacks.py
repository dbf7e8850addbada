"""The stories of tests/benchmarks/attacks, told shortly: what must never happen does not."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.running import Server, eventually, metric, running
from tests.benchmarks import attacks
from tests.benchmarks.attacks import (
    deadlines,
    full_disk,
    holders,
    keys,
    large_images,
    pipelines,
    slow_crowd,
    starved_decoders,
    thumbnails,
)
from tests.benchmarks.attacks.hostile import large_image
from tests.benchmarks.chaos import __main__ as all_stories
from tests.benchmarks.chaos.clients import address_of
from tests.benchmarks.chaos.story import Story

pytestmark = pytest.mark.system

Settings = dict[str, str | None]

_SIDES = 6000, 400


@pytest.fixture
def story() -> Story:
    return Story("shortly")


@pytest.fixture(scope="module")
def settings(weights_environment: dict[str, str]) -> Settings:
    """Of a small and patient service: how fast the machine is must not matter."""
    return {**weights_environment, "IQA_DECODE_PROCESSES": "2", "IQA_TIMEOUT_S": "60"}


@pytest.fixture(scope="module")
def service(settings: Settings) -> Iterator[tuple[Server, httpx.Client]]:
    """One for all stories that leave nothing behind."""
    with running(settings) as both:
        yield both


@pytest.fixture(scope="module")
def tight(settings: Settings) -> Iterator[tuple[Server, httpx.Client]]:
    """One with small limits."""
    limits = {
        "IQA_INTAKE_BYTES": "4000000",
        "IQA_MAX_BODY_BYTES": "1000000",
        "IQA_MAX_CONNECTIONS": "50",
        "IQA_BODY_TIMEOUT_S": "4",
        "IQA_DECODE_TIMEOUT_S": "0.5",
        "IQA_TIMEOUT_S": "20",
    }
    with running({**settings, **limits}) as both:
        yield both


def test_thumbnails_do_not_close_the_door(
    story: Story, service: tuple[Server, httpx.Client], photo: bytes
) -> None:
    _, client = service
    thumbnails.attack(story, address_of(client.base_url), photo, side=32, rounds=1, pause_s=1.5)
    eventually(lambda: metric(client, "iqa_queued_seconds") == 0)
    assert not story.faults, story.report()


def test_deadlines_hold_at_every_stage(
    story: Story, service: tuple[Server, httpx.Client], photo: bytes
) -> None:
    server, client = service
    deadlines.attack(
        story,
        server,
        address_of(client.base_url),
        photo,
        deadline_s=1.5,
        strip=large_image(*_SIDES),
        strips=12,
        together=True,
        judged=False,
    )
    assert client.post("/score", content=photo).status_code == 200
    assert not story.faults, story.report()


def test_pipelines_hold_up_no_probe(story: Story, service: tuple[Server, httpx.Client]) -> None:
    pipelines.tell(story, service, connections=60, alone_s=0.2)
    assert not story.faults, story.report()


def test_large_images_fail_no_small_one(
    story: Story, service: tuple[Server, httpx.Client], photo: bytes
) -> None:
    large_images.tell(story, service, photo, batches=1, singles=4, files=4, sides=(2000, 1000), beside_s=0.5)
    assert not story.faults, story.report()


def test_silent_holders_give_way(story: Story, tight: tuple[Server, httpx.Client], photo: bytes) -> None:
    holders.tell(story, tight, photo, connections=8, megabytes=3.6, waves=1)
    eventually(lambda: metric(tight[1], "iqa_intake_bytes") == 0)
    assert not story.faults, story.report()


def test_a_crowd_of_slow_bodies_keeps_nobody_out(
    story: Story, tight: tuple[Server, httpx.Client], photo: bytes
) -> None:
    slow_crowd.tell(story, tight, photo, connections=60, bytes_per_s=1200, seconds=3.0)
    assert not story.faults, story.report()


def test_an_image_is_not_blamed_for_a_decoder_without_a_processor(
    story: Story, tight: tuple[Server, httpx.Client], photo: bytes
) -> None:
    starved_decoders.tell(story, tight, photo, requests=6, large=2, share=0.05, sides=_SIDES)
    assert not story.faults, story.report()


def test_keys_are_revoked_whatever_is_wrong_with_their_file(
    story: Story, settings: Settings, photo: bytes
) -> None:
    keys.tell(story, settings, photo, large=3, faults=("a line mistyped",), sides=_SIDES, judged=False)
    assert not story.faults, story.report()


def test_a_full_disk_ends_no_process(story: Story, settings: Settings, photo: bytes) -> None:
    if not full_disk.can_mount():
        pytest.skip("needs the right to mount a file system")
    full_disk.tell(story, settings, photo, seconds=1.0, when=full_disk.WHEN[1:], kills=False)
    assert not story.faults, story.report()


def test_every_story_is_told() -> None:
    folder = Path(attacks.__file__).parent
    told = {path.stem for path in folder.glob("*.py") if "def tell(" in path.read_text(encoding="utf-8")}
    assert told - {"everything"} <= set(all_stories.STORIES)
