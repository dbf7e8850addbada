"""Processes hang, and the private folder is deleted: the service becomes whole again, or ends and says so."""

import os
import signal
from pathlib import Path

import pytest

from tests.app.running import Server, running
from tests.benchmarks.attacks import hangs
from tests.benchmarks.chaos.story import Story

pytestmark = [pytest.mark.system, pytest.mark.slow]

_FEW = {"IQA_DECODE_PROCESSES": "2"}
_HARMS = sorted(set(hangs.HARMS) - {"starting HTTP process stopped", "supervisor stopped"})
"""The others are told by the program alone: they are much like these."""


@pytest.mark.parametrize("harm", _HARMS)
def test_what_hangs_or_is_deleted_is_replaced(
    weights_environment: dict[str, str], photo: bytes, harm: str
) -> None:
    story = Story("shortly")
    hangs.tell(story, {**weights_environment, **_FEW}, photo, harms=(harm,), judged=False)
    assert not story.faults, story.report()


def test_a_service_that_stays_unready_ends(weights_environment: dict[str, str]) -> None:
    with running({**weights_environment, "IQA_UNREADY_EXIT_S": "3"}) as (server, _):
        weights = Path(weights_environment["IQA_BPCLIP_WEIGHTS"])
        hidden = weights.rename(weights.with_suffix(".hidden"))
        try:
            os.kill(server.children("app.inference.worker")[0], signal.SIGKILL)
            assert server.wait() == 1
        finally:
            hidden.rename(weights)
        assert any("has not been ready for 3 s (IQA_UNREADY_EXIT_S)" in line for line in server.log)


def test_a_worker_that_does_not_load_in_time_ends_the_start(weights_environment: dict[str, str]) -> None:
    # With torch: without it, on a quiet machine, a worker is ready before it is looked at.
    slow = {"IQA_RUNTIME": "eager", "IQA_START_TIMEOUT_S": "0.5"}
    server = Server({**weights_environment, **slow})
    try:
        assert server.wait() == 1
        assert any("is not ready 0.5 s after its start" in line for line in server.log)
    finally:
        server.close()
