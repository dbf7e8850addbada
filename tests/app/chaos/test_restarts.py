"""Processes are killed under load: what can be kept is kept, and the service is whole again."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import Server, eventually, metric, running
from tests.benchmarks.chaos.clients import address_of, loading, post
from tests.photographs import named

pytestmark = pytest.mark.system


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(weights_environment: dict[str, str]) -> None:
    data = encoded(np.tile(named()["coffee"], (2, 2, 1)))
    with running(weights_environment) as (server, client):
        expected = client.post("/score", content=data).json()["score"]
        (worker,) = server.children("app.inference.worker")
        stop = threading.Event()

        def load() -> list[httpx.Response]:
            responses = []
            while not stop.is_set():
                responses.append(client.post("/score", content=data))
            return responses

        with ThreadPoolExecutor(6) as pool:
            loads = [pool.submit(load) for _ in range(6)]
            eventually(lambda: metric(client, "iqa_batch_images_count") > 6)
            os.kill(worker, signal.SIGKILL)
            eventually(lambda: client.get("/readyz").status_code == 503, 5)
            is_problem(client.get("/readyz"), 503, "worker-unavailable")
            assert client.get("/livez").status_code == 200
            eventually(lambda: client.get("/readyz").status_code == 200)
            again = metric(client, "iqa_batch_images_count")
            eventually(lambda: metric(client, "iqa_batch_images_count") > again)
            stop.set()
            responses = [response for future in loads for response in future.result()]
        assert {response.status_code for response in responses} == {200}
        scores = [response.json()["score"] for response in responses]
        assert scores == pytest.approx([expected] * len(scores), abs=1e-4)
        assert metric(client, "iqa_resent_total") >= 1
        assert server.children("app.inference.worker") != [worker]
        eventually(lambda: metric(client, 'iqa_worker_restarts{worker="0"}') == 1, 5)


@pytest.mark.slow
def test_a_worker_that_is_killed_while_it_starts_loses_nothing(
    weights_environment: dict[str, str], photo: bytes
) -> None:
    patient = {**weights_environment, "IQA_TIMEOUT_S": "120"}
    with (
        running(patient) as (server, client),
        loading(address_of(client.base_url), [post(photo)], 6) as load,
    ):
        eventually(lambda: len(load.answers) > 6)
        for _ in range(3):
            _kill_and_wait(server, "app.inference.worker")
        eventually(lambda: client.get("/readyz").status_code == 200)
        answered = len(load.answers)
        eventually(lambda: len(load.answers) > answered)
    assert load.lost == []
    assert set(load.statuses()) == {200}


@pytest.mark.slow
def test_a_killed_http_process_is_replaced(weights_environment: dict[str, str], photo: bytes) -> None:
    with running(weights_environment) as (server, client):
        _kill_and_wait(server, "app.server")
        # The socket is the parent's, so new connections wait for the new process instead of being refused.
        assert httpx.get(f"{client.base_url}/livez", timeout=30).status_code == 200
        eventually(lambda: httpx.get(f"{client.base_url}/readyz").status_code == 200)
        assert httpx.post(f"{client.base_url}/score", content=photo, timeout=30).status_code == 200


@pytest.mark.slow
def test_all_children_killed_at_once_are_replaced(weights_environment: dict[str, str], photo: bytes) -> None:
    with running({**weights_environment, "IQA_HTTP_PROCESSES": "2"}) as (server, client):
        before = server.children("app.inference.worker") + server.children("app.server")
        for child in before:
            os.kill(child, signal.SIGKILL)
        eventually(
            lambda: (
                (len(server.children("app.inference.worker")), len(server.children("app.server"))) == (1, 2)
                and not set(before)
                & {*server.children("app.inference.worker"), *server.children("app.server")}
            )
        )
        eventually(lambda: httpx.get(f"{client.base_url}/readyz", timeout=30).status_code == 200)
        assert httpx.post(f"{client.base_url}/score", content=photo, timeout=30).status_code == 200


def _kill_and_wait(server: Server, module: str) -> None:
    """Kills the only child that runs a module, and waits until there is another."""
    before = server.children(module)
    (child,) = before
    os.kill(child, signal.SIGKILL)
    eventually(lambda: server.children(module) not in ([], before))
