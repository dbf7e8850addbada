"""Processes are killed under load: nothing that was accepted is lost."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import eventually, running
from tests.photographs import named


def _metric(client: httpx.Client, name: str) -> float:
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name + " ")]
    return float(lines[0].split()[1])


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(weights_environment: dict[str, str]) -> None:
    data = encoded(np.tile(named()["coffee"], (2, 2, 1)))
    with running(weights_environment) as (server, client):
        expected = client.post("/score", content=data).json()["score"]
        (worker,) = server.children("app.worker")
        stop = threading.Event()

        def load() -> list[httpx.Response]:
            responses = []
            while not stop.is_set():
                responses.append(client.post("/score", content=data))
            return responses

        with ThreadPoolExecutor(6) as pool:
            loads = [pool.submit(load) for _ in range(6)]
            eventually(lambda: _metric(client, "iqa_batch_images_count") > 6)
            os.kill(worker, signal.SIGKILL)
            eventually(lambda: client.get("/readyz").status_code == 503, 5)
            is_problem(client.get("/readyz"), 503, "worker-unavailable")
            assert client.get("/livez").status_code == 200
            eventually(lambda: client.get("/readyz").status_code == 200)
            time.sleep(0.5)
            stop.set()
            responses = [response for future in loads for response in future.result()]
        assert {response.status_code for response in responses} == {200}
        scores = [response.json()["score"] for response in responses]
        assert scores == pytest.approx([expected] * len(scores), abs=1e-4)
        assert _metric(client, "iqa_resent_total") >= 1
        assert server.children("app.worker") != [worker]
        eventually(lambda: 'iqa_worker_restarts{worker="0"} 1.0' in client.get("/metrics").text, 5)


@pytest.mark.slow
def test_a_killed_http_process_is_replaced(weights_environment: dict[str, str], photo: bytes) -> None:
    with running(weights_environment) as (server, client):
        (front,) = server.children("app.serving")
        os.kill(front, signal.SIGKILL)
        eventually(lambda: server.children("app.serving") not in ([], [front]))
        # The socket is the parent's, so new connections wait for the new process instead of being refused.
        assert httpx.get(f"{client.base_url}/livez", timeout=30).status_code == 200
        eventually(lambda: httpx.get(f"{client.base_url}/readyz").status_code == 200)
        assert httpx.post(f"{client.base_url}/score", content=photo, timeout=30).status_code == 200


def test_clients_that_go_away_leave_nothing_behind(weights_environment: dict[str, str]) -> None:
    data = encoded(np.tile(named()["coffee"], (2, 2, 1)), "PNG")
    with running(weights_environment) as (server, client):
        for _ in range(10):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{client.base_url}/score", content=data, timeout=httpx.Timeout(5, read=0.005))
        eventually(lambda: _metric(client, "iqa_queued_pixels") == 0, 20)
        assert client.post("/score", content=data).status_code == 200
        eventually(lambda: [entry.get("status") for entry in server.entries()].count(499) == 10, 5)
        assert not [entry for entry in server.entries() if entry["level"] == "error"]
        assert Path(f"/proc/{server.children('app.worker')[0]}").exists()
