"""Decoder processes that are killed: no request is lost, and none of them outlives the service."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from tests.app.running import Server, eventually, metric, running

pytestmark = pytest.mark.system


def _decoders(server: Server) -> list[int]:
    (serving,) = server.children("app.server")
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "--ppid", str(serving)], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in listed.stdout.splitlines() if "-m app.imaging.sandbox" in line]
    return [int(pid) for pid, state, *_ in lines if not state.startswith("Z")]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_killed_decoders_cost_no_request_and_none_stays(
    weights_environment: dict[str, str], photo: bytes
) -> None:
    environment = {**weights_environment, "IQA_DECODE_PROCESSES": "2"}
    with running(environment) as (server, client), ThreadPoolExecutor(4) as pool:
        expected = client.post("/score", content=photo).json()["score"]
        for _ in range(3):
            before = _decoders(server)
            assert len(before) == 2
            answers = [pool.submit(client.post, "/score", content=photo) for _ in range(8)]
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            for answer in answers:
                response = answer.result()
                assert response.status_code == 200
                assert abs(response.json()["score"] - expected) < 1e-4
            eventually(partial(_replaced, server, client, photo, before))
        assert metric(client, "iqa_decoder_restarts_total") == 6
        last = _decoders(server)
        server.process.kill()
        server.process.wait(30)
        eventually(lambda: not any(map(_runs, last)))


def _replaced(server: Server, client: httpx.Client, photo: bytes, before: list[int]) -> bool:
    # One that had nothing to do is found dead when it is given something.
    assert client.post("/score", content=photo).status_code == 200
    now = _decoders(server)
    return len(now) == 2 and not set(now) & set(before)
