"""Starting and stopping the real thing: what is said when it cannot start, how it goes on, how it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import zmq

from app.inference import protocol
from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import SECRET, Server, eventually, metric, running
from tests.photographs import named


def _refusal(environment: dict[str, str]) -> str:
    """What a server that cannot start says."""
    server = Server(environment)
    try:
        assert server.wait() == 1
        return "".join(server.log)
    finally:
        server.close()


@pytest.mark.process
def test_missing_weights_are_a_sentence(weights_environment: dict[str, str], tmp_path: Path) -> None:
    said = _refusal({**weights_environment, "IQA_BPCLIP_WEIGHTS": str(tmp_path / "none.safetensors")})
    assert said == f"iqa serve: There is no weights file at {tmp_path}/none.safetensors.\n"


@pytest.mark.process
def test_wrong_weights_are_a_sentence(weights_environment: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"not at all")
    said = _refusal({**weights_environment, "IQA_QUALICLIP_WEIGHTS": str(wrong)})
    assert said.startswith("iqa serve: ")
    assert said.count("\n") == 1
    assert "Traceback" not in said


@pytest.mark.process
def test_wrong_policies_are_a_sentence(weights_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    path.write_text("[mine]\nside = { least = 200 }\n")
    environment = {**weights_environment, "IQA_POLICIES_FILE": str(path)}
    said = _refusal(environment)
    assert said.startswith(f'iqa serve: The file of policies {path}, policy mine, side, has a key "least"; ')
    assert said.count("\n") == 1
    path.write_text('[mine]\nlimits = [{ score = true, model = "qualiclip", fail = 0.5 }]\n')
    assert _refusal({**environment, "IQA_MODELS": "bpclip"}) == (
        "iqa serve: The policy mine needs the model qualiclip, which is not among the models to load "
        "(bpclip).\n"
    )


@pytest.mark.process
def test_an_unknown_variable_is_reported_once(weights_environment: dict[str, str]) -> None:
    with running({**weights_environment, "IQA_TYPO": "1", "IQA_DTYP": "float32"}) as (server, _):
        said = [entry for entry in server.entries() if "unknown variable" in entry["message"]]
    dtyp, typo = said  # one each, of the parent and of none of its children
    assert {entry["level"] for entry in said} == {"warning"}
    assert "IQA_DTYP is ignored; the nearest setting is IQA_DTYPE" in dtyp["message"]
    assert "IQA_TYPO is ignored; the nearest setting is IQA_" in typo["message"]


@pytest.mark.process
def test_a_process_that_is_restarted_judges_as_before(
    weights_environment: dict[str, str], photo: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "policies.toml"
    path.write_text("[mine]\nside = { fail = 9999 }\n")
    with running({**weights_environment, "IQA_POLICIES_FILE": str(path)}) as (server, client):
        before = client.post("/score?policy=mine", content=photo).json()["verdict"]
        path.write_text("broken")
        (front,) = server.children("app.server")
        os.kill(front, signal.SIGKILL)
        eventually(lambda: server.children("app.server") not in ([], [front]))

        def verdict() -> object:
            with contextlib.suppress(httpx.TransportError):
                answer = client.post("/score?policy=mine", content=photo)
                return answer.status_code == 200 and answer.json()["verdict"]
            return None

        eventually(lambda: verdict() == before)
        assert before["outcome"] == "fail"


@pytest.mark.process
def test_a_device_that_is_not_there_is_a_sentence(weights_environment: dict[str, str]) -> None:
    said = _refusal({**weights_environment, "IQA_DEVICES": "cuda:99"})
    assert said.startswith("iqa serve: cuda:99 was asked for, but torch sees ")
    assert said.count("\n") == 1


@pytest.mark.process
def test_a_port_in_use_is_a_sentence(weights_environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = _refusal({**weights_environment, "IQA_PORT": str(port)})
    assert said == (
        f"iqa serve: 127.0.0.1:{port} is already in use; choose another port with IQA_PORT or --port.\n"
    )


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_zero(
    weights_environment: dict[str, str], photo: bytes, number: signal.Signals
) -> None:
    with running({**weights_environment, "IQA_DRAIN_DELAY_S": "1.5"}) as (server, client):
        children = server.children("app.inference.worker") + server.children("app.server")
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


@pytest.mark.process
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


@pytest.mark.process
def test_children_do_not_outlive_their_parent(weights_environment: dict[str, str]) -> None:
    with running(weights_environment) as (server, _):
        children = server.children("app.inference.worker") + server.children("app.server")
        server.signal(signal.SIGKILL)
        server.wait()
        eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 10)


_ROOT = Path(__file__).parents[2]
_SPY = """
import sys
from pathlib import Path
from app.processes.linux import renounce_privileges
renounce_privileges()
print("ready", flush=True)
for pid in sys.stdin.readline().split():
    for name in ("environ", "mem", "maps", "fd/0"):
        try:
            with open(Path("/proc", pid, name), "rb"):
                print(pid, name)
        except OSError:
            pass
"""


def _spy() -> subprocess.Popen[str]:
    """A process of this user that has no privileges, and looks into those whose numbers it is sent."""
    command = [sys.executable, "-c", _SPY]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)


@pytest.mark.process
def test_processes_of_the_same_user_cannot_look_inside(weights_environment: dict[str, str]) -> None:
    """Not for a caller's key in the memory of an HTTP process, nor for the environment of any."""
    with running(weights_environment) as (server, _), _spy() as spy, _spy() as open_to_all:
        hidden = [
            server.process.pid,
            *server.children("app.inference.worker"),
            *server.children("app.server"),
        ]
        assert len(hidden) == 3
        for each in (spy, open_to_all):
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        seen, _ = spy.communicate(" ".join(map(str, (*hidden, open_to_all.pid))), timeout=60)
        open_to_all.communicate("", timeout=60)
    assert {line.split()[0] for line in seen.splitlines()} == {str(open_to_all.pid)}


@pytest.mark.process
def test_a_worker_answers_only_its_own_http_processes(weights_environment: dict[str, str]) -> None:
    """The secret is new at each start, and no process has it in its environment or its arguments."""
    with running(weights_environment) as (server, _):
        assert server.worker_states()[0].warm
        (path,) = server.folder.glob("iqa-*/worker-0")
        with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
            stranger.linger = 0
            stranger.connect(f"ipc://{path}")
            stranger.send(protocol.HELLO)
            assert not stranger.poll(1000)
        for pid in (*server.children("app.inference.worker"), *server.children("app.server")):
            for name in ("environ", "cmdline"):
                assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()


@pytest.mark.process
def test_metrics_of_several_http_processes_add_up(weights_environment: dict[str, str]) -> None:
    """What the worker does is counted once, though each of them hears of it."""
    height, width = 96, 160
    small = encoded(named()["coffee"][:height, :width], "PNG")
    with running({**weights_environment, "IQA_HTTP_PROCESSES": "2"}) as (server, client):
        assert (len(server.children("app.inference.worker")), len(server.children("app.server"))) == (1, 2)
        with ThreadPoolExecutor(4) as pool:  # a connection for each request, so that both processes get some

            def ask(number: int) -> tuple[int, int]:
                response = httpx.post(f"{client.base_url}/score", content=small, timeout=60)
                return response.status_code, response.json()["batch"]["images"]

            answers = list(pool.map(ask, range(40)))
        assert {status for status, _ in answers} == {200}
        success = 'iqa_requests_total{route="/score",slug="",status="200"}'
        eventually(lambda: metric(client, success) == 40)
        for name in ("iqa_decode_seconds_count", "iqa_queue_seconds_count", "iqa_batch_images_sum"):
            assert metric(client, name) == 40
        batches = round(sum(1 / images for _, images in answers))
        assert metric(client, "iqa_batch_images_count") == batches
        assert metric(client, "iqa_inference_seconds_count") == batches
        # Both models see every image at its own size.
        assert metric(client, "iqa_useful_pixels_total") == 40 * 2 * height * width
        assert metric(client, "iqa_padded_pixels_total") == 40 * 2 * height * width
        assert metric(client, "iqa_batch_pixels_sum") == 40 * 2 * height * width
        for model in ("qualiclip", "bpclip"):
            assert metric(client, f'iqa_score_count{{model="{model}"}}') == 40
        weights = [line for line in client.get("/metrics").text.splitlines() if "iqa_weights_info{" in line]
        assert [line[-4:] for line in weights] == [" 1.0"] * 3  # both processes say the same
        assert 0 <= time.time() - metric(client, "iqa_start_time_seconds") < 600
        assert metric(client, 'iqa_rejected_total{slug="overloaded"}') == 0
        assert metric(client, "iqa_resent_total") == 0
        state, of_worker = server.worker_states()[0], '{worker="0"}'
        eventually(lambda: metric(client, "iqa_budget_pixels" + of_worker) == state.budget_pixels)
        assert metric(client, "iqa_device_memory_bytes" + of_worker) > 50e6
        assert metric(client, "iqa_worker_restarts" + of_worker) == 0
        eventually(lambda: metric(client, "iqa_waiting_requests" + of_worker) == 0)
        eventually(lambda: metric(client, "iqa_queued_pixels") == 0)
        assert len(list(server.folder.glob("iqa-*/counter_*.db"))) == 2  # both took part


@pytest.mark.process
@pytest.mark.slow
def test_a_worker_that_cannot_come_back_says_why(weights_environment: dict[str, str], photo: bytes) -> None:
    """It is tried again and again, and recovers as soon as it can."""
    with running(weights_environment) as (server, client):
        weights = Path(weights_environment["IQA_BPCLIP_WEIGHTS"])
        hidden = weights.with_suffix(".hidden")
        weights.rename(hidden)
        try:
            (worker,) = server.children("app.inference.worker")
            os.kill(worker, signal.SIGKILL)
            sentence = "There is no weights file at"
            eventually(lambda: any(sentence in entry["message"] for entry in server.entries()))
            is_problem(client.get("/readyz"), 503, "worker-unavailable")
        finally:
            hidden.rename(weights)
        eventually(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/score", content=photo).status_code == 200
