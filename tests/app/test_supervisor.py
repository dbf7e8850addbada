"""Starting and stopping the real thing: what is said when it cannot start, and how it ends."""

import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import Server, eventually, running
from tests.photographs import named


def _refusal(environment: dict[str, str]) -> str:
    """What a server that cannot start says."""
    server = Server(environment)
    try:
        assert server.wait() == 1
        return "".join(server.log)
    finally:
        server.close()


def test_missing_weights_are_a_sentence(weights_environment: dict[str, str], tmp_path: Path) -> None:
    said = _refusal({**weights_environment, "IQA_BPCLIP_WEIGHTS": str(tmp_path / "none.safetensors")})
    assert said == f"iqa serve: There is no weights file at {tmp_path}/none.safetensors.\n"


def test_wrong_weights_are_a_sentence(weights_environment: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"not at all")
    said = _refusal({**weights_environment, "IQA_QUALICLIP_WEIGHTS": str(wrong)})
    assert said.startswith("iqa serve: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


def test_a_device_that_is_not_there_is_a_sentence(weights_environment: dict[str, str]) -> None:
    said = _refusal({**weights_environment, "IQA_DEVICES": "cuda:99"})
    assert said.startswith("iqa serve: cuda:99 was asked for, but torch sees ")
    assert said.count("\n") == 1


def test_a_port_in_use_is_a_sentence(weights_environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = _refusal({**weights_environment, "IQA_PORT": str(port)})
    assert said == (
        f"iqa serve: 127.0.0.1:{port} is already in use; choose another port with IQA_PORT or --port.\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_zero(
    weights_environment: dict[str, str], photo: bytes, number: signal.Signals
) -> None:
    with running({**weights_environment, "IQA_DRAIN_DELAY_S": "1.5"}) as (server, client):
        children = server.children("app.worker") + server.children("app.serving")
        assert len(children) == 2
        assert client.get("/readyz").status_code == 200
        server.signal(number)
        # First phase: not ready, but everything is served.
        eventually(lambda: client.get("/readyz").status_code == 503)
        is_problem(client.get("/readyz"), 503, "draining")
        response = client.post("/score", content=photo)
        assert response.status_code == 200
        assert response.headers["connection"] == "close"
        assert server.wait() == 0
        with pytest.raises(httpx.ConnectError):
            client.get("/livez")
        assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_what_was_accepted_is_answered(weights_environment: dict[str, str]) -> None:
    large = encoded(np.tile(named()["coffee"], (3, 3, 1)), "PNG")
    with running({**weights_environment, "IQA_DRAIN_DELAY_S": "300"}) as (server, client):
        statuses: list[int] = []
        senders = [
            threading.Thread(target=lambda: statuses.append(client.post("/score", content=large).status_code))
            for _ in range(6)
        ]
        for sender in senders:
            sender.start()
        eventually(lambda: "iqa_queued_pixels 0.0" not in client.get("/metrics").text)
        server.signal(signal.SIGTERM)
        eventually(lambda: client.get("/readyz").status_code == 503)
        server.signal(signal.SIGTERM)  # the second one cuts the delay short
        for sender in senders:
            sender.join()
        assert server.wait() == 0
        assert not [entry for entry in server.entries() if entry["level"] == "error"]
    assert statuses == [200] * 6


def test_children_do_not_outlive_their_parent(weights_environment: dict[str, str]) -> None:
    with running(weights_environment) as (server, _):
        children = server.children("app.worker") + server.children("app.serving")
        server.signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 10)


def test_several_http_processes_share_a_worker(weights_environment: dict[str, str], photo: bytes) -> None:
    with running({**weights_environment, "IQA_HTTP_PROCESSES": "2"}) as (server, client):
        assert (len(server.children("app.worker")), len(server.children("app.serving"))) == (1, 2)
        for _ in range(12):  # a connection each, so that both get some
            assert httpx.post(f"{client.base_url}/score", content=photo).status_code == 200
        time.sleep(0.2)
        counted = [
            line
            for line in client.get("/metrics").text.splitlines()
            if line.startswith("iqa_batch_images_count")
        ]
        assert [float(line.split()[1]) for line in counted] == [12]
