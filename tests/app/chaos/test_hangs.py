"""Processes hang, and the private folder is deleted: the service becomes whole again, or ends and says so."""

import contextlib
import os
import shutil
import signal
from pathlib import Path

import httpx
import pytest

from tests.app.running import Server, eventually, running

pytestmark = [pytest.mark.system, pytest.mark.slow]

_MODULES = ("app.server", "app.inference.worker")


def _scores(client: httpx.Client, photo: bytes) -> bool:
    """Whether a new client gets a score."""
    with contextlib.suppress(httpx.TransportError):
        ready = httpx.get(f"{client.base_url}/readyz", timeout=5).status_code == 200
        return ready and httpx.post(f"{client.base_url}/score", content=photo, timeout=10).status_code == 200
    return False


def _replaced(server: Server, module: str, before: list[int]) -> bool:
    now = server.children(module)
    return len(now) == len(before) and not set(now) & set(before)


@pytest.mark.parametrize("module", _MODULES)
def test_a_process_that_hangs_is_replaced(
    weights_environment: dict[str, str], photo: bytes, module: str
) -> None:
    with running(weights_environment) as (server, client):
        before = server.children(module)
        os.kill(before[0], signal.SIGSTOP)
        eventually(lambda: _replaced(server, module, before), 60)
        eventually(lambda: _scores(client, photo), 60)
        assert any("has been silent for" in entry["message"] for entry in server.entries())


def test_a_worker_that_hangs_while_it_starts_is_replaced(
    weights_environment: dict[str, str], photo: bytes
) -> None:
    with running(weights_environment) as (server, client):
        first = server.children("app.inference.worker")
        os.kill(first[0], signal.SIGKILL)
        eventually(lambda: _replaced(server, "app.inference.worker", first))
        second = server.children("app.inference.worker")
        os.kill(second[0], signal.SIGSTOP)  # it has hardly begun to import its libraries
        eventually(lambda: _replaced(server, "app.inference.worker", second), 60)
        eventually(lambda: _scores(client, photo), 60)


@pytest.mark.parametrize("http_processes", ["1", "2"])
def test_a_deleted_folder_is_made_again(
    weights_environment: dict[str, str], photo: bytes, http_processes: str
) -> None:
    with running({**weights_environment, "IQA_HTTP_PROCESSES": http_processes}) as (server, client):
        workers = server.children("app.inference.worker")
        (folder,) = server.folder.glob("iqa-*")
        shutil.rmtree(folder)
        eventually(lambda: _replaced(server, "app.inference.worker", workers), 60)
        eventually(lambda: _scores(client, photo), 60)
        assert folder.stat().st_mode & 0o777 == 0o700
        answer = httpx.get(f"{client.base_url}/metrics")
        assert "iqa_requests_total" in answer.text
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not folder.exists()


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
